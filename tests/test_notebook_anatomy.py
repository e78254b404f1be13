"""Every notebook has the same parts in the same order, stays small, and says nothing that data could contradict."""

import ast
import io
import re
import statistics
import tokenize
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from closedloop.documents import battlecard, brief, playbook
from closedloop.documents.sections import catalogue
from closedloop.notebook import DOCUMENTS, STEPS

ROOT = Path(__file__).parents[1]
PATHS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "playbooks").glob("*.ipynb")])
LONGER = {"01_research", "04_handoff", "05_deals"}
PARAMETERS = ["market", "period", "out"]
SECTIONS = {"campaign_brief": brief.SECTIONS, "sales_playbook": playbook.SECTIONS, "battlecard": battlecard.SECTIONS}

each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    """The notebook as nbformat reads it."""
    return nbformat.read(path, as_version=4)


def code(path: Path) -> list[str]:
    """Sources of the code cells, in order."""
    return [cell.source for cell in read(path).cells if cell.cell_type == "code"]


def prose(path: Path) -> list[str]:
    """Sources of the markdown cells, in order."""
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def n_words(text: str) -> int:
    """Words as a reader counts them: link addresses and marks are none."""
    plain = re.sub(r"\]\([^)]*\)", "]", text)
    return len([word for word in plain.split() if re.search(r"\w", word)])


def section_cells(path: Path) -> list[tuple[str, str]]:
    """(prose, code) of every section."""
    cells = read(path).cells
    return [
        (a.source, b.source) for a, b in pairwise(cells) if b.cell_type == "code" and b.source.startswith("run.show(")
    ]


def test_every_step_and_document_has_its_notebook() -> None:
    assert [path.stem for path in PATHS] == sorted([*STEPS], key=str) + sorted(DOCUMENTS)


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
def test_it_begins_with_title_question_and_place_in_the_loop(path: Path) -> None:
    first = prose(path)[0]
    number = path.stem.partition("_")[0]
    assert first.startswith(f"# {number} · " if number.isdecimal() else "# ")
    assert first.count("?") == 1
    assert n_words(first) <= 90
    assert re.findall(r"^- \*\*(\w+)\*\*", first, re.MULTILINE) == ["Reads", "Writes", "Previous", "Next"]


@each
def test_the_parameters_are_typed_explained_and_few(path: Path) -> None:
    tagged = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    assert [cell.source for cell in tagged] == code(path)[:1]
    body = ast.parse(tagged[0].source).body
    assert all(isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Constant) for line in body)
    more = {"battlecard": ["competitor"], "campaign_brief": ["persona"], "sales_playbook": ["persona"]}
    names = [ast.unparse(line.target) for line in body if isinstance(line, ast.AnnAssign)]
    assert names == PARAMETERS + more.get(path.stem, [])
    tokens = tokenize.generate_tokens(io.StringIO(tagged[0].source).readline)
    helps = [token.string for token in tokens if token.type == tokenize.COMMENT]
    assert len(helps) == len(names)
    assert not any("=" in text for text in helps)


@each
def test_imports_come_once_and_the_run_is_opened_in_one_call(path: Path) -> None:
    cells = code(path)
    assert cells[1] == "from closedloop.notebook import open_run"
    assert cells[2].startswith(f'run = open_run("{path.stem}", market, period, out')
    assert cells[2].endswith("\nrun")
    assert not any("import" in cell for cell in cells[2:])


@each
def test_the_order_is_bottom_line_sections_limits_outputs_results_next(path: Path) -> None:
    headings = [line for text in prose(path) for line in text.splitlines() if line.startswith("## ")]
    asked = [heading for heading in headings if heading.endswith("?")]
    assert headings == ["## Bottom line", *asked, "## Limits", "## Outputs", "## Next"]
    shows = [source for _, source in section_cells(path)]
    assert code(path)[3:] == ["run.bottom_line()", *shows, "run.save()", "run.results()"]
    assert read(path).cells[-1].source.startswith("## Next")


@each
def test_a_section_is_a_question_a_little_prose_and_one_output(path: Path) -> None:
    found = section_cells(path)
    assert len(found) >= 3
    for text, source in found:
        heading, _, body = text.partition("\n")
        assert heading.startswith("## ")
        assert heading.endswith("?")
        assert 1 <= n_words(body) <= 60, heading
        assert re.fullmatch(r'run\.show\("\w+"\)', source)


@each
def test_it_shows_every_section_that_there_is_in_that_order(path: Path) -> None:
    shown = [source.split('"')[1] for _, source in section_cells(path)]
    known = catalogue.names(STEPS[path.stem]) if path.stem in STEPS else list(SECTIONS[path.stem])
    assert shown == known


@each
def test_limits_are_short(path: Path) -> None:
    limits = next(text for text in prose(path) if text.startswith("## Limits"))
    assert 20 <= n_words(limits) <= 80


@each
def test_the_notebook_is_small(path: Path) -> None:
    sources = [cell.source.splitlines() for cell in read(path).cells]
    n_cells, n_lines = (30, 180) if path.stem in LONGER else (20, 120)
    assert len(code(path)) <= n_cells
    assert sum(map(len, sources)) <= n_lines
    lines = [len(source.splitlines()) for source in code(path)]
    assert statistics.median(lines) <= 4
    assert max(map(len, sources)) <= 15


@each
def test_there_is_no_program_in_a_notebook(path: Path) -> None:
    forbidden = (
        ast.FunctionDef,
        ast.ClassDef,
        ast.For,
        ast.While,
        ast.If,
        ast.Lambda,
        ast.Try,
        ast.With,
        ast.comprehension,
    )
    nodes = [node for source in code(path) for node in ast.walk(ast.parse(source))]
    assert [type(node).__name__ for node in nodes if isinstance(node, forbidden)] == []


@each
def test_static_prose_states_no_figure(path: Path) -> None:
    text = "\n".join(prose(path))
    assert re.findall(r"\d[\d.,]*\s*%|[€$£]\s*\d|\b(?:EUR|USD)\b|\d{3,}", text) == []


def test_the_readme_gives_each_notebook_its_own_question() -> None:
    rows = [line.split("|")[1:3] for line in (ROOT / "notebooks" / "README.md").read_text("utf-8").splitlines()]
    table = {
        re.sub(r"[\[`\s].*", "", row[0].strip(" [`").split("]")[0]): row[1].strip() for row in rows if len(row) == 2
    }
    asked = {path.stem: prose(path)[0].split("\n\n")[1] for path in PATHS}
    assert {name: table.get(name) for name in asked} == asked
