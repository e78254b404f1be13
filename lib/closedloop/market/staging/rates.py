"""``rates.csv``: what a currency is worth in the market's own, month by month."""

import csv
import io
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import duckdb

from closedloop.errors import DefinitionError
from closedloop.market.reading.words import words

_HEAD = ["currency", "month", "rate"]


def add_rates(connection: duckdb.DuckDBPyConnection, path: Path, currency: str) -> None:
    """The function ``in_currency(amount, currency, day)``: in the market's currency, missing where no rate is known.

    A currency by its code, or by a name or sign of it alone.
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
    connection.execute("create table _currencies (name varchar, iso varchar)")  # names and signs of one currency alone
    known = [[name, codes[0]] for name, codes in words("currencies").items() if len(codes) == 1]
    connection.executemany("insert into _currencies values (?, ?)", known)
    named = "select max(c.iso) from _currencies c where c.name = lower(trim(text))"
    connection.execute(f"create macro _currency(text) as coalesce(({named}), upper(trim(text)))")
    rate = "select max(r.rate) from _rates r where r.currency = _currency(code) and r.month = date_trunc('month', day)"
    is_ours = f"coalesce(_currency(code), '{currency}') = '{currency}'"
    connection.execute(
        f"create macro in_currency(x, code, day) as case when {is_ours} then x else (x * ({rate}))::decimal(18, 2) end"
    )
