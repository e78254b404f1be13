"""Amounts so far above the others that a slip is likelier than a deal: digits too many, a comma lost."""

import duckdb

from closedloop.market.raw_files import quoted

_TIMES, _DEVIATIONS, _FEWEST = 100, 5, 10


def far_amounts(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> tuple[str, list[int], list[str]]:
    """What is said of the far amounts of a column, their lines and the amounts, the largest first; none give "".

    Far on both scales: a hundred times the median, and five robust deviations of the logarithms above it, so that
    amounts which are uneven by nature are left alone. Columns with fewer than ten amounts are not judged.
    """
    paid = f"select _line, {quoted(column)}::double as amount from {table} where {quoted(column)} > 0"
    found = connection.execute(
        f"select _line, amount, amount / middle as times, n from ({paid}), (select median(amount) as middle,"
        f" 1.4826 * mad(ln(amount)) as deviation, count(*) as n from ({paid}))"
        f" where n >= {_FEWEST} and amount > {_TIMES} * middle"
        f" and ln(amount / middle) > {_DEVIATIONS} * deviation order by amount desc, _line"
    ).fetchall()
    if not found:
        return "", [], []
    times, n = found[-1][2], found[0][3]
    are = "is" if len(found) == 1 else "are over"
    told = f"{len(found)} of {n} {are} {float(f'{times:.1g}'):,.0f} times the median"
    return told, [int(line) for line, *_ in found], [f"{amount:.15g}" for _, amount, *_ in found]
