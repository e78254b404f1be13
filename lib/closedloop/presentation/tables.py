"""Claims and records as tables and figures: labelled columns, units written out, long ones cut."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from closedloop.presentation import numbers
from closedloop.presentation.blocks import LIMIT, Table, claim_ids
from closedloop.presentation.charts import Picture, bars, dots
from closedloop.presentation.sentences import (
    Claim,
    backed,
    is_weighted,
    records,
    value,
)
from closedloop.presentation.words import Words

Label = Callable[[Claim], str]
Column = str | Callable[[Mapping[str, Claim]], str]
Columns = Mapping[str, str | tuple[str, Column]]  # as ``table_of`` takes them


def label_of(words: Words) -> Label:
    """How a row of claims is named: its persona or competitor, and its level in a few words."""

    def named(claim: Claim) -> str:
        column, subject = str(claim["field"] or ""), str(claim["subject"])
        said = [] if subject == "market" else [words.told(subject)]
        said += [words.short(column, claim["level"])] if column else []
        return ", ".join(said) or "all together"

    return named


def dots_of(
    claims: pd.DataFrame, words: Words, title: str, axis: str, label: Label | None = None, **more: Any
) -> Picture:
    """Claims of one unit as points with their intervals (``charts.dots``), in the frame's order."""
    rows, unit = claims[["estimate", "low", "high", "n", "baseline", "claim_id"]], str(claims["unit"].iloc[0])
    if rows["baseline"].isna().all():
        rows = rows.drop(columns="baseline")
    told, named = records(claims), label or label_of(words)
    rows = rows.assign(
        n_effective=[claim["n_effective"] if is_weighted(claim) else np.nan for claim in told],
        label=[named(claim) for claim in told],
        is_sure=~claims["verdict"].isin(["leaning", "indistinguishable", "refused"]),
    )
    return dots(rows, title, axis, unit=unit, currency=words.currency, **more)


def bars_of(
    claims: pd.DataFrame, title: str, axis: str, label: Label, remark: Label | None = None, caption: str = ""
) -> Picture:
    """Counted claims as bars, each with a remark (``charts.bars``)."""
    told = records(claims)
    remarks = ["" if remark is None else remark(claim) for claim in told]
    rows = pd.DataFrame(
        {"label": [label(claim) for claim in told], "n": claims["estimate"].to_numpy(), "remark": remarks}
    )
    return bars(rows.assign(claim_id=claims["claim_id"].to_numpy()), title, axis, caption=caption)


def table_of(
    claims: pd.DataFrame,
    words: Words,
    heading: str,
    columns: Columns,
    *,
    label: Label | None = None,
    caption: str = "",
    limit: int = LIMIT,
) -> Table:
    """Claims as a table: a row for each (subject, field, level, within), a column for each measure.

    ``columns``: measure -> heading, shown as ``value``; or any key -> (heading, "backed" | a function of the row's
    claims by measure). Rows come in the frame's order; a measure that no row has is left out.
    """
    groups: dict[tuple[Any, ...], list[Claim]] = {}
    for claim in records(claims):
        groups.setdefault((claim["subject"], claim["field"], claim["level"], claim["within"]), []).append(claim)
    rows = [{str(claim["measure"]): claim for claim in group} for group in groups.values()]
    told = {name: (column, "value") if isinstance(column, str) else column for name, column in columns.items()}
    shown = {name: of for name, of in told.items() if callable(of[1]) or any(name in row for row in rows)}
    name_of = label or label_of(words)

    def cell(row: Mapping[str, Claim], name: str, how: Column) -> str:
        if callable(how):
            return how(row)
        claim = row.get(name)
        return numbers.MISSING if claim is None else {"value": value, "backed": backed}[how](claim, words)

    cells = [
        (name_of(next(iter(row.values()))), *(cell(row, name, how) for name, (_, how) in shown.items()))
        for row in rows[:limit]
    ]
    heads = (heading, *(head for head, _ in shown.values()))
    numeric = (False, *(not callable(how) for _, how in shown.values()))
    ids = tuple(claim_ids(*group) for group in list(groups.values())[:limit])
    return Table(heads, tuple(cells), numeric, caption, max(len(rows) - limit, 0), ids)


_RECORD_COLUMNS: Mapping[str, str] = {  # of a list of records to call
    "rank": "rank",
    "record_id": "record",
    "account_id": "account",
    "rep_id": "owner",
    "persona": "persona",
    "score": "score",
    "points": "points",
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


def has_reasons(records_: pd.DataFrame) -> bool:
    """Is anything told that sets one of the listed records apart?"""
    return len(records_) > 0 and bool((records_[["reasons", "caution"]].map(len) > 0).any(axis=None))


def record_table(frame: pd.DataFrame, words: Words, *, without: Sequence[str] = (), limit: int = LIMIT) -> Table:
    """A list of records to call with personas by name; what the source does not record has no column."""
    columns = {name: told for name, told in _RECORD_COLUMNS.items() if name not in without}
    worded = {name: [words.reasons(moved) for moved in frame[name]] for name in ("reasons", "caution")}
    named = frame.assign(persona=[words.name(str(name)) for name in frame["persona"]], **worded)
    recorded = named.replace("", float("nan")).dropna(axis=1, how="all")
    units = {"score": "rate", "points": "count", "status": "label", "stage": "label"}
    return table(recorded, columns, words, units=units, limit=limit)


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
