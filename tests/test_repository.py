"""What the tree as a whole promises: the order of the rooms, names, sizes, notebooks without outputs, no raw files."""

import ast
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import closedloop
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lib" / "closedloop"
LEFT_BEHIND = {".git", ".venv", "runs", "__pycache__", "build", "dist", ".ipynb_checkpoints"}
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".ipynb", ".sql", ".cfg", ".lock", ".typ", ".j2", ".css", ".html", ""}
TOP_LEVEL = {
    *("README.md", "environment.yml", "pyproject.toml", "requirements.lock", "Makefile", "CHANGELOG.md"),
    *("CONTRIBUTING.md", "LICENSE", ".ci", ".gitignore", ".pre-commit-config.yaml"),
    *("notebooks", "playbooks", "data", "lib", "tests"),
}
LOOP = ("research", "personas", "leads", "handoff", "deals", "refinement", "review")
NOTEBOOKS = [*(f"{number:02d}_{step}" for number, step in enumerate(LOOP, 1)), "template", "tutorial"]
PLAYBOOKS = ["battlecard", "campaign_brief", "sales_playbook"]
# what each room may import of ours, beside itself; the rest of the order follows from it
BASE = {"terms", "errors"}
BELOW_QUESTIONS = {*BASE, "market", "statistics", "claims", "period", "personas", "presentation"}
MAY_IMPORT: dict[str, set[str]] = {
    "terms": set(),
    "errors": set(),
    "market": BASE,
    "onboarding": {*BASE, "market"},
    "statistics": BASE,
    "claims": {*BASE, "statistics"},
    "period": {*BASE, "market", "statistics", "claims"},
    "personas": {*BASE, "market", "statistics", "claims", "period"},
    "presentation": {*BASE, "market", "statistics", "claims", "period", "personas"},
    "documents": BELOW_QUESTIONS,
    "workbench": {*BELOW_QUESTIONS, "documents"},
    "questions": {*BELOW_QUESTIONS, "workbench"},
    "validation": {*BELOW_QUESTIONS, "workbench", "questions"},
    "batch": {*BELOW_QUESTIONS, "documents", "workbench", "questions", "validation"},
    "cli": {*BELOW_QUESTIONS, "onboarding", "documents", "workbench", "questions", "validation", "batch"},
}
MOST_FILES = 14
ONLY_IN = {"matplotlib": "presentation.charts", "papermill": "batch", "dask": "batch", "distributed": "batch"}
READS_RAW = {"read_csv", "read_excel", "read_fwf", "ZipFile"}
HEAVY = {"pandas", "numpy", "scipy", "duckdb", "ibis", "matplotlib", "sklearn", "papermill", "pandera", "pyarrow"}


def files(folder: Path = ROOT) -> Iterator[Path]:
    """The project's files: everything below the folder except what runs and tools leave behind."""
    for path in sorted(folder.iterdir()):
        left = path.name in LEFT_BEHIND or path.name.endswith(("_cache", ".egg-info", ".pyc"))
        if left or path.name in {".hypothesis", ".coverage", ".DS_Store"}:
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


MODULES = [path for path in files(PACKAGE) if path.suffix == ".py"]
SOURCES = [*MODULES, *(path for path in files(ROOT / ".ci") if path.suffix == ".py")]
NOTEBOOK_FILES = [path for path in files() if path.suffix == ".ipynb"]
each_module = pytest.mark.parametrize("path", MODULES, ids=shown)
each_source = pytest.mark.parametrize("path", SOURCES, ids=shown)
each_notebook = pytest.mark.parametrize("path", NOTEBOOK_FILES, ids=shown)


def dotted(path: Path) -> str:
    """The module's name below closedloop: ``presentation.charts``; a package's own name for its __init__."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, package: str) -> set[str]:
    """Every module that the code imports, absolute; relative ones are resolved from ``package``."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def imports_of(path: Path) -> set[str]:
    name = dotted(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return imported(tree, f"closedloop.{package}".rstrip("."))


def ours(path: Path) -> set[str]:
    """The modules of closedloop that a module imports, without the prefix."""
    prefix = "closedloop."
    return {name.removeprefix(prefix) for name in imports_of(path) if name.startswith(prefix)}


def test_relative_and_absolute_imports_are_both_seen() -> None:
    tree = ast.parse("import a.b\nfrom closedloop.period import deals\nfrom . import x\nfrom ..market import y")
    assert imported(tree, "closedloop.period") >= {
        *("a.b", "closedloop.period.deals", "closedloop.period.x", "closedloop.market.y"),
    }


# the rooms


@each_module
def test_imports_point_one_way(path: Path) -> None:
    room = dotted(path).split(".")[0]
    if not room:
        assert ours(path) == set(), "closedloop/__init__.py imports nothing of ours"
        return
    assert room in MAY_IMPORT, f"{room} is no room; the rooms are {sorted(MAY_IMPORT)} (ARCHITECTURE)"
    above = {name for name in ours(path) if name.split(".")[0] not in {room, *MAY_IMPORT[room]}}
    assert above == set(), f"{shown(path)} may import {sorted(MAY_IMPORT[room])}"


def test_a_room_is_seen_at_a_glance() -> None:
    counted = Counter(shown(path.parent) for path in MODULES)
    assert {room: n for room, n in counted.items() if n > MOST_FILES} == {}


@each_module
def test_each_special_library_has_one_home(path: Path) -> None:
    name, found = dotted(path), {full.split(".")[0] for full in imports_of(path)}
    strays = {lib for lib, home in ONLY_IN.items() if lib in found and f"{name}.".find(f"{home}.") != 0}
    assert strays == set(), f"only these may import them: {ONLY_IN}"


@each_module
def test_only_market_reads_raw_data(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert dotted(path).split(".")[0] == "market" or names & READS_RAW == set()


@each_source
def test_nothing_imports_a_notebook(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    roots = {name.split(".")[0] for name in imported(ast.parse(text), "")}
    assert roots & {"notebooks", "playbooks", "import_ipynb", "nbimporter", "tests"} == set()


def test_packages_import_nothing_heavy() -> None:
    packages = [f"closedloop.{dotted(path)}".rstrip(".") for path in MODULES if path.name == "__init__.py"]
    code = f"import sys, {', '.join(packages)}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "lib")
    assert done.stdout.split() == []


MODULE_NAMES = {
    "pyyaml": "yaml",
    "ipython": "IPython",
    "scikit-learn": "sklearn",
    "ibis-framework": "ibis",
    "markdown-it-py": "markdown_it",
}
NOT_IMPORTED = {
    "jupyterlab": "people open the notebooks in it",
    "jupyter-server": "jupyterlab brings it; its lower bound keeps out releases with known holes",
}


def modules_of(requirements: list[str]) -> dict[str, str]:
    """The modules that declared packages bring, by the packages' names."""
    names = [re.split(r"[\[ <>=~!]", requirement)[0] for requirement in requirements]
    return {name: MODULE_NAMES.get(name, name.replace("-", "_")) for name in names}


def test_runtime_dependencies_are_what_the_package_imports() -> None:
    """Every library that closedloop imports is declared, there or in an extra of the product; and no other one is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    product = [line for name in extras if name not in {"test", "dev"} for line in extras[name]]
    found = {name.split(".")[0] for path in MODULES for name in imports_of(path)} - set(sys.stdlib_module_names)
    core = modules_of(project["dependencies"])
    assert found - {*core.values(), *modules_of(product).values()} - {"closedloop", "__future__"} == set()
    assert {name for name, module in core.items() if module not in found} == set(NOT_IMPORTED)


def test_what_the_runner_hooks_into_stays_below_its_next_major() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = {line.split()[0]: line.split("< ")[-1] for line in project["dependencies"] if "<" in line}
    hooks = ("ipykernel", "ipython", "nbclient", "jupyter-client", "papermill")
    installed = {name: int(metadata.version(name).split(".")[0]) for name in hooks}
    assert {name: bounds.get(name) for name in hooks} == {name: str(major + 1) for name, major in installed.items()}


# functions and modules


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and docstring."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented and ast.get_docstring(node) else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def public(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes of a module, and the public methods of these classes."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    top = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    classes = [node for node in top if isinstance(node, ast.ClassDef)]
    members = [node for owner in classes for node in owner.body if isinstance(node, kinds)]
    return [*top, *(node for node in members if not node.name.startswith("_"))]


def unannotated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = node.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    arguments += [extra for extra in (given.vararg, given.kwarg) if extra]
    missing = [a.arg for a in arguments if a.annotation is None and a.arg not in {"self", "cls"}]
    return missing + (["return"] if node.returns is None else [])


def test_a_functions_length_leaves_its_docstring_out() -> None:
    tree = ast.parse('def f():\n    """One.\n\n    Two.\n    """\n    x = 1\n    return x\n')
    assert lines_of(functions(tree)[0]) == 3


@each_source
def test_functions_and_modules_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    long = {node.name: lines_of(node) for node in functions(ast.parse(text)) if lines_of(node) > 60}
    assert long == {}, "60 lines are allowed"
    n_lines = len(text.splitlines())
    assert n_lines <= 400, f"{shown(path)} has {n_lines} lines; 400 are allowed: split it by what it is about"


def test_half_of_the_functions_have_fewer_than_ten_lines() -> None:
    lengths = [lines_of(node) for path in MODULES for node in functions(ast.parse(path.read_text(encoding="utf-8")))]
    assert sum(length < 10 for length in lengths) > len(lengths) / 2


@each_source
def test_everything_public_is_documented_and_annotated(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module says in one line what it is for"
    assert [node.name for node in public(tree) if not ast.get_docstring(node)] == []
    bare = {node.name: unannotated(node) for node in functions(tree) if unannotated(node)}
    assert bare == {}


# names and texts


def test_the_top_level_is_fixed() -> None:
    hidden = {".git", ".venv", "runs", ".hypothesis", ".coverage", ".DS_Store", ".ipynb_checkpoints", "build", "dist"}
    found = {path.name for path in ROOT.iterdir() if not path.name.endswith("_cache")} - hidden
    assert found == TOP_LEVEL


def test_names_say_what_a_file_is() -> None:
    leftover = re.compile(r"(^|[_\-. ])(v\d+|final|new|copy|old|untitled\d*)([_\-. ]|$)", re.IGNORECASE)
    vague = {"utils", "util", "helpers", "helper", "misc", "common"}
    by_custom = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile"}
    names = {part for path in files() for part in path.relative_to(ROOT).parts} - by_custom
    assert sorted(name for name in names if leftover.search(name)) == []
    assert sorted(name for name in names if name.split(".")[0] in vague) == []
    assert sorted(name for name in names if " " in name or name != name.lower()) == []


def test_no_folder_is_empty() -> None:
    def holds(folder: Path) -> bool:
        return next(files(folder), None) is not None

    folders = {parent for path in files() for parent in path.parents}
    candidates = [path for path in ROOT.rglob("*") if path.is_dir() and path.parent in folders]
    kept = [path for path in candidates if not any(part in LEFT_BEHIND for part in path.parts)]
    named = [path for path in kept if not path.name.endswith(("_cache", ".egg-info")) and path.name != ".hypothesis"]
    assert [shown(path) for path in named if not holds(path)] == []


def texts() -> Iterator[tuple[str, str]]:
    """Every text file but the licence, which is not ours to word."""
    for path in files():
        if path.suffix in TEXT and path.name != "LICENSE":
            yield shown(path), path.read_text(encoding="utf-8")


def test_no_unfinished_work_is_left() -> None:
    mark = re.compile(rf"\b(TO{''}DO|FIX{''}ME|X{''}XX|HA{''}CK)\b")
    assert [name for name, text in texts() if mark.search(text)] == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    folders = "|".join(("work", "root", "home", "opt", "Users"))
    hosts = "|".join(("pypi", "pythonhosted", "npmjs", "crates"))
    mark = re.compile(rf"(?<![\w.~\])}}>])/({folders})/\w|\b({hosts})\.(org|io|com)")
    assert [(name, mark.search(text)[0]) for name, text in texts() if mark.search(text)] == []


# notebooks


def cells(path: Path, kind: str) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def test_the_folders_spell_the_loop() -> None:
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == NOTEBOOKS
    assert sorted(path.stem for path in (ROOT / "playbooks").glob("*.ipynb")) == PLAYBOOKS


@each_notebook
def test_notebooks_carry_no_outputs(path: Path) -> None:
    assert [cell["outputs"] for cell in cells(path, "code") if cell["outputs"]] == []
    assert {cell["execution_count"] for cell in cells(path, "code")} == {None}
    content = json.loads(path.read_text(encoding="utf-8"))
    assert set(content["metadata"]) <= {"kernelspec", "language_info"}
    kept = {key for cell in content["cells"] for key in cell["metadata"]}
    assert kept <= {"tags"}


@each_notebook
def test_notebooks_import_the_package_and_what_a_cell_may_hand_to_it(path: Path) -> None:
    code = "\n".join("".join(cell["source"]) for cell in cells(path, "code"))
    found = {name.split(".")[0] for name in imported(ast.parse(code), "")}
    commands = {"os", "subprocess", "sys"} if path.stem == "tutorial" else set()  # it shows what a terminal does
    assert found <= {"closedloop", "pandas", "sklearn", "typing", *commands}


def test_the_public_surface_is_what_notebooks_call() -> None:
    """Every public name is imported by some shipped notebook, and none that is imported is missing."""
    trees = [ast.parse("\n".join("".join(cell["source"]) for cell in cells(path, "code"))) for path in NOTEBOOK_FILES]
    froms = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    called = {alias.name for node in froms if node.module == "closedloop" for alias in node.names}
    assert called == set(closedloop.__all__)
    assert [name for name in called if not getattr(closedloop, name).__doc__] == []


@pytest.mark.parametrize("page", ["README.md", "notebooks/README.md"])
def test_the_tables_of_notebooks_equal_the_folders(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    linked = {Path(link).stem for line in rows for link in re.findall(r"\]\(([^)#]+\.ipynb)\)", line)}
    here = {path.stem for path in NOTEBOOK_FILES if path.parts[-2] in {"notebooks", "playbooks"}}
    assert linked == (here if page == "README.md" else {name for name in here if name in NOTEBOOKS})


# data


def downloaded() -> list[tuple[str, str, str]]:
    """(market, file name, SHA-256) of every source that is downloaded on first use."""
    found = []
    for path in sorted((ROOT / "data").glob("*/market.toml")):
        sources = tomllib.loads(path.read_text(encoding="utf-8")).get("sources", {})
        outside = [source for source in sources.values() if "url" in source or "page" in source]
        found += [(path.parent.name, source["file"], source["sha256"]) for source in outside]
    return found


def test_raw_files_of_real_markets_are_not_in_the_tree() -> None:
    assert {market for market, _, _ in downloaded()} >= {"bank", "b2b", "maven"}
    names, sums = {name for _, name, _ in downloaded()}, {digest for _, _, digest in downloaded()}
    assert [shown(path) for path in files() if path.name in names] == []
    data = [path for path in files() if path.suffix in {".csv", ".zip", ".xlsx", ".parquet", ".gz"}]
    assert [shown(path) for path in data if hashlib.sha256(path.read_bytes()).hexdigest() in sums] == []
    assert [shown(path) for path in data if path.suffix != ".csv"] == []
