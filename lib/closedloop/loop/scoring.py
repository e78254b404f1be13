"""The lead score: learned from what was known, judged out of time, and the list of who comes next."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.evidence.scores import Score, calibration_table, fit_score
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import column, won
from closedloop.loop.situation import Situation, fetched
from closedloop.loop.step import Draft
from closedloop.market.periods import FOREVER
from closedloop.terms import Moment

_FEWEST_SCORED = 200
_LIST_LENGTH = 200
_RANDOM_SHARE = 0.10
_MOST_TRAINED = 12_000
_MATURE_SHARE = 0.7
_NOT_SCORED_BY = ("campaign", "experiment", "arm", "rep_team", "status")


@dataclass(frozen=True)
class Prospects:
    """What is scored: rows of leads (else deals), the fields a score may use, the outcome, and the day it is about."""

    table: str
    key: str
    rows: pd.DataFrame
    fields: list[str]
    is_won: pd.Series
    when: pd.Series

    @property
    def is_mature(self) -> pd.Series:
        """Decided rows of months of which most are decided: quick outcomes must not crowd out slow ones."""
        if self.when.isna().all():
            return self.is_won.notna()
        decided = self.is_won.notna().where(self.when.notna()).groupby(self.when.dt.to_period("M")).transform("mean")
        return self.is_won.notna() & (decided >= _MATURE_SHARE)


def _prospects(situation: Situation, leads: pd.DataFrame | None) -> Prospects:
    if leads is not None and len(leads):
        known = situation.view.inherited("leads", Moment.HANDOFF)
        fields = [name for name in known if name in leads and name not in _NOT_SCORED_BY]
        handed = leads[leads["handed_off_on"].notna()] if "handed_off_on" in leads else leads
        day = column(handed, "handed_off_on").fillna(column(handed, "created_on")).reindex(leads.index)
        return Prospects("leads", "lead_id", leads, fields, handed["is_won"].reindex(leads.index), day)
    if not situation.view.has("deals"):
        nothing = pd.Series(dtype="datetime64[us]")
        return Prospects("deals", "deal_id", pd.DataFrame(), [], nothing, nothing)
    deals = situation.deals
    return Prospects("deals", "deal_id", deals, situation.deal_fields(), won(deals), deals["closed_on"])


def score_step(draft: Draft, situation: Situation, leads: pd.DataFrame | None, in_force: PersonaSet) -> None:
    """Learn the score, judge it, and list who comes next; all of it is added to ``draft``."""
    prospects = _prospects(situation, leads)
    draft.results |= {"prospects": prospects.table, "score_verdict": "no usable signal", "shown_as": None}
    draft.results |= {"auc": None, "auc_within": None}
    score = _learned(draft, situation, prospects)
    _next(draft, situation, prospects, score if score and score.verdict == "usable" else None, in_force)


def _learned(draft: Draft, situation: Situation, prospects: Prospects) -> Score | None:
    """The score with its quality out of time; None when there is too little to learn from."""
    usable, is_won = prospects.is_mature, prospects.is_won
    n_trained = int(usable.sum())
    if n_trained < _FEWEST_SCORED or not prospects.fields or is_won[usable].nunique() < 2:
        text = (
            f"A score needs at least {_FEWEST_SCORED} {prospects.table} whose outcome is known; {n_trained} are. "
            "Collect more outcomes, or fields known at hand-off."
        )
        draft.missing |= dict.fromkeys(("quality", "calibration"), text)
        return None
    when = prospects.when[usable].sort_values(kind="stable").tail(_MOST_TRAINED)
    rows = prospects.rows.loc[when.index, prospects.fields]
    outcome = is_won[when.index].astype(int)
    score = fit_score(rows, outcome, when if situation.is_dated else None, rng=situation.rng("score"))
    chosen = score.quality.set_index("model").loc[score.model]
    draft.tables |= {"quality": score.quality, "calibration": calibration_table(score.held_out_y, score.held_out_p)}
    draft.results |= {"score_verdict": score.verdict, "shown_as": score.shown_as, "n_scored": n_trained}
    draft.results |= {"auc": chosen["auc"], "auc_within": chosen["auc_within"], "model": score.model}
    return score


def _waiting(situation: Situation, prospects: Prospects) -> pd.DataFrame:
    """Who could be called next: open leads or deals on the day; else the period's leads as they are handed over."""
    rows = prospects.rows
    if rows.empty or prospects.table == "deals":
        return rows if rows.empty else rows[rows["outcome"] == "open"]
    is_open = rows["is_won"].isna() & column(rows, "recycled_on").isna() & column(rows, "disqualified_on").isna()
    if situation.view.has("deals") and "lead_id" in situation.deals:
        is_open &= ~rows["lead_id"].isin(situation.deals["lead_id"].dropna())
    if "handed_off_on" in rows:
        is_open &= rows["handed_off_on"].notna() | column(rows, "marketing_qualified_on").notna()
    return rows[is_open] if is_open.any() or not situation.is_dated else arriving(situation)


def arriving(situation: Situation) -> pd.DataFrame:
    """Leads that came in during the period, each with the fields known at its hand-off and nothing later."""
    later = situation.warehouse.view(situation.period.end if situation.period.end < FOREVER else FOREVER)
    rows = fetched(later.with_fields("leads", Moment.HANDOFF), "lead_id")
    rows = rows.assign(created_on=pd.to_datetime(rows["created_on"]))
    return rows[rows["created_on"] >= pd.Timestamp(situation.period.start)]


def _next(draft: Draft, situation: Situation, prospects: Prospects, score: Score | None, in_force: PersonaSet) -> None:
    waiting = _waiting(situation, prospects)
    if waiting.empty:
        draft.missing["next_leads"] = f"No open {prospects.table} were known when this period was planned."
        return
    waiting = waiting.sort_values(prospects.key, kind="stable")
    chance = _chances(situation, prospects, score, waiting)
    listed = waiting.loc[_order(chance, waiting)[:_LIST_LENGTH]]
    reasons = _reasons(situation, score, listed[prospects.fields]) if score else [""] * len(listed)
    is_probable = score is not None and score.shown_as == "probability"
    table = {
        "record_id": listed[prospects.key].to_numpy(),
        "persona": in_force.assign(listed).to_numpy(),
        "score": chance[listed.index].to_numpy() if is_probable else np.nan,
        "rank": np.arange(1, len(listed) + 1),
        "reasons": reasons,
        "channel": listed["channel"].to_numpy() if "channel" in listed else None,
        "created_on": column(listed, "created_on").to_numpy(),
        "slot": _slots(situation, len(listed)),
    }
    draft.tables["next_leads"] = pd.DataFrame(table)


def _chances(situation: Situation, prospects: Prospects, score: Score | None, waiting: pd.DataFrame) -> pd.Series:
    """Probability of each to be won; missing without a usable score."""
    if score is None:
        return pd.Series(np.nan, index=waiting.index)
    when = pd.Series(pd.Timestamp(situation.on), index=waiting.index) if situation.is_dated else None
    return pd.Series(score.predict(waiting[prospects.fields], when), index=waiting.index)


def _order(chance: pd.Series, waiting: pd.DataFrame) -> pd.Index:
    """Best first; without a score the newest first."""
    by = chance if chance.notna().any() else column(waiting, "created_on")
    return by.sort_values(ascending=False, kind="stable").index


def _slots(situation: Situation, n: int) -> NDArray[np.str_]:
    """A tenth of the list is drawn, so that another rule can be judged on it later."""
    drawn = situation.rng("slots").random(n) < _RANDOM_SHARE
    return np.where(drawn, "random", "ranked")


def _reasons(situation: Situation, score: Score, rows: pd.DataFrame) -> list[str]:
    label = situation.definition.label
    return [
        ", ".join(f"{label(f)}: {label(f, level)} ({'+' if points >= 0 else '-'})" for f, level, points in parts[:3])
        for parts in score.reasons(rows)
    ]
