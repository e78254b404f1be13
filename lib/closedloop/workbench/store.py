"""The run folder as notebooks read and write it: claims, tables and key figures, one set a notebook."""

import hashlib
import json
from pathlib import Path

import pandas as pd

from closedloop.claims.ledger import CLAIM_COLUMNS, typed
from closedloop.market.files import root, sha256_of, write_atomic
from closedloop.period.situation import Situation
from closedloop.period.step import Step, as_csv, basis, read_frame, read_step, write_frame, write_step
from closedloop.workbench.notebooks import FOLDERS

PLANNING = ("01_research", "02_personas", "03_leads")
LOOKING_BACK = ("04_handoff", "05_deals", "06_refinement", "07_review")
REFINEMENT = "06_refinement"  # whose cells let persona sets in
ENDED, START = "ended", "start"


def step_of(notebook: str) -> str:
    """The name under which a notebook's tables are kept: its own without the number."""
    return notebook.split("_", 1)[1] if notebook[:2].isdecimal() else notebook


def notebook_path(notebook: str) -> Path:
    """The shipped notebook of that name."""
    found = [root() / folder / f"{notebook}.ipynb" for folder in FOLDERS]
    return next((path for path in found if path.exists()), found[0])


def basis_of(situation: Situation, notebook: str) -> dict[str, str]:
    """What a notebook's figures are made of today: code, settings, committed sets, the rows it may see, its cells.

    Persona sets are made by the cells of 06, so that every notebook depends on those as well.
    """
    moment = START if situation.on == situation.period.planned_on else ENDED
    rows = situation.warehouse.fingerprint(situation.on)
    paths = {name: notebook_path(name) for name in (notebook, REFINEMENT)}
    cells = {f"notebooks/{name}": sha256_of(path) for name, path in paths.items() if path.exists()}
    return basis(situation.definition, situation.period.name, moment, rows) | cells


def is_current(folder: Path, notebook: str, today: dict[str, str]) -> bool:
    """Did the notebook leave its claims in the period's ``folder``, made of what is there today?"""
    try:
        return bool(json.loads((folder / "claims" / f"{notebook}.json").read_text("utf-8")) == today)
    except (OSError, ValueError):
        return False


def set_aside(folder: Path, notebook: str) -> None:
    """Take back what the notebook said before: it is being computed anew."""
    (folder / "claims" / f"{notebook}.json").unlink(missing_ok=True)
    (folder / "claims" / f"{notebook}.parquet").unlink(missing_ok=True)


def write(folder: Path, notebook: str, step: Step, claims: pd.DataFrame, today: dict[str, str]) -> None:
    """Write what a notebook found: tables first, its basis last, so that half of it never counts."""
    set_aside(folder, notebook)
    write_step(folder, step)
    write_frame(folder / "claims" / f"{notebook}.parquet", claims)
    write_atomic(folder / "documents" / f"{notebook}.csv", as_csv(claims).encode())
    write_atomic(folder / "claims" / f"{notebook}.json", json.dumps(today, indent=1).encode() + b"\n")


def read_claims(folder: Path | None, *notebooks: str) -> pd.DataFrame:
    """The claims that these notebooks left in a period's folder; none where they left none."""
    paths = [folder / "claims" / f"{name}.parquet" for name in notebooks] if folder else []
    parts = [read_frame(path) for path in paths if path.exists()]
    return typed(pd.concat(parts, ignore_index=True) if parts else [], CLAIM_COLUMNS)


def merge_claims(folder: Path) -> None:
    """Write the claims of all the period's notebooks as one table, for readers; nothing where there are none."""
    names = sorted(path.stem for path in (folder / "claims").glob("*.parquet"))
    claims = read_claims(folder, *names)
    write_frame(folder / "claims.parquet", claims)
    write_atomic(folder / "claims.csv", as_csv(claims).encode())


def read_tables(folder: Path, notebook: str) -> Step:
    """The tables and key figures that a notebook left in a period's folder; an empty step where it left none."""
    name = step_of(notebook)
    return read_step(folder, name) if (folder / "tables" / f"{name}.json").exists() else Step(name)


def draft_folder(folder: Path, notebook: str, cells: list[str], settings: str) -> Path:
    """Where a notebook that was opened by hand writes: by a digest of its cells and settings, beside what stands."""
    digest = hashlib.sha256("\0".join([*cells, settings]).encode()).hexdigest()[:10]
    return folder / "drafts" / f"{notebook}-{digest}"
