"""The pages of a period as people get them: the cells of every notebook, and of every document, run in this process."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from closedloop.documents.document import Document
from closedloop.period import store
from closedloop.presentation.blocks import Piece
from closedloop.workbench.cells import run_cells
from closedloop.workbench.period import OpenPeriod

ROOT = Path(__file__).parents[1]
NOTEBOOKS = (*store.PLANNING, *store.LOOKING_BACK)
DOCUMENTS = {"sales_playbook": "persona", "campaign_brief": "persona", "battlecard": "competitor"}


def with_notebooks(root: Path) -> Path:
    """The project of a test with the shipped notebooks in it, since opening one runs others."""
    for folder in ("notebooks", "playbooks"):
        shutil.copytree(ROOT / folder, root / folder, dirs_exist_ok=True)
    return root


def notebooks(market: str, period: str, out: Path) -> Iterator[OpenPeriod]:
    """Every notebook of a period as its cells leave it, the planning ones first."""
    for name in NOTEBOOKS:
        yield run_cells(store.notebook_path(name), {"market": market, "period": period, "out": str(out)})


def pieces_of(now: OpenPeriod) -> list[Piece]:
    """All that a notebook's page shows: its bottom line, every answer, and what is missing."""
    answers = [piece for answer in now.answers.values() for piece in answer.pieces("Why?")]
    return [now.bottom_line().make(), *answers, now.gaps().make()]


def document(notebook: str, market: str, period: str, out: Path, chosen: str | None = None) -> tuple[Document, Any]:
    """A document as the cells of its notebook leave it, and what its last cell gives."""
    path = ROOT / "playbooks" / f"{notebook}.ipynb"
    sources = ["".join(cell["source"]) for cell in json.loads(path.read_text("utf-8"))["cells"]
               if cell["cell_type"] == "code"]  # fmt: skip
    names: dict[str, Any] = {}
    for number, source in enumerate(sources[:-1]):
        exec(source, names)
        if number == 0:
            names |= {"market": market, "period": period, "out": str(out), DOCUMENTS[notebook]: chosen}
    return names["page"], eval(sources[-1], names)


def documents(market: str, period: str, out: Path) -> Iterator[Document]:
    """Every document of each persona and competitor."""
    first, _ = document("sales_playbook", market, period, out)
    for notebook, kind in DOCUMENTS.items():
        for chosen in first.dossier.choices(kind):
            yield document(notebook, market, period, out, chosen)[0]
