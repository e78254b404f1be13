"""Leaks of a market: which columns know the answer, measured against the moment at which they are declared known."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from closedloop.market.contract import TABLES, kind_of
from closedloop.market.definition import Definition
from closedloop.market.kept import Frames
from closedloop.market.periods import FOREVER
from closedloop.market.warehouse import Warehouse
from closedloop.period.counting import column
from closedloop.period.lead_records import lead_frame
from closedloop.period.situation import Situation
from closedloop.statistics.scoring.leaks import COLUMNS, FEWEST_EACH, Cases, judge_columns, one_sided_levels
from closedloop.terms import Moment

ALARM = "alarm"
REMARK = "remark"
CANNOT_TELL = "cannot tell"
NOT_DECLARED = "not declared"
ADVICE = f"Collect the outcomes of at least {FEWEST_EACH} won and {FEWEST_EACH} lost records."
_PLACE = ("table", "column", "known", "finding")
_LEVEL = ("level", "k", "n_level")
_TOLD_AREAS = (("alone", "auc_within"), ("together", "auc_together"))
LEAK_COLUMNS = (*_PLACE, *(name for name in COLUMNS if name != "column"), *_LEVEL, "advice")
_TOLD_BY_CONTRACT = ("stage", "status")  # how far a record came is the outcome itself, seen earlier


def _can_leak(table: str, name: str) -> bool:
    """Fields, and canonical columns that the contract does not itself call an outcome, a key or a date of the way."""
    governing = TABLES[table].governing(name)
    if governing is None:
        return True
    is_told = governing.shown in ("row", "handoff", "stage") and governing.name not in _TOLD_BY_CONTRACT
    return is_told and governing.name != TABLES[table].born and name not in TABLES[table].key


def _cases(situation: Situation, table: str, frame: pd.DataFrame) -> Cases:
    """Leads that were handed off, or deals, with what became of them."""
    created = column(frame, "created_on")
    if table == "deals":
        is_decided = frame["outcome"].isin(["won", "lost"])
        is_won = (frame["outcome"] == "won").where(is_decided).astype("boolean")  # with or without lost ones
        is_open, when = frame["outcome"] == "open", frame["closed_on"]
    else:
        frame = frame[frame["handed_off_on"].notna()] if "handed_off_on" in frame else frame
        created, is_won = column(frame, "created_on"), frame["is_won"]
        is_open, when = is_won.isna(), column(frame, "handed_off_on").fillna(created)
    return Cases(frame, is_won, is_open, _periods(situation, when), _periods(situation, created))


def _periods(situation: Situation, days: pd.Series) -> pd.Series:
    """Names of the periods that hold ``days``."""
    names = {day: situation.name_of(day) for day in days.dropna().unique()}
    return days.map(names).astype("object")


def _judged(situation: Situation, home: dict[str, str], cases: Cases, born_with: Sequence[str]) -> pd.DataFrame:
    """The columns of the cases, each with its table (``home``), its declared moment and what to do about it."""
    definition = situation.definition
    names = [name for name, table in home.items() if name in cases.rows and _can_leak(table, name)]
    held = situation.view.held_back
    unread = [name for name in names if (kind_of(name) == "id" and name != "rep_id") or name in held[home[name]]]
    moments = {name: definition.moment(home[name], name) for name in names}
    early = [name for name, moment in moments.items() if moment and Moment.named(moment) <= Moment.HANDOFF]
    compared = Cases(cases.rows[names], cases.is_won, cases.is_open, cases.period, cases.born)
    born = [name for name in names if name in born_with]
    found = judge_columns(compared, names, fill_only=unread, told_when_born=born, known_early=early)
    honest = [name for name in early if name not in (*unread, *found.loc[found["why"] != "", "column"])]
    found = found.merge(_one_sided(compared, honest), "left", on="column")
    found = found.assign(table=found["column"].map(home))
    placed = [_placed(definition, row["table"], row["column"], row["why"], row["said"]) for _, row in found.iterrows()]
    told = pd.DataFrame(placed, columns=["known", "finding", "why", "advice"], dtype="str")
    return found.assign(**told)[list(LEAK_COLUMNS)]


def _one_sided(cases: Cases, names: Sequence[str]) -> pd.DataFrame:
    """Of each column its largest level of which no record, or every one, was won, and what to say of it."""
    found = one_sided_levels(cases, names).sort_values(["n", "level"], ascending=[False, True], kind="stable")
    found = found.drop_duplicates("column").rename(columns={"n": "n_level"})
    said = [
        f"has a level that no {'lost' if k else 'won'} record has: {level!r} ({k:.0f} of {n} won)"
        for level, k, n in found[["level", "k", "n_level"]].itertuples(index=False)
    ]
    return found.assign(said=pd.Series(said, index=found.index, dtype="str"))


def _placed(definition: Definition, table: str, name: str, why: str, level: str) -> tuple[str, str, str, str]:
    """Declared moment, finding, why, and what to do; ``level``: what is to be said of a level, if anything."""
    known = definition.moment(table, name) or NOT_DECLARED
    is_checked, has_level = name in definition.checked.get(table, ()), isinstance(level, str)
    if not why and (is_checked or not has_level):
        return known, "", "", ""
    if known.startswith("close"):
        return known, REMARK, why, f"Declared known at {known}: no score reads it."
    if known == NOT_DECLARED:
        text = f"No view shows it. To use it, declare it under close in [fields.{table}] of market.toml."
        return known, REMARK, why, text
    if is_checked:
        return known, REMARK, why, f"Declared known at {known}, which people vouch for in [checked] of market.toml."
    move = f"ove it to close in [fields.{table}] of market.toml"
    vouch = f'if people have checked that it is known before the outcome, list it: {table} = ["{name}"] in [checked].'
    if why:
        return known, ALARM, why, f"Declared known at {known}. M{move}; {vouch}"
    return known, REMARK, level, f"Declared known at {known}. If it is set once the outcome is known, m{move}; {vouch}"


def market_leaks(warehouse: Warehouse) -> pd.DataFrame:
    """Columns of deals, leads and accounts that look like leaks over all that was ever recorded, most telling first.

    Returns LEAK_COLUMNS; ``finding`` is "alarm" for a column declared known before the outcome, else "remark". For the
    audit only: it reads past the firewall.
    """
    situation = Situation(warehouse, warehouse.periods[-1], FOREVER, warehouse.definition.claims)
    found = []
    for table, frame in _frames(situation).items():
        cases, home = _cases(situation, table, frame), dict[str, str]()
        parts = []
        for upper in dict.fromkeys((table, "leads", "accounts")):
            if warehouse.has(upper) and (key := TABLES[upper].key[0]) in frame:
                # as recorded at the end, whatever moment a column is declared at
                rows = warehouse.frame(upper).set_index(key).reindex(cases.rows[key]).set_axis(cases.rows.index)
                parts.append(rows[[name for name in rows if name not in home]])
                home |= dict.fromkeys(map(str, parts[-1]), upper)
        stored = Cases(pd.concat(parts, axis=1), cases.is_won, cases.is_open, cases.period, cases.born)
        found += [_judged(situation, home, stored, list(home)), _not_told(table, cases)]
    leaks = pd.concat(found) if found else pd.DataFrame(columns=list(LEAK_COLUMNS))
    leaks = leaks[leaks["finding"] != ""].sort_values(
        ["auc_within", "table", "column"], ascending=[False, True, True], ignore_index=True
    )
    return leaks.drop_duplicates(["table", "column"], ignore_index=True)  # a lead's column is judged by its deals too


def _frames(situation: Situation) -> dict[str, pd.DataFrame]:
    """Deals and leads, as far as the market has them."""
    deals = {"deals": situation.deals} if situation.view.has("deals") else {}
    return deals | ({"leads": lead_frame(situation)} if situation.view.has("leads") else {})


def _not_told(table: str, cases: Cases) -> pd.DataFrame:
    """One row that says why the columns of a table cannot be judged; none where they can."""
    n_won, n_lost = int(cases.is_won.eq(True).sum()), int(cases.is_won.eq(False).sum())
    if min(n_won, n_lost) >= FEWEST_EACH:
        return pd.DataFrame(columns=list(LEAK_COLUMNS))
    why = f"{n_won} won and {n_lost} lost {table} are too few"
    if not n_won or not n_lost:
        why = f"only {'won' if n_won else 'lost'} {table} are recorded"
    if not n_won and not n_lost:
        why = f"no outcome of {table} is recorded"
    row = {"table": table, "column": "", "finding": CANNOT_TELL, "n": n_won + n_lost, "why": why, "advice": ADVICE}
    return pd.DataFrame([row], columns=list(LEAK_COLUMNS))


def told(leaks: pd.DataFrame) -> list[str]:
    """What ``market_leaks`` found, a line each."""
    return [_line(row) for row in leaks.to_dict("records")] or ["No column looks like a leak."]


def _line(row: dict[Any, Any]) -> str:
    if row["finding"] == CANNOT_TELL:
        return f"{CANNOT_TELL}: {row['why']}, so nobody can say which columns know the outcome. {row['advice']}"
    areas = [f"AUC {of}: {round(row[name], 2)}" for of, name in _TOLD_AREAS if not np.isnan(row[name])]
    figures = ", ".join(areas) or "AUC alone: not known"
    return f"{row['finding']}: {row['table']}.{row['column']} {row['why']} ({figures}). {row['advice']}"


def known_leaks(situation: Situation, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Every column of leads or deals, own and inherited, as judged on what was known on the situation's day.

    Returns LEAK_COLUMNS, the most telling first; ``finding`` is empty for a column that does not look like a leak. A
    last row without a column says why, where nobody can tell.
    """
    cases, home = _cases(situation, table, frame), dict[str, str]()
    for upper in dict.fromkeys((table, "leads", "accounts")):
        if situation.view.has(upper):
            own = [name for name in situation.warehouse.tables.columns(upper) if name in cases.rows]
            home |= {name: upper for name in own if name not in home}
    judged = _judged(situation, home, cases, situation.view.inherited(table, Moment.HANDOFF))
    return pd.concat([judged, _not_told(table, cases)], ignore_index=True)


@lru_cache(maxsize=4)  # several questions of a notebook ask for the same fields
def leaks_of(situation: Situation) -> Frames:
    """``known_leaks`` of deals and leads, as far as the market has them; judged once for the same rows and settings."""

    def make() -> Frames:
        return {table: known_leaks(situation, table, frame) for table, frame in _frames(situation).items()}

    return situation.kept("leaks", "", make)


def leaking(situation: Situation) -> set[str]:
    """The columns that look like leaks on what was known on the situation's day, and that nobody vouches for."""
    return {name for found in leaks_of(situation).values() for name in found.loc[found["finding"] == ALARM, "column"]}
