"""What looks wrong with a market's data though the contract allows it: counted, with its effect and how to mend it."""

import difflib
import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import duckdb
import pandas as pd

from closedloop.errors import allowed
from closedloop.market.contract import FIELD_TABLES, TABLES, is_field, kind_of, likeness
from closedloop.market.definition import Definition
from closedloop.market.reading.lines import AS_WRITTEN
from closedloop.market.reading.values import TO_MEND, currencies, currency_in
from closedloop.market.reading.words import words
from closedloop.market.sources import quoted
from closedloop.market.staging.days import alone, events_of, today
from closedloop.terms import NO_COMPETITOR

_AVALANCHE_SHARE, _AVALANCHE = 0.1, 20  # of all, and deals, on one day
_MONTH_ENDS = 0.3  # of the closing days; 3 % by chance
_MOST_SPELLED = 2_000  # values of a column that are compared
_NEARLY_EMPTY, _FEWEST = 0.05, 20
_MOSTLY = 0.5  # of the deals that ended
_MOST_SHOWN = 6
_QUIET_DAYS = 92  # before extracted_on: a source in use records something in a quarter
_ADD = "add to values.csv, below its first line (table,column,written,meaning,n): "
_NEAR = 0.75  # likeness of names that may be one


class Finding(NamedTuple):
    """``what`` was found in a column ``n`` times; ``effect``: on what the notebooks say; ``mend``: how to mend it."""

    table: str
    column: str
    what: str
    n: int
    effect: str
    mend: str


COLUMNS = Finding._fields


def findings(
    definition: Definition, connection: duckdb.DuckDBPyConnection, present: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    """Everything that looks wrong in the canonical tables whose columns are ``present``."""
    if definition.clock == "day":
        yield from _to_come(connection, present, today(definition.timezone))
        yield from _alone(definition, connection, present)
    for table, columns in present.items():
        frame = connection.execute(f"select {', '.join(map(quoted, columns))} from {table}").df()
        for column in columns:
            if kind_of(column) in ("text", "any") and not pd.api.types.is_numeric_dtype(frame[column]):
                yield from _written(table, column, frame[column])
            if column in definition.known_at(table) and len(frame) >= _FEWEST:
                yield from _says_nothing(table, column, frame[column])
        if table == "deals":
            yield from _deals(definition, frame)
            yield from _without_end(definition, frame)
            yield from _quiet(definition, frame)
        if table == "spend" and "leads" in present:
            yield from _campaigns(connection, present)


def foreign_amounts(
    definition: Definition, connection: duckdb.DuckDBPyConnection, numbers: Iterable[tuple[str, str]]
) -> Iterator[Finding]:
    """Columns of sources whose amounts name another currency than the market's, where no column tells it.

    ``numbers``: source and column, of those that a select reads as numbers, beside the columns that are declared.
    """
    declared = {(name, column, AS_WRITTEN.format(column)) for name, source in definition.sources.items()
                for column, kind in source.columns.items() if kind in ("amount", "number")}  # fmt: skip
    ours = definition.currency
    for source, column, written in sorted(declared | {(*one, one[1]) for one in numbers}):
        texts = f"select {quoted(written)}::varchar, count(*) from raw.{quoted(source)} where"
        counts = dict(connection.execute(f"{texts} {quoted(written)} is not null group by 1").fetchall())
        named = Counter[str]()
        for text, n in counts.items():
            named[currency_in(text)] += n
        n_foreign = sum(n for name, n in named.items() if name and ours not in currencies(name))
        if n_foreign and not _has_currencies(connection, source, ours):
            shown = ", ".join(f"{name!r} ({n:,})" for name, n in named.most_common(_MOST_SHOWN) if name)
            what = f"amounts in {shown}, and the market counts in {ours}"
            effect = f"what is not in {ours} is missing, or sums and means mix currencies"
            mend = "export converted amounts, or the currency in a column of its own, and add rates.csv"
            yield Finding(f"raw.{source}", column, what, n_foreign, effect, mend)


def _has_currencies(connection: duckdb.DuckDBPyConnection, source: str, ours: str) -> bool:
    """Does a column of the source tell the currency of each amount?"""
    frame = connection.execute(f"select * from raw.{quoted(source)}").df()
    told = ([currencies(str(text).strip()) for text in frame[name].dropna().unique()] for name in frame)
    return any(all(own) and any(ours in one for one in own) for own in told)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _written(table: str, column: str, texts: pd.Series) -> Iterator[Finding]:
    counts = texts[texts.map(lambda text: isinstance(text, str))].value_counts()
    is_category = table not in FIELD_TABLES or is_field(TABLES[table], column)
    if len(counts) == 0 or len(counts) > _MOST_SPELLED or not is_category or column == "text":
        return
    blanks = [text for text in counts.index if _plain(text) in words("blanks")["of"]]
    if blanks:
        shown = ", ".join(f"{text!r} ({counts[text]:,})" for text in blanks[:_MOST_SHOWN])
        yield Finding(table, column, f"likely stands for nothing: {shown}", int(counts[blanks].sum()),
                      "each is compared as a level of its own",
                      f"write blanks = [{allowed(map(json.dumps, blanks), _MOST_SHOWN)}] under the source")  # fmt: skip
    if likeness(texts) is not None:
        return
    meant = NO_COMPETITOR if column == "competitor" else ()
    nobody = [text for text in counts.index if text not in meant and _plain(text) in meant]
    for text in nobody:
        yield Finding(table, column, f"likely says that no rival was met, or named: {text!r} ({counts[text]:,})",
                      int(counts[text]), "it is taken for the name of a rival",
                      f"{_ADD}{table},{column},{text},{_plain(text)},")  # fmt: skip
    alike = defaultdict[str, list[str]](list)
    for text in counts.index:
        alike[_plain(text)].append(text)
    for group in (texts for texts in alike.values() if len(texts) > 1 and not {*texts} & {*nobody}):
        shown = ", ".join(f"{text!r} ({counts[text]:,})" for text in group[:_MOST_SHOWN])
        what, mend = f"one value in {len(group)} spellings: {shown}", f"{table},{column},{group[0]},{group[0]},"
        yield Finding(table, column, what, int(counts[group].sum()), "its records are split between levels",
                      f"{_ADD}{mend}")  # fmt: skip


def _says_nothing(table: str, column: str, cells: pd.Series) -> Iterator[Finding]:
    filled, levels = float(cells.notna().mean()), cells.nunique()
    if filled < _NEARLY_EMPTY:
        yield Finding(table, column, f"nearly empty: filled on {filled:.1%}", int(cells.notna().sum()),
                      "it is compared on too few records", f"leave it out of [fields.{table}]")  # fmt: skip
    elif levels == 1:
        yield Finding(table, column, "holds one value", int(cells.notna().sum()), "it compares nothing",
                      f"leave it out of [fields.{table}]")  # fmt: skip


def _quiet(definition: Definition, deals: pd.DataFrame) -> Iterator[Finding]:
    """A last day long after the last deal: open ones age until then, and periods go by in which nothing happened."""
    days = [pd.to_datetime(deals[name]).max() for name in ("created_on", "closed_on") if name in deals]
    known = [day for day in days if pd.notna(day)]
    if definition.clock != "day" or definition.last_day is None or not known:
        return
    n_days = (pd.Timestamp(definition.last_day) - max(known)).days
    if n_days > _QUIET_DAYS:
        yield Finding("deals", "created_on", f"no deal was opened or closed in the {n_days:,} days before extracted_on",
                      len(deals), "open deals are that much older, and later periods are empty",
                      "mend extracted_on in market.toml, or export what is missing")  # fmt: skip


def _to_come(
    connection: duckdb.DuckDBPyConnection, present: Mapping[str, Sequence[str]], now: date
) -> Iterator[Finding]:
    """Days of events that are not here yet."""
    for table, columns in present.items():
        for column in events_of(table, columns):
            query = f"select {column}, count(*) from {table} where {column} > $now group by 1 order by 2 desc, 1"
            if days := connection.execute(query, {"now": now}).fetchall():
                n, shown = sum(n for _, n in days), ", ".join(f"{day} ({n:,})" for day, n in days[:_MOST_SHOWN])
                yield Finding(table, column, f"held days to come when it was imported, on {now}: {shown}", n,
                              "what has not happened counts as done, and periods to come may be told as over",
                              "mend the days in the source; a forecast belongs into expected_close_on")  # fmt: skip


def _alone(
    definition: Definition, connection: duckdb.DuckDBPyConnection, present: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    """One or two days far behind all others, where they say up to which day the data go."""
    found = alone(connection, present) if definition.extracted_on == "latest" else None
    day, n_days = found or (None, 0)
    for table, columns in present.items() if found else ():
        for column in events_of(table, columns):
            row = connection.execute(f"select count(*) from {table} where {column} >= $day", {"day": day}).fetchone()
            if row and row[0]:
                what = f"{day} stands alone, {n_days:,} days behind all other days"
                yield Finding(table, column, what, row[0],
                              "if it is a slip, the data end that much earlier, and open deals are younger",
                              "mend the day in the source, or write extracted_on in market.toml")  # fmt: skip


def _deals(definition: Definition, deals: pd.DataFrame) -> Iterator[Finding]:
    for column, what in (("created_on", "created"), ("closed_on", "closed")):
        if column not in deals or definition.clock != "day":
            continue
        counts = deals[column].dropna().value_counts()
        if len(counts) > 1 and counts.iloc[0] >= max(_AVALANCHE, _AVALANCHE_SHARE * counts.sum()):
            day = f"{pd.Timestamp(counts.index[0]).date()}"
            yield Finding("deals", column, f"{counts.iloc[0]:,} of {counts.sum():,} deals were {what} on {day}",
                          int(counts.iloc[0]), "its period looks better or worse than it was",
                          f"an import or a clean-up? Then make {column} null on that day in deals.sql")  # fmt: skip
    if "closed_on" in deals and definition.clock == "day":
        days = pd.to_datetime(deals["closed_on"].dropna())
        n_ends = int(days.dt.is_month_end.sum())
        if len(days) >= _FEWEST and n_ends > _MONTH_ENDS * len(days):
            yield Finding("deals", "closed_on", f"{n_ends:,} of {len(days):,} closing days are month ends", n_ends,
                          "forecasts may stand for closing days: durations and periods are theirs",
                          "take the day on which the deal came into a closed stage")  # fmt: skip
    outcomes = set(deals["outcome"].dropna())
    declared = definition.deals.outcomes if definition.deals else ()
    if len(deals) >= _FEWEST and "lost" in declared and not outcomes >= {"won", "lost"}:
        mend = "see what stages mean in values.csv or deals.sql"
        yield Finding("deals", "outcome", f"holds only: {allowed(sorted(outcomes))}", len(deals),
                      "how often deals are won cannot be told", mend)  # fmt: skip
    if "loss_reason" in deals:
        counts = deals["loss_reason"].dropna().value_counts()
        if counts.sum() >= _FEWEST and counts.iloc[0] > counts.sum() / 2 and len(counts) > 1:
            what = f"{counts.index[0]!r} is {counts.iloc[0]:,} of {counts.sum():,} reasons"
            yield Finding("deals", "loss_reason", what, int(counts.iloc[0]), "why deals are lost is hardly told",
                          "ask for it with a shorter list, or look whether it is what a form proposes")  # fmt: skip


def _without_end(definition: Definition, deals: pd.DataFrame) -> Iterator[Finding]:
    """Most deals that ended have no day on which they did: pages take each for open."""
    ended = deals[deals["outcome"] != "open"]
    n_without = int(ended["closed_on"].isna().sum()) if "closed_on" in deals else len(ended)
    if definition.clock == "day" and n_without > _MOSTLY * len(ended):
        yield Finding("deals", "closed_on", f"{n_without:,} of {len(ended):,} deals that ended have no closing day",
                      n_without, "pages count them as open: nothing of how deals end can be told",
                      "name the column that holds the day in deals.sql: ... as closed_on")  # fmt: skip


def _campaigns(connection: duckdb.DuckDBPyConnection, present: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Campaigns that cost money and brought no lead, with the nearest name among the leads'."""
    if "campaign" not in present["spend"] or "campaign" not in present["leads"]:
        return
    counted = "select campaign, count(*) from {} where campaign is not null group by 1"
    spent, led = (dict(connection.execute(counted.format(table)).fetchall()) for table in ("spend", "leads"))
    for name in sorted(set(spent) - set(led)):
        near = difflib.get_close_matches(name, led, 1, _NEAR)
        if near:
            what, mend = (
                f"{name!r} is no campaign of a lead; the nearest is {near[0]!r}",
                f"spend,campaign,{name},{near[0]},",
            )
            yield Finding("spend", "campaign", what, spent[name], "its money meets no leads", f"{_ADD}{mend}")


def told(finding: Mapping[Any, Any]) -> str:
    """One finding as a line that a person reads."""
    return "check {table}.{column}: {what}; then {effect}".format(**finding) + f"{TO_MEND}{finding['mend']}"
