"""The bundled market in plain DuckDB: its selects over its raw files, without the product's own checks."""

import tomllib
from pathlib import Path

import duckdb
import pandas as pd

HARBOR = Path(__file__).parents[2] / "data" / "harbor"
TRUTH = tomllib.loads((HARBOR / "truth.toml").read_text(encoding="utf-8"))
MARKET = tomllib.loads((HARBOR / "market.toml").read_text(encoding="utf-8"))
ORDER = (
    "accounts",
    "leads",
    "respondents",
    "deals",
    "stage_history",
    "materials",
    "touches",
    "notes",
    "spend",
)
MACROS = (
    "create macro as_amount(x) as try_cast(regexp_replace(x, '[^0-9.\\-]', '', 'g') as decimal(18,2))",
    "create macro as_flag(x) as case when lower(trim(x)) in ('yes','true','1','y','t') then true "
    "when lower(trim(x)) in ('no','false','0','n','f') then false end",
)


def harbor_database() -> duckdb.DuckDBPyConnection:
    """Return a database with every canonical table as the selects give it."""
    db = duckdb.connect()
    db.execute("create schema raw")
    for name, source in MARKET["sources"].items():
        raw = pd.read_csv(HARBOR / source["file"], dtype=str, keep_default_na=False)
        raw["row_no"] = range(1, len(raw) + 1)
        db.register("file", raw)
        db.execute(f"create table raw.{name} as select * from file")
    for macro in MACROS:
        db.execute(macro)
    for path in sorted(HARBOR.glob("_*.sql")):
        db.execute(f"create view {path.stem} as {path.read_text(encoding='utf-8')}")
    for table in ORDER:
        db.execute(f"create table {table} as {(HARBOR / f'{table}.sql').read_text(encoding='utf-8')}")
    return db


def harbor_tables() -> dict[str, pd.DataFrame]:
    """Return every canonical table by name, before any check."""
    with harbor_database() as db:
        return {name: db.execute(f"select * from {name}").fetch_df() for name in ORDER}
