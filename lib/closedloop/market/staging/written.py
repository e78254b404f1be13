"""What one pass over a market leaves in a folder: tables, what was set aside, and what is known of the whole."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as parquet

from closedloop.market.building import ABOUT
from closedloop.market.contract import TABLES
from closedloop.market.kept import read_as
from closedloop.market.reading.parts import Places
from closedloop.market.sources import quoted
from closedloop.market.staging.days import busy_days, last_day
from closedloop.market.staging.ladder import Ladder


def write(ladder: Ladder, folder: Path) -> None:
    """Write the canonical tables, what was set aside of each, and the days on which something happened."""
    for part in ("tables", "rejected"):
        (folder / part).mkdir(parents=True)
    for name, columns in ladder.columns.items():
        order = ", ".join(quoted(key) for key in TABLES[name].key)
        query = f"select {', '.join(map(quoted, columns))} from {name} order by {order}"
        parquet.write_table(ladder.connection.sql(query).to_arrow_table(), folder / "tables" / f"{name}.parquet")
    for name, rejected in ladder.rejected.items():
        shown = _placed(ladder, name, rejected.sort_values("line"))
        shown.to_json(folder / "rejected" / f"{name}.jsonl", orient="records", lines=True)
    about = {
        "market": ladder.definition.name,
        "busy_days": busy_days(ladder.connection, ladder.columns),
        "last_day": last_day(ladder.connection, ladder.columns),
        "read_as": read_as(ladder.definition),
        "n_rows": n_rows(ladder),
        "headers": ladder.raw.headers,
    }
    (folder / ABOUT).write_text(json.dumps(about))


def n_rows(ladder: Ladder) -> dict[str, int]:
    """How many rows each canonical table has."""
    return {name: ladder.connection.sql(f"select * from {name}").shape[0] for name in ladder.columns}


def _placed(ladder: Ladder, name: str, rejected: pd.DataFrame) -> pd.DataFrame:
    """What was set aside, with the file of each line where several are read as one table."""
    places = ladder.actions.places.get(ladder.file_of(name))
    if isinstance(places, Places):
        files, lines = zip(*map(places.of, rejected["line"]), strict=True)
        return rejected.assign(file=files, line=lines)
    return rejected
