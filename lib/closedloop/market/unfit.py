"""Values that must not come into a canonical table: days that cannot be, and what may be a person's number."""

import re
from collections.abc import Iterable

from closedloop.market.actions import EMAIL, TELEPHONE
from closedloop.market.contract import Table, kind_of
from closedloop.market.definition import Definition
from closedloop.market.raw_files import quoted

LIKE_A_TELEPHONE = "a value like a telephone number"
FIELD_YEARS = (1900, 2100)  # of any day that a market tells of
_EVENT_YEARS = (1990, 2100)  # of the contract's own dates: something happened between both teams and the customer
_MOST_CODES, _FEWEST_USES = 50, 5  # a list of codes has so few values, used so often; a list of people has neither


def outside(column: str, years: tuple[int, int]) -> str:
    """SQL condition: the day in ``column`` lies in none of these years."""
    return f"year({quoted(column)}) not between {years[0]} and {years[1]} or isinf({quoted(column)})"


def unfit(definition: Definition, table: Table, column: str, found: str) -> list[tuple[str, str]]:
    """Reason and SQL condition of every kind of value that must stop the loop in a column of the type ``found``."""
    kind, name = kind_of(column), quoted(column)
    if kind in ("date", "timestamp"):
        reason = f"a date outside {_EVENT_YEARS[0]}-{_EVENT_YEARS[1]}"
        is_event = table.governing(column) is not None and definition.clock != "order"  # a position may be any number
        return [(reason, outside(column, _EVENT_YEARS))] if is_event else []
    if found != "VARCHAR" or definition.privacy != "strict":
        return []
    email = ("a value like an e-mail address", f"contains({name}, '@') and regexp_matches({name}, '{EMAIL}')")
    if kind == "id" or column in definition.checked.get(table.name, ()):
        return [email]
    return [email, (LIKE_A_TELEPHONE, f"regexp_matches({name}, '{TELEPHONE}')")]


def are_codes(counts: Iterable[tuple[str, int]]) -> bool:
    """Few values, each on many rows, and none written as people write a number to call: of products, not of people."""
    known = list(counts)
    return len(known) <= _MOST_CODES and all(n >= _FEWEST_USES and not re.search(r"[+()\s]", text) for text, n in known)
