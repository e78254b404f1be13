"""Leaks of a market: which columns know the answer, measured against the moment at which they are declared known."""

from collections.abc import Sequence

import pandas as pd

from closedloop.evidence.leaks import COLUMNS, Cases, judge_columns
from closedloop.loop.records import column, lead_frame, won
from closedloop.loop.situation import Situation
from closedloop.market.contract import TABLES, kind_of
from closedloop.market.definition import Definition
from closedloop.market.periods import FOREVER
from closedloop.market.warehouse import Warehouse
from closedloop.terms import Moment

ALARM = "alarm"
REMARK = "remark"
NOT_DECLARED = "not declared"
_PLACE = ("table", "column", "known", "finding")
LEAK_COLUMNS = (*_PLACE, *(name for name in COLUMNS if name != "column"), "advice")
_TOLD_BY_CONTRACT = ("stage", "status")  # how far a record came is the outcome itself, seen earlier


def _can_leak(table: str, name: str) -> bool:
    """Fields, and canonical columns that the contract does not itself call an outcome, an id or a date of the way."""
    governing = TABLES[table].governing(name)
    if governing is None:
        return True
    is_told = governing.shown in ("row", "handoff", "stage") and governing.name not in _TOLD_BY_CONTRACT
    return is_told and not governing.internal and governing.name != TABLES[table].born and kind_of(name) != "id"


def _cases(situation: Situation, table: str, frame: pd.DataFrame) -> Cases:
    """Leads that were handed off, or deals, with what became of them."""
    created = column(frame, "created_on")
    if table == "deals":
        is_won, is_open, when = won(frame), frame["outcome"] == "open", frame["closed_on"]
    else:
        frame = frame[frame["handed_off_on"].notna()] if "handed_off_on" in frame else frame
        created, is_won = column(frame, "created_on"), frame["is_won"]
        is_open, when = is_won.isna(), column(frame, "handed_off_on").fillna(created)
    return Cases(frame, is_won, is_open, _periods(situation, when), _periods(situation, created))


def _periods(situation: Situation, days: pd.Series) -> pd.Series:
    """Names of the periods that hold ``days``."""
    names = {day: situation.name_of(day) for day in days.dropna().unique()}
    return days.map(names).astype("object")


def _judged(situation: Situation, home: str, cases: Cases, born_with: Sequence[str]) -> pd.DataFrame:
    """The columns of ``home`` among the cases, each with its declared moment and what to do about it."""
    names = [name for name in situation.warehouse.tables[home].columns if name in cases.rows and _can_leak(home, name)]
    ids = [name for name in names if kind_of(name) == "id"]
    compared = Cases(cases.rows[names], cases.is_won, cases.is_open, cases.period, cases.born)
    comparable = [name for name in names if name in born_with]
    found = judge_columns(compared, names, fill_only=ids, told_when_born=comparable)
    placed = [_placed(situation.definition, home, name, why) for name, why in found[["column", "why"]].to_numpy()]
    told = pd.DataFrame(placed, columns=["known", "finding", "advice"], dtype="str")
    return found.assign(table=home, **told)[list(LEAK_COLUMNS)]


def _placed(definition: Definition, table: str, name: str, why: str) -> tuple[str, str, str]:
    """Declared moment, finding, and what to do."""
    known = definition.moment(table, name) or NOT_DECLARED
    if not why:
        return known, "", ""
    if known.startswith("close"):
        return known, REMARK, f"Declared known at {known}: no score reads it."
    if known == NOT_DECLARED:
        return known, REMARK, f"No view shows it. To use it, declare it under close in [fields.{table}] of market.toml."
    if name in definition.checked.get(table, ()):
        return known, REMARK, f"Declared known at {known}, which people vouch for in [checked] of market.toml."
    return (
        known,
        ALARM,
        (
            f"Declared known at {known}. Move it to close in [fields.{table}] of market.toml; "
            f'if people have checked that it is known before the outcome, list it: {table} = ["{name}"] in [checked].'
        ),
    )


def _stored(warehouse: Warehouse, table: str, key: pd.Series) -> pd.DataFrame:
    """A table's rows for these keys as they are recorded at the end, whatever moment its columns are declared at."""
    rows = warehouse.frame(table).set_index(TABLES[table].key[0])
    return rows.reindex(key).set_axis(key.index, axis=0)


def market_leaks(warehouse: Warehouse) -> pd.DataFrame:
    """Columns of deals, leads and accounts that look like leaks over all that was ever recorded, most telling first.

    Returns LEAK_COLUMNS; ``finding`` is "alarm" for a column declared known before the outcome, else "remark". For the
    audit only: it reads past the firewall.
    """
    situation = Situation(warehouse, warehouse.periods[-1], FOREVER)
    frames = {"deals": situation.deals} if warehouse.has("deals") else {}
    frames |= {"leads": lead_frame(situation)} if warehouse.has("leads") else {}
    found = []
    for table, frame in frames.items():
        cases = _cases(situation, table, frame)
        first = table == next(iter(frames))
        for home in (table, "accounts") if first and warehouse.has("accounts") and "account_id" in frame else (table,):
            rows = _stored(warehouse, home, cases.rows[TABLES[home].key[0]])
            stored = Cases(rows, cases.is_won, cases.is_open, cases.period, cases.born)
            found.append(_judged(situation, home, stored, list(rows.columns)))
    leaks = pd.concat(found) if found else pd.DataFrame(columns=list(LEAK_COLUMNS))
    leaks = leaks[leaks["finding"] != ""]
    return leaks.sort_values(["auc_within", "table", "column"], ascending=[False, True, True], ignore_index=True)


def known_leaks(situation: Situation, table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Every column of leads or deals, own and inherited, as judged on what was known on the situation's day.

    Returns LEAK_COLUMNS, the most telling first; ``finding`` is empty for a column that does not look like a leak.
    """
    cases, found, seen = _cases(situation, table, frame), [], set[str]()
    born_with = situation.view.inherited(table, Moment.HANDOFF)
    for home in [name for name in dict.fromkeys((table, "leads", "accounts")) if situation.view.has(name)]:
        names = [name for name in cases.rows if name not in seen]
        seen |= set(situation.warehouse.tables[home].columns)
        own = Cases(cases.rows[names], cases.is_won, cases.is_open, cases.period, cases.born)
        found.append(_judged(situation, home, own, born_with))
    return pd.concat(found).sort_values("auc_within", ascending=False, kind="stable", ignore_index=True)
