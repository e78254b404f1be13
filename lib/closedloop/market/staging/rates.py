"""``rates.csv``: what a currency is worth in the market's own, month by month."""

import csv
import io
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import duckdb

from closedloop.errors import DefinitionError

_HEAD = ["currency", "month", "rate"]


def add_rates(connection: duckdb.DuckDBPyConnection, path: Path, currency: str) -> None:
    """The function ``in_currency(amount, currency, day)``: in the market's currency, missing where no rate is known.

    Errors: DefinitionError with the line.
    """
    connection.execute("create table _rates (currency varchar, month date, rate decimal(18, 8))")
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig")))) if path.exists() else [_HEAD]
    if not rows or rows[0] != _HEAD:
        raise DefinitionError(f"{path}: its first line must be {','.join(_HEAD)}")
    for line, row in enumerate(rows[1:], 2):
        try:
            code, month, rate = row
            connection.execute(
                "insert into _rates values (?, ?, ?)",
                [code.upper(), date.fromisoformat(f"{month[:7]}-01"), Decimal(rate)],
            )
        except (ValueError, InvalidOperation, duckdb.Error) as error:
            raise DefinitionError(f"{path}, line {line}: found {','.join(row)!r}; allowed: USD,2024-03,0.92") from error
    rate = (
        "select max(r.rate) from _rates r where r.currency = upper(trim(code)) and r.month = date_trunc('month', day)"
    )
    is_ours = f"coalesce(upper(trim(code)), '{currency}') = '{currency}'"
    connection.execute(
        f"create macro in_currency(x, code, day) as case when {is_ours} then x else (x * ({rate}))::decimal(18, 2) end"
    )
