"""A warehouse being built: canonical tables, what was rejected, and the audit, from a market's raw files."""

import json
from datetime import date
from pathlib import Path

import pyarrow.parquet as parquet

from closedloop.market.contract import TABLES
from closedloop.market.definition import Definition
from closedloop.market.staging.audit import take_audit
from closedloop.market.staging.ladder import Ladder
from closedloop.market.staging.raw_files import quoted
from closedloop.market.warehouse import ABOUT


def _busy_days(ladder: Ladder) -> list[str]:
    """The days on which leads and deals begin or end: with them the market's periods are known without a query."""
    days: set[date] = set()
    for table, column in (("leads", "created_on"), ("deals", "created_on"), ("deals", "closed_on")):
        if column in ladder.columns.get(table, ()):
            found = ladder.connection.sql(f"select distinct {quoted(column)} from {table}").fetchall()
            days.update(day for (day,) in found if day is not None)
    return sorted(day.isoformat() for day in days)


def build(definition: Definition, folder: Path) -> None:
    """Climb the ladder from raw files to canonical tables, and write them with the audit of what it did."""
    ladder = Ladder(definition)
    ladder.climb()
    for part in ("tables", "audit", "rejected"):
        (folder / part).mkdir(parents=True)
    for name, columns in ladder.columns.items():
        order = ", ".join(quoted(key) for key in TABLES[name].key)
        query = f"select {', '.join(map(quoted, columns))} from {name} order by {order}"
        parquet.write_table(ladder.connection.sql(query).to_arrow_table(), folder / "tables" / f"{name}.parquet")
    about = {"market": definition.name, "busy_days": _busy_days(ladder)}
    (folder / ABOUT).write_text(json.dumps(about))
    take_audit(ladder).write(folder / "audit")
    for name, rejected in ladder.rejected.items():
        rejected.sort_values("line").to_json(folder / "rejected" / f"{name}.jsonl", orient="records", lines=True)
