"""Every notebook has the same parts in the same order, shows its data, stays small, and says nothing that data could
contradict."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import closedloop
import nbformat
import pytest

ROOT = Path(__file__).parents[1]
STEPS = ("01_research", "02_personas", "03_leads", "04_handoff", "05_deals", "06_refinement", "07_review", "template")
DOCUMENTS = {"battlecard": "competitor", "campaign_brief": "persona", "sales_playbook": "persona"}
EVERY = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "playbooks").glob("*.ipynb")])
PATHS = [path for path in EVERY if path.stem != "tutorial"]  # which shows commands, and answers no question of the loop
BENCHES = [path for path in PATHS if path.stem in STEPS]
PAGES = [path for path in PATHS if path.stem in DOCUMENTS]
KINDS = ("str", "int", "float", "bool", "list", "dict")  # as the batch reads them
TYPES = {*KINDS, *(f"Optional[{kind}]" for kind in KINDS)}
PROGRAM = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.IfExp, ast.Lambda),
    *(ast.Try, ast.With, ast.comprehension),
)

each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
each_bench = pytest.mark.parametrize("path", BENCHES, ids=lambda path: path.stem)
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    """The notebook as nbformat reads it."""
    return nbformat.read(path, as_version=4)


def code(path: Path) -> list[str]:
    """Sources of the code cells, in order."""
    return [cell.source for cell in read(path).cells if cell.cell_type == "code"]


def prose(path: Path) -> list[str]:
    """Sources of the markdown cells, in order."""
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def headings(path: Path) -> list[str]:
    """The headings of the second level, without their marks."""
    return [line[3:] for text in prose(path) for line in text.splitlines() if line.startswith("## ")]


def examples(path: Path) -> list[str]:
    """Sources of the cells that only show what could be asked."""
    return [cell.source for cell in read(path).cells if "example" in cell.metadata.get("tags", [])]


def n_words(text: str) -> int:
    """Words as a reader counts them: link addresses, formulas and marks are none."""
    plain = re.sub(r"`[^`]*`", "", re.sub(r"\]\([^)]*\)", "]", text))
    return len([word for word in plain.split() if re.search(r"\w", word)])


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """(name, arguments) of every call of a public function, and of a document's section."""
    for source in code(path):
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call):
                continue
            of_page = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "page"
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            if of_page or name in closedloop.__all__:
                yield name, ", ".join(map(ast.unparse, [*node.args, *node.keywords]))


def test_every_step_and_document_has_its_notebook() -> None:
    assert [path.stem for path in PATHS] == [*STEPS, *sorted(DOCUMENTS)]


@each
def test_the_notebook_is_valid_with_stable_ids_and_clean_metadata(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@each
def test_it_begins_with_its_title_and_its_question(path: Path) -> None:
    first, number = prose(path)[0], path.stem.partition("_")[0]
    assert first.startswith(f"# {number} · " if number.isdecimal() else "# ")
    assert first.count("?") == 1
    assert n_words(first) <= 90


@each
def test_its_place_in_the_loop_is_told_first_and_in_a_document_last(path: Path) -> None:
    placed = [text for text in prose(path) if "**Reads**" in text]
    assert placed == [text for text in prose(path) if text.startswith("## How was this made?")] or (
        path in BENCHES and placed == prose(path)[:1]
    )
    assert re.findall(r"^- \*\*(\w+)\*\*", placed[0], re.MULTILINE) == ["Reads", "Writes", "Previous", "Next"]


@each
def test_the_parameters_are_typed_and_explained(path: Path) -> None:
    tagged = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    assert [cell.source for cell in tagged] == code(path)[:1]
    source = tagged[0].source
    assert "|" not in source, "papermill reads no union that is written with a bar"
    imported, *body = ast.parse(source).body
    assert ast.unparse(imported) == "from typing import Optional"
    assert all(isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Constant) for line in body)
    declared = {ast.unparse(line.target): line for line in body if isinstance(line, ast.AnnAssign)}
    assert list(declared)[:3] == ["market", "period", "out"]
    assert [
        ast.unparse(line.annotation) for line in declared.values() if ast.unparse(line.annotation) not in TYPES
    ] == []
    optional = [ast.unparse(line.annotation).startswith("Optional") for line in declared.values()]
    assert optional == [line.value.value is None for line in declared.values()], "None says: as the market says"
    helps = [t.string for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT]
    assert len(helps) == len(declared)
    assert not any("=" in text for text in helps), "papermill would take it for a value"
    if path.stem in DOCUMENTS:
        assert list(declared)[3:] == [DOCUMENTS[path.stem]]


@each
def test_every_parameter_is_handed_on(path: Path) -> None:
    names = [ast.unparse(line.target) for line in ast.parse(code(path)[0]).body if isinstance(line, ast.AnnAssign)]
    nodes = [node for source in code(path)[1:] for node in ast.walk(ast.parse(source))]
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert [name for name in names if name not in used] == []


@each
def test_imports_come_once_and_the_notebook_is_opened_in_one_call(path: Path) -> None:
    cells = [source for source in code(path) if source not in examples(path)]
    assert cells[1].startswith("from closedloop import ")
    assert [source for source in cells[2:] if re.search(r"^(import|from) ", source, re.MULTILINE)] == []
    opened = 'now = open_period(market, period, "' if path in BENCHES else "page = open_"
    assert cells[2].startswith(opened)
    if path in BENCHES:
        assert f'notebook="{path.stem}"' in cells[2] and "out=out" in cells[2] and cells[2].endswith("\nnow")
    named = {alias.name for node in ast.walk(ast.parse(cells[1])) for alias in getattr(node, "names", [])}
    called = {
        node.id for source in code(path)[2:] for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)
    }
    assert named <= called | {"Optional"}, "what is imported is used"


@each_bench
def test_the_parts_of_a_workbench_stand_in_their_order(path: Path) -> None:
    asked = [heading for heading in headings(path) if heading.endswith("?")]
    assert asked[-1] == "What would answer the rest?" and len(asked) >= 3
    assert headings(path) == [
        *("Bottom line", *asked[:-1], "Change it yourself", asked[-1], "Limits", "Closing", "Next"),
    ]
    cells = code(path)
    assert cells[3] == "now.bottom_line()" and cells[-2] == "now.gaps()" and cells[-1].startswith("now.close(")


@each_bench
def test_the_data_are_shown_before_the_first_question_and_words_are_explained(path: Path) -> None:
    cells = code(path)
    assert any(re.search(r"\.head\(\)$", source) for source in cells[4:8])
    words = [text for text in prose(path) if text.startswith("**Words.**")]
    assert len(words) == 1 and 3 <= len(words[0].splitlines()) <= 6


@each_page
def test_a_document_opens_with_its_glance_and_ends_with_how_it_was_made(path: Path) -> None:
    kinds = [(cell.cell_type, cell.source) for cell in read(path).cells]
    assert [kind for kind, _ in kinds[:5]] == ["markdown", "code", "code", "code", "code"]
    assert kinds[4][1].startswith("page.glance(")
    asked = [heading for heading in headings(path) if heading.endswith("?")]
    assert asked[-2:] == ["What does this rest on?", "How was this made?"]
    assert headings(path) == [*asked[:-1], "Limits", asked[-1], "Closing", "Next"]
    assert code(path)[-3:] == ["page.evidence()", "page.sources()", "page.close()"]


@each_page
def test_every_section_of_a_document_is_a_call_of_its_own(path: Path) -> None:
    names = [name for name, _ in calls(path)]
    assert len(set(names)) == len(names) >= 9


@each
def test_a_section_is_a_question_with_a_little_prose(path: Path) -> None:
    found = [text.partition("\n") for text in prose(path) if text.startswith("## ") and "?" in text.splitlines()[0]]
    made = "## How was this made?"
    assert {
        heading: n_words(body) for heading, _, body in found if heading != made and not 1 <= n_words(body) <= 60
    } == {}


@each
def test_examples_are_few_tagged_and_marked(path: Path) -> None:
    marked = [source for source in code(path) if source.lstrip().startswith("# example")]
    assert marked == examples(path)
    assert 1 <= len(marked) <= 3 if path in BENCHES else not marked


@each
def test_limits_are_short(path: Path) -> None:
    limits = next(text for text in prose(path) if text.startswith("## Limits"))
    assert 20 <= n_words(limits) <= 80


@each
def test_cells_are_small(path: Path) -> None:
    lines = [len(source.splitlines()) for source in code(path)[1:]]
    assert max(lines) <= 8
    assert max(len(source.splitlines()) for source in prose(path)) <= 15


@each
def test_there_is_no_program_in_a_notebook(path: Path) -> None:
    nodes = [node for source in code(path) for node in ast.walk(ast.parse(source))]
    assert [type(node).__name__ for node in nodes if isinstance(node, PROGRAM)] == []


@each
def test_static_prose_states_no_figure(path: Path) -> None:
    text = re.sub(r", (19|20)\d\d\b", "", "\n".join(prose(path)))  # the year of a method's source
    assert re.findall(r"\d[\d.,]*\s*%|[€$£]\s*\d|\b(?:EUR|USD)\b|\d{3,}", text) == []


def test_the_notebooks_use_many_verbs_in_many_ways() -> None:
    found = [call for path in PATHS for call in calls(path)]
    assert len({name for name, _ in found if name in closedloop.__all__}) >= 20
    assert len(set(found)) >= 40


def test_the_readme_gives_each_notebook_its_own_question() -> None:
    rows = [line.split("|")[1:3] for line in (ROOT / "notebooks" / "README.md").read_text("utf-8").splitlines()]
    table = {
        re.sub(r"[\[`\s].*", "", row[0].strip(" [`").split("]")[0]): row[1].strip() for row in rows if len(row) == 2
    }
    asked = {path.stem: prose(path)[0].split("\n\n")[1] for path in PATHS}
    assert {name: table.get(name) for name in asked} == asked
