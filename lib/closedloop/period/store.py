"""The run folder: the claims, tables and key figures that a notebook leaves, and of what basis they are."""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as parquet

from closedloop.claims.ledger import CLAIM_COLUMNS, typed
from closedloop.errors import ParameterError
from closedloop.market.definition import Definition
from closedloop.market.files import FOLDERS, root, sha256_of, write_atomic
from closedloop.market.kept import computing_code, settings
from closedloop.period.situation import Situation

PLANNING = ("01_research", "02_personas", "03_leads")
LOOKING_BACK = ("04_handoff", "05_deals", "06_refinement", "07_review")
REFINEMENT = "06_refinement"  # whose cells let persona sets in
ENDED, START = "ended", "start"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


@cache
def no_claims() -> pd.DataFrame:
    """An empty ledger."""
    return typed([], CLAIM_COLUMNS)


@dataclass(frozen=True)
class Step:
    """The result of one notebook (``name``: its own without the number), beside its claims.

    ``tables``: frames by name: records and texts, never findings. ``results``: key figures, JSON scalars or lists;
    rates are fractions, undefined is None. ``missing``: section -> what is missing, what to collect.
    """

    name: str
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """A frame as Parquet, whole or not at all."""
    write_atomic(path, frame.reset_index(drop=True).to_parquet(index=False))


def read_frame(path: Path) -> pd.DataFrame:
    """A frame that ``write_frame`` left, its texts as Python's own, as claims have them.

    By one thread: starting more takes longer than reading some kilobytes.
    """
    with parquet.ParquetFile(path, pre_buffer=False) as file, pd.option_context("mode.string_storage", "python"):
        table = file.read(use_threads=False)
        frame: pd.DataFrame = table.to_pandas(use_threads=False)
    frame.columns = pd.Index(table.column_names)  # the names of columns are stored as everywhere
    return frame


def plain(value: Any) -> Any:
    """A key figure as JSON has it: numbers of this language, and None for what is undefined."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    found = value.item() if hasattr(value, "item") else value
    return None if isinstance(found, float) and not math.isfinite(found) else found


def write_step(folder: Path, step: Step) -> None:
    """Write a notebook's tables and key figures under ``folder/tables``, in place of all that it had left there."""
    for path in (folder / "tables").glob(f"{step.name}.*.parquet"):
        if path.name.split(".")[1] not in step.tables:
            path.unlink()
    for name, frame in step.tables.items():
        write_frame(folder / "tables" / f"{step.name}.{name}.parquet", frame)
    text = json.dumps({"results": plain(step.results), "missing": step.missing}, indent=1, sort_keys=True)
    write_atomic(folder / "tables" / f"{step.name}.json", text.encode())


def read_step(folder: Path, name: str) -> Step:
    """What ``write_step`` left in ``folder``."""
    path = folder / "tables" / f"{name}.json"
    if not path.exists():
        raise ParameterError(f"{path} does not exist: the notebook {name!r} has not been run for this period")
    stored = json.loads(path.read_text())
    frames = {p.name.split(".")[1]: read_frame(p) for p in sorted((folder / "tables").glob(f"{name}.*.parquet"))}
    return Step(name, frames, stored["results"], stored["missing"])


def as_csv(frame: pd.DataFrame) -> str:
    """CSV in which no text cell can start a formula in a spreadsheet; numbers stay as they are."""
    is_text = [not pd.api.types.is_numeric_dtype(kind) and str(kind) != "bool" for kind in frame.dtypes]
    safe = frame.copy()
    for name in frame.columns[is_text]:
        safe[name] = frame[name].map(_neutral, na_action="ignore")
    return safe.to_csv(index=False, lineterminator="\n")


def _neutral(value: Any) -> Any:
    """A text that no spreadsheet executes; a lone carriage return would end the row, so it becomes a space."""
    if not isinstance(value, str):
        return value
    safe = f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value
    return safe.replace("\r", " ")


Basis = dict[str, str]


def basis(definition: Definition, period: str, day: str, rows: str) -> Basis:
    """Digests of code, settings, committed persona sets and the ``rows`` that may be seen on the ``day``, by path.

    Earlier periods' persona sets follow from these: the same code makes them, from rows that are among them.
    """
    data = f"data/{definition.name}"
    found = {"lib/closedloop@computing": computing_code(), f"{data}@settings": settings(definition)}
    committed = sorted((definition.folder / "personas").glob("*.yml"))
    # names of a market's periods sort in the order of time, but for p1000 after p999
    until_now = [path for path in committed if (len(path.stem), path.stem) <= (len(period), period)]
    sets = {f"{data}/personas/{path.name}": sha256_of(path) for path in until_now}
    return found | {f"{data}@{day}": rows} | sets


def notebook_path(notebook: str) -> Path:
    """The shipped notebook of that name."""
    found = [root() / folder / f"{notebook}.ipynb" for folder in FOLDERS]
    return next((path for path in found if path.exists()), found[0])


def basis_of(situation: Situation, notebook: str) -> Basis:
    """What a notebook's figures are made of today: code, settings, committed sets, the rows it may see, its cells.

    Persona sets are made by the cells of 06, so that every notebook depends on those as well.
    """
    moment = START if situation.on == situation.period.planned_on else ENDED
    rows = situation.warehouse.fingerprint(situation.on)
    paths = {name: notebook_path(name) for name in (notebook, REFINEMENT)}
    cells = {f"notebooks/{name}": sha256_of(path) for name, path in paths.items() if path.exists()}
    return basis(situation.definition, situation.period.name, moment, rows) | cells


def is_of(folder: Path, name: str, today: Basis) -> bool:
    """Does what stands in ``folder`` under this name have this basis, and is it whole?"""
    try:
        return bool(json.loads((folder / f"{name}.json").read_text("utf-8")) == today)
    except (OSError, ValueError):
        return False


@contextmanager
def written_on(folder: Path, name: str, today: Basis) -> Iterator[None]:
    """What is written within the block has this basis; it is noted last, so that half of it never counts."""
    path = folder / f"{name}.json"
    path.unlink(missing_ok=True)
    yield
    write_atomic(path, json.dumps(today, indent=1).encode() + b"\n")


def step_of(notebook: str) -> str:
    """The name under which a notebook's tables are kept: its own without the number."""
    return notebook.split("_", 1)[1] if notebook[:2].isdecimal() else notebook


def set_aside(folder: Path, notebook: str) -> None:
    """Take back what the notebook said before: it is being computed anew."""
    (folder / "claims" / f"{notebook}.json").unlink(missing_ok=True)
    (folder / "claims" / f"{notebook}.parquet").unlink(missing_ok=True)


def write(folder: Path, notebook: str, step: Step, claims: pd.DataFrame, today: Basis) -> None:
    """Write what a notebook found in a period's ``folder``, in place of what it had left there."""
    set_aside(folder, notebook)
    with written_on(folder / "claims", notebook, today):
        write_step(folder, step)
        write_frame(folder / "claims" / f"{notebook}.parquet", claims)
        write_atomic(folder / "documents" / f"{notebook}.csv", as_csv(claims).encode())


def read_claims(folder: Path | None, *notebooks: str) -> pd.DataFrame:
    """The claims that these notebooks left in a period's folder; none where they left none."""
    paths = [folder / "claims" / f"{name}.parquet" for name in notebooks] if folder else []
    parts = [read_frame(path) for path in paths if path.exists()]
    return typed(pd.concat(parts, ignore_index=True) if parts else [], CLAIM_COLUMNS)


def count_claims(folder: Path, notebook: str) -> int:
    """How many claims a notebook left in a period's folder."""
    return int(parquet.read_metadata(folder / "claims" / f"{notebook}.parquet").num_rows)


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
