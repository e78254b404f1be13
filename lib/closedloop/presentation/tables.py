"""Frames as tables for people: labelled columns, units written out, every text escaped, long ones cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from closedloop.presentation import numbers
from closedloop.presentation.blocks import citing
from closedloop.presentation.sentences import Words

LIMIT = 12
_RECORD_COLUMNS: Mapping[str, str] = {  # of a list of records to call
    "rank": "rank",
    "record_id": "record",
    "account_id": "account",
    "rep_id": "owner",
    "persona": "persona",
    "score": "score",
    "reasons": "for",
    "caution": "against",
    "age_days": "known for",
    "last_touch_on": "last touch",
    "last_touch_position": "position of the last touch",
    "status": "status",
    "stage": "stage",
    "slot": "slot",
}
_UNITS = {"rate": "rate", "share": "rate", "amount": "amount", "days": "days", "points": "points"}


@dataclass(frozen=True, repr=False)
class Table:
    """A table whose cells are already text; ``n_left_out`` rows are only in the stored one.

    ``claims``: for each row the ids of the claims that its figures come from; empty for records and texts.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    caption: str = ""
    n_left_out: int = 0
    claims: tuple[tuple[str, ...], ...] = ()

    def _repr_html_(self) -> str:
        places = [' class="number"' if is_right else "" for is_right in self.numeric]
        head = "".join(
            f'<th scope="col"{place}>{escape(name)}</th>' for name, place in zip(self.columns, places, strict=True)
        )
        body = ""
        for row, ids in zip(self.rows, self.claims or ((),) * len(self.rows), strict=True):
            first = f'<th scope="row">{escape(row[0])}</th>' if row else ""
            rest = zip(row[1:], places[1:], strict=True)
            cells = "".join(f"<td{place}>{escape(cell)}</td>" for cell, place in rest)
            body += f"<tr{citing(ids)}>{first}{cells}</tr>"
        more = f"{self.n_left_out} more rows are in the stored table." if self.n_left_out else ""
        said = " ".join(part for part in (self.caption, more) if part)
        caption = f"<caption>{escape(said)}</caption>" if said else ""
        return f'<table class="data">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def __repr__(self) -> str:
        return pd.DataFrame(list(self.rows), columns=list(self.columns)).to_string(index=False)


def table(
    frame: pd.DataFrame,
    columns: Mapping[str, str],
    words: Words,
    *,
    units: Mapping[str, str] | None = None,
    caption: str = "",
    limit: int = LIMIT,
) -> Table:
    """The first ``limit`` rows of ``frame`` with the named columns under their headings.

    ``columns``: column -> heading; those that the frame lacks are left out. Units come from the names
    (``_rate``, ``_days``, ``_amount``, ``n_``, ``is_``, ``_on``) unless ``units`` tells them.
    """
    kept = [name for name in columns if name in frame.columns]
    known = {name: (units or {}).get(name) or unit_of(name) for name in kept}
    rows = [tuple(cell(row[name], known[name], words) for name in kept) for _, row in frame.head(limit).iterrows()]
    numeric = tuple(known[name] not in ("text", "flag", "label") for name in kept)
    headings = tuple(columns[name] for name in kept)
    return Table(headings, tuple(rows), numeric, caption, max(len(frame) - limit, 0))


def record_table(frame: pd.DataFrame, words: Words, *, without: Sequence[str] = (), limit: int = LIMIT) -> Table:
    """A list of records to call with personas by name; what the source does not record has no column."""
    columns = {name: told for name, told in _RECORD_COLUMNS.items() if name not in without}
    worded = {name: [words.reasons(moved) for moved in frame[name]] for name in ("reasons", "caution")}
    named = frame.assign(persona=[words.name(str(name)) for name in frame["persona"]], **worded)
    recorded = named.replace("", float("nan")).dropna(axis=1, how="all")
    return table(recorded, columns, words, units={"score": "rate", "status": "label", "stage": "label"}, limit=limit)


def unit_of(name: str) -> str:
    """The unit that a column's name tells."""
    if name.startswith("n_") or name in ("n", "k", "rank", "size"):
        return "count"
    if name.startswith("is_"):
        return "flag"
    if name.endswith("_on"):
        return "day"
    return _UNITS.get(name.rsplit("_", 1)[-1], "text")


def cell(value: Any, unit: str, words: Words) -> str:
    """One value as text, in its unit; a flag reads yes or no."""
    if numbers.is_missing(value):
        return numbers.MISSING
    if unit == "flag":
        return "yes" if bool(value) else "no"
    if unit == "day":
        return numbers.day(value)
    if unit == "label":
        return str(value).replace("_", " ")
    return str(value) if unit == "text" else numbers.written(value, unit, words.currency)
