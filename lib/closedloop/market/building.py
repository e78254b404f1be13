"""A market's canonical tables, made of its raw files: whole or not at all, and never of damaged files by mistake."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from closedloop.errors import SourceError, WriteError
from closedloop.market.definition import Definition
from closedloop.market.files import append, runs_folder
from closedloop.market.kept import fingerprint, read_as

ABOUT = "market.json"
_FEWEST_TO_LOSE = 40  # rows of a table at the last import
IMPORTS = "imports"  # the folders of a market's tables, in the order in which they were made


def build_warehouse(definition: Definition, place: Path | None = None, *, may_shrink: bool = False) -> Path:
    """The folder of the market's canonical tables, made anew when anything they depend on has changed.

    Files that hold less than half of what they held at the last import, read in the same way, are taken for damaged
    unless it ``may_shrink``: SourceError, and the last import stays in force.
    """
    place = place or runs_folder() / ".warehouse" / definition.name
    folder = place / fingerprint(definition)[:16]
    if folder.exists():
        return folder
    from closedloop.market.staging.audit import take_audit
    from closedloop.market.staging.ladder import Ladder
    from closedloop.market.staging.written import n_rows, write

    place.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".building-", dir=place))
    try:
        ladder = Ladder(definition)
        ladder.climb()
        if not may_shrink:
            _refuse_loss(definition, place, n_rows(ladder))
        write(ladder, temporary)
        take_audit(ladder).write(temporary / "audit")
        temporary.rename(folder)
        append(place / IMPORTS, f"{folder.name}\n".encode())
    except OSError as error:
        if not folder.exists():  # else another process was faster, with the same bytes
            raise WriteError(f"{place}: the tables cannot be written: {error.strerror}; earlier ones stay") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def listed(path: Path) -> list[str]:
    """The names of folders that a file lists, in their order; none where there is no such file."""
    return path.read_text().split() if path.exists() else []


def _refuse_loss(definition: Definition, place: Path, n_rows: Mapping[str, int]) -> None:
    """SourceError for a table that has lost most of its rows since the last import of the same selects."""
    last = next((place / name for name in reversed(listed(place / IMPORTS)) if (place / name / ABOUT).exists()), None)
    about = json.loads((last / ABOUT).read_text("utf-8")) if last else {}
    if about.get("read_as") != read_as(definition):
        return
    for table, before in about["n_rows"].items():
        now = n_rows.get(table, 0)
        if before >= _FEWEST_TO_LOSE and 2 * now < before:
            raise SourceError(
                f"{definition.name}: {table} has {now:,} rows, and had {before:,} at the last import: is a file cut "
                "off, or the wrong one? The last import stays in force, and no page is touched. If it is right, say "
                f"so: closedloop check {definition.name} --accept-loss"
            )
