"""Checks of rows: values that the contract does not allow, contradictions, far amounts; and what was done about it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import duckdb
import pandas as pd
import pandera.errors
import pandera.pandas as pa

from closedloop.errors import allowed
from closedloop.market.contract import TABLES, Column, Table, kind_of
from closedloop.market.definition import Definition
from closedloop.market.periods import as_told
from closedloop.market.reading.database import Keys
from closedloop.market.reading.parts import Places
from closedloop.market.reading.values import TO_MEND
from closedloop.market.sources import quoted
from closedloop.market.staging.effects import effect

_IN_WORDS = {"below 0": "0 or more", "above 1": "0 to 1", "not above 0": "above 0"}
_MOST_LISTED = 30
_BOUNDS = {"amount": (0, None), "count": (0, None), "rate": (0, 1)}
EMAIL = r"[^@\s]+@[^@\s]+\.[a-zA-Z]{2,}"
_CALLED = r"(^|[\s:])(\+[1-9][0-9 ().\-]{7,}[0-9]|00[1-9][0-9 ().\-]{7,}[0-9]\b)"  # from abroad
TELEPHONE = rf"{_CALLED}|\(?\b[0-9]{{3}}\)?[ .\-][0-9]{{3}}[ .\-][0-9]{{4}}\b"
_RECORD = re.compile(r"\b[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?\b")  # an identifier of Salesforce; all may be digits
COLUMNS = ("table", "action", "reason", "column", "n", "values", "allowed", "file", "lines", "effect", "mend")
_MOST_SHOWN = 5
_LONGEST = 60
Action = dict[str, Any]


class Actions(list[Action]):
    """Actions in the order in which they were taken, with the keys COLUMNS; without a file ``lines`` are rows.

    ``places``: of files that are read as one, by their common name, in which of them a line stands.
    """

    def __init__(self, is_strict: bool) -> None:
        super().__init__()
        self._is_strict = is_strict
        self.places: dict[str, Places | Keys] = {}

    def lines(self, file: str, lines: Sequence[int]) -> str:
        """The first lines as a person finds them in the file, or the keys of the rows in a database."""
        places = self.places.get(file)
        said = [(line, places.said(line) if places else str(line)) for line in sorted(lines)]
        shown = [f"row {line}" if self._is_strict and re.search(EMAIL, text) else text for line, text in said]
        return allowed(shown, _MOST_SHOWN) if shown else ""

    def place(self, file: str, lines: Sequence[int]) -> str:
        """A file and its first lines, or a table and the keys of its rows."""
        word = "" if isinstance(self.places.get(file), Keys) else "line "
        return f"{file}, {word}{self.lines(file, lines)}"

    def note(
        self,
        table: str,
        action: str,
        reason: str,
        column: str = "",
        *,
        lines: Sequence[int] = (),
        values: Iterable[object] = (),
        allowed: str = "",
        file: str = "",
        n: int | None = None,
    ) -> None:
        """Add one action; ``n``: where it is not that of lines. A ``reason`` may say at its end how to mend it."""
        count = len(lines) if n is None else n
        reason, _, own = reason.partition(TO_MEND)
        does, mend = effect(action, reason)
        told = self._shown(values, has_ids=any(kind_of(name) == "id" for name in column.split(", ")))
        shown = (table, action, reason, column, count, told, allowed, file, self.lines(file, lines))
        self.append(dict(zip(COLUMNS, (*shown, does, own or mend), strict=True)))

    def _shown(self, values: Iterable[object], *, has_ids: bool) -> str:
        """The most frequent values with their counts, e-mail addresses and telephone numbers left out."""
        counts = Counter(self._plain(str(value), has_ids=has_ids) for value in values).most_common()
        named = [f"{value} ({n} times)" if n > 1 else value for value, n in counts]
        return allowed(named, _MOST_SHOWN) if named else ""

    def _plain(self, value: str, *, has_ids: bool) -> str:
        rest = _RECORD.sub("", value) if has_ids else value
        for pattern, name in ((EMAIL, "an e-mail address"), (TELEPHONE, "a telephone number")):
            if self._is_strict and re.search(pattern, rest):
                return f"(like {name})"
        return f"'{value[:_LONGEST]}…'" if len(value) > _LONGEST else f"'{value}'"


def told(action: Mapping[Any, Any]) -> str:
    """One action as a line that a person reads."""
    columns = [name for name in action["column"].split(", ") if name and name not in action["reason"]]
    place = ".".join([action["table"], *columns]) if len(columns) < 2 else action["table"]
    about = f" ({action['column']})" if len(columns) > 1 else ""
    n = f"{action['n']:,} time{'s' * (action['n'] != 1)}"
    parts = [f"{action['action']}, {n}: {place} {action['reason']}{about}"]
    parts += [f"found {action['values']}"] if action["values"] else []
    parts += [f"allowed: {action['allowed']}"] if action["allowed"] else []
    if action["lines"]:
        kind = f"{action['file']}, line{'s' * (action['n'] != 1)}" if action["file"] else "row of the select"
        is_named = not action["lines"][0].isdigit()  # by the key of a table's row
        parts.append(f"{action['file']}, {action['lines']}" if is_named else f"{kind} {action['lines']}")
    return "; ".join([*parts, f"then {action['effect']}"]) + f"{TO_MEND}{action['mend']}"


def _checks(column: Column) -> list[pa.Check]:
    listed = column.values  # noqa: PD011 - a tuple of the contract, no frame
    if listed:
        return [pa.Check.isin(listed, error="not in list")]
    if column.name == "weight":
        return [pa.Check.gt(0, error="not above 0")]
    low, high = _BOUNDS.get(kind_of(column.name), (None, None))
    checks = [pa.Check.ge(low, error="below 0")] if low is not None else []
    return checks + ([pa.Check.le(high, error="above 1")] if high is not None else [])


def checked(table: Table, columns: list[str]) -> list[str]:
    """Those of ``columns`` whose values the contract limits: required ones, listed ones, amounts, counts, rates."""
    limited = [table.column(name) or Column(name, "a declared field") for name in columns]
    return [column.name for column in limited if column.required or _checks(column)]


@cache
def schema(table: str, present: tuple[str, ...]) -> pa.DataFrameSchema:
    """The checks of one canonical table over its columns that are present, extra ones by their names."""
    columns = {}
    for name in present:
        column = TABLES[table].column(name) or Column(name, "a declared field")
        columns[name] = pa.Column(None, checks=_checks(column), nullable=not column.required)
    return pa.DataFrameSchema(columns)


class Problem(NamedTuple):
    """Values that the contract does not allow: why, in which column and rows, and what is allowed, in words."""

    reason: str
    column: str
    rows: list[int]
    allowed: str


def problems(table: Table, frame: pd.DataFrame) -> Iterator[Problem]:
    """Every kind of value that the contract does not allow."""
    try:
        schema(table.name, tuple(frame.columns)).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases.dropna(subset=["index"])
        for (name, check), part in cases.groupby(["column", "check"]):
            reason = "missing" if check == "not_nullable" else str(check)
            column = table.column(str(name))
            listed = allowed(column.values, _MOST_LISTED) if column and reason == "not in list" else ""
            rows = sorted({int(i) for i in part["index"]})
            yield Problem(reason, str(name), rows, listed or _IN_WORDS.get(reason, ""))


LIKE_A_TELEPHONE = "a value like a telephone number"
FIELD_YEARS = (1900, 2100)  # of any day that a market tells of
_EVENT_YEARS = (1990, 2100)  # of the contract's own dates: something happened between both teams and the customer
_MOST_CODES, _FEWEST_USES = 50, 5  # a list of codes has so few values, used so often; a list of people has neither


def outside(column: str, years: tuple[int, int]) -> str:
    """SQL condition: the day in ``column`` lies in none of these years."""
    return f"year({quoted(column)}) not between {years[0]} and {years[1]} or isinf({quoted(column)})"


def stops(table: Table, column: str) -> bool:
    """Does a day that cannot be stop the import? That of an event does; companies are as old as they are."""
    return table.governing(column) is not None and table.name != "accounts"


def unfit(definition: Definition, table: Table, column: str, found: str) -> list[tuple[str, str]]:
    """Reason and SQL condition of every kind of value that must stop the loop in a column of the type ``found``."""
    kind, name = kind_of(column), quoted(column)
    if kind in ("date", "timestamp"):
        reason = f"a date outside {_EVENT_YEARS[0]}-{_EVENT_YEARS[1]}"
        is_event = stops(table, column) and definition.clock != "order"  # a position may be any number
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


@dataclass(frozen=True)
class Flag:
    """A contradiction: ``condition`` is SQL over the table's row ``t``.

    It is looked for when the columns it ``needs`` exist: the table's own, or ``leads.created_on`` of another table.
    ``missing`` is the column whose gap it is about: a cell that could not be read is no gap. ``allowed``, in words.
    """

    table: str
    reason: str
    condition: str
    needs: tuple[str, ...] = ()
    missing: str = ""
    allowed: str = ""

    @property
    def columns(self) -> str:
        """The table's own columns that it is about."""
        return ", ".join(need for need in self.needs if "." not in need)

    def possible(self, present: dict[str, list[str]]) -> bool:
        """Does the market have the table and the needed columns?"""
        places = [need.split(".") if "." in need else [self.table, need] for need in self.needs]
        return self.table in present and all(column in present.get(table, ()) for table, column in places)


_STATUS_DATES = (
    "created_on",
    "marketing_qualified_on",
    "handed_off_on",
    "sales_accepted_on",
    "sales_qualified_on",
)
_FIXED = (
    Flag("deals", "closed before created", "closed_on < created_on", ("closed_on", "created_on")),
    Flag("deals", "open with closed_on", "outcome = 'open' and closed_on is not null", ("closed_on",)),
    Flag("deals", "closed without closed_on", "outcome <> 'open' and closed_on is null", ("closed_on",), "closed_on"),
    Flag("deals", "won_amount without won", "won_amount is not null and outcome <> 'won'", ("won_amount",)),
    Flag(
        "deals",
        "won without won_amount",
        "won_amount is null and outcome = 'won'",
        ("won_amount",),
        missing="won_amount",
    ),
    Flag(
        "deals",
        "loss_reason on won or open",
        "loss_reason is not null and outcome in ('won', 'open')",
        ("loss_reason",),
    ),
    Flag(
        "deals",
        "deal before its lead",
        "created_on < (select l.created_on from leads l where l.lead_id = t.lead_id)",
        ("created_on", "lead_id", "leads.created_on"),
    ),
    Flag("leads", "arm without experiment", "arm is not null and experiment is null", ("arm", "experiment")),
    Flag("spend", "ends before it starts", "ends_on < starts_on", ("ends_on",)),
    Flag(
        "stage_history",
        "change_no not 1..n",
        "change_no > (select count(*) from stage_history h where h.deal_id = t.deal_id) or change_no < 1",
    ),
    Flag(
        "stage_history",
        "dates falling",
        "entered_on < (select max(h.entered_on) from stage_history h"
        " where h.deal_id = t.deal_id and h.change_no < t.change_no)",
    ),
    *(
        Flag(
            "stage_history",
            f"change {side} its deal's life",
            f"exists (select 1 from deals d where d.deal_id = t.deal_id and t.entered_on {sign} d.{edge})",
            (f"deals.{edge}",),
        )
        for side, sign, edge in (("before", "<", "created_on"), ("after", ">", "closed_on"))
    ),
)


def _ordered() -> list[Flag]:
    ends = [("created_on", "recycled_on"), ("handed_off_on", "recycled_on"), ("created_on", "disqualified_on")]
    return [
        Flag("leads", f"{later} before {earlier}", f"{later} < {earlier}", (earlier, later))
        for earlier, later in [*combinations(_STATUS_DATES, 2), *ends]
    ]


def _references() -> list[Flag]:
    return [
        Flag(
            table.name,
            f"{column.name} not found in {column.refers}",
            f"{column.name} is not null"
            f" and not exists (select 1 from {column.refers} r where r.{column.name} = t.{column.name})",
            (column.name, f"{column.refers}.{column.name}"),
        )
        for table in TABLES.values()
        for column in table.columns
        if column.refers
    ]


def _dates(definition: Definition) -> list[Flag]:
    born = [Flag(t.name, f"{t.born} missing", f"{t.born} is null", (t.born,), t.born) for t in TABLES.values()]
    if definition.last_day is None:
        return born
    last = f"up to {as_told(definition, definition.last_day)}"
    late = [
        Flag(
            *(t.name, f"{c.name} after extracted_on", f"{c.name} > date '{definition.last_day}'", (c.name,)),
            allowed=last,
        )
        for t in TABLES.values()
        for c in t.columns
        if c.name == t.born or c.shown == "own"
    ]
    return born + late


def _declared(definition: Definition) -> list[Flag]:
    if definition.deals is None:
        return []
    outcomes = ", ".join(f"'{outcome}'" for outcome in (*definition.deals.outcomes, "open"))
    declared = allowed((*definition.deals.outcomes, "open"))
    flags = [Flag("deals", "outcome not declared", f"outcome not in ({outcomes})", ("outcome",), allowed=declared)]
    if definition.deals.every_stage:
        stages = ", ".join("'" + stage.replace("'", "''") + "'" for stage in definition.deals.every_stage)
        flags.append(
            Flag(
                "deals",
                "open in an undeclared stage",
                f"outcome = 'open' and stage not in ({stages})",
                ("stage",),
                allowed=allowed(definition.deals.every_stage),
            )
        )
    return flags


def _undated_ends(present: Mapping[str, Sequence[str]]) -> list[Flag]:
    """Deals that ended, where nothing says when, though days of other things are recorded."""
    every = [(name, column) for name, columns in present.items() for column in columns]
    is_dated = any(TABLES[name].column(column) and kind_of(column) == "date" for name, column in every)
    if not is_dated or "closed_on" in present.get("deals", ("closed_on",)):
        return []
    return [Flag("deals", "closed without closed_on", "outcome <> 'open'")]


def _spelled_alike() -> list[Flag]:
    return [
        Flag(
            "deals",
            f"{name} unlike its lead's",
            f"{name} <> (select l.{name} from leads l where l.lead_id = t.lead_id)",
            (name, "lead_id", f"leads.{name}"),
        )
        for name in ("channel", "campaign")
    ]


def flags_for(definition: Definition, present: dict[str, list[str]]) -> list[Flag]:
    """Every contradiction that can be looked for, given each table's columns that are present."""
    every = [
        *_FIXED,
        *_ordered(),
        *_references(),
        *_dates(definition),
        *_declared(definition),
        *_undated_ends(present),
        *_spelled_alike(),
    ]
    return [flag for flag in every if flag.possible(present)]
