"""The lead score: learned from what was known, and judged out of time."""

from dataclasses import replace

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.gains import gain_looks
from closedloop.evidence.leaks import TOO_WELL
from closedloop.evidence.scores import LEARNERS, Score, calibration_table, fit_score
from closedloop.loop.counting import LEAST_SHOWN, rates
from closedloop.loop.leaks import ADVICE, ALARM, CANNOT_TELL, REMARK, leaks_of
from closedloop.loop.next_leads import next_leads
from closedloop.loop.over_stage import over_stage
from closedloop.loop.persona import PersonaSet
from closedloop.loop.prospects import MATURE_SHARE, Prospects, prospects_of, with_personas
from closedloop.loop.records import ONLY_WON
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft

_FEWEST_SCORED = 200
_MOST_TRAINED = 12_000
_QUALITY = {
    "brier": "brier",
    "ece": "ece",
    "auc": "auc",
    "auc_within": "auc_within",
    "gain_over_base_rate": "gain",
}
_MOST_GROUPS = 10


def score_step(draft: Draft, situation: Situation, leads: pd.DataFrame | None, in_force: PersonaSet) -> None:
    """Learn the score, judge it, and list who comes next; all of it is added to ``draft``."""
    prospects = prospects_of(situation, leads)
    draft.results |= {"prospects": prospects.table, "score_verdict": "no usable signal", "shown_as": None}
    draft.results |= {"auc": None, "auc_within": None}
    _state_leaks(draft, situation, prospects)
    prospects = _persona_too(prospects, in_force)
    score = _learned(draft, situation, prospects)
    if score is not None:
        over_stage(draft, situation, prospects, in_force)
    next_leads(draft, situation, prospects, score, in_force)


def _persona_too(prospects: Prospects, in_force: PersonaSet) -> Prospects:
    """The persona in force as one more field: levels that hardly anybody has shown yet are drawn to their persona."""
    if prospects.rows.empty or len(in_force.personas) < 2:
        return prospects
    rows = with_personas(prospects.rows, in_force)
    return replace(prospects, rows=rows, fields=[*prospects.fields, "persona"])


def _state_leaks(draft: Draft, situation: Situation, prospects: Prospects) -> None:
    """State which columns know the answer, or why that cannot be told; the prospects' fields are without them."""
    if prospects.rows.empty:
        draft.missing["leaks"] = f"No {prospects.table} are recorded, so no column can know their outcome."
        return
    judged = leaks_of(situation)[prospects.table]
    is_told = judged["auc_within"].notna() | judged["finding"].isin([ALARM, REMARK])
    told = judged[is_told]
    for why in judged.loc[judged["finding"] == CANNOT_TELL, "why"] if told.empty else ():
        draft.missing["leaks"] = f"Whether a column knows the answer cannot be told: {why}. {ADVICE}"
    _state(draft, told, Origin("03_leads", "leaks", prospects.table, *situation.span(prospects.when)))
    draft.tables["leaks"] = told[["table", "column", "known", "finding", "why", "advice"]]
    kept_out = list(told.loc[told["finding"] == ALARM, "column"])
    draft.results |= {"n_leaks": int((told["finding"] != "").sum()), "kept_out": kept_out}


def _state(draft: Draft, told: pd.DataFrame, origin: Origin) -> None:
    """How well each column alone tells the outcome; of those that look like a leak, how often they are filled."""
    areas = {"auc_within": "estimate", "auc_within_low": "low", "auc_within_high": "high"}
    rows = told.rename(columns={"column": "field", **areas}).assign(level="")
    draft.estimate(rows.assign(baseline=TOO_WELL), origin, "column_auc", unit="ratio", kind="predictive")
    together = {name.replace("within", "together"): end for name, end in areas.items()}
    rows = told.rename(columns={"column": "field", **together})
    rows = rows[rows["estimate"].notna()].assign(baseline=TOO_WELL, level="")
    draft.estimate(rows, origin, "together_auc", unit="ratio", kind="predictive")
    rows = told[told["level"].notna() & (told["finding"] != "")]
    levels = zip(*(rows[name] for name in ("column", "level", "k", "n_level")), strict=True)
    for name, level, k, n in levels:
        draft.estimate(rates([(level, k, n)], name), origin, "level_won_rate")
    rows = told.rename(columns={"column": "field"}).assign(level="")
    for fate in ("open", "won", "lost"):
        filled = rows.assign(estimate=rows[f"{fate}_filled_share"], low=np.nan, high=np.nan)
        filled = filled[filled["estimate"].notna() & (filled["finding"] != "")]
        draft.count(filled.drop(columns="n"), origin, f"{fate}_filled_rate", unit="rate")


def _why_unlearned(prospects: Prospects) -> str:
    """What keeps a score from being learned, with what was found and what it needs; empty where nothing does."""
    time = "month" if isinstance(prospects.times.dtype, pd.PeriodDtype) else "period"
    table, n_known = prospects.table, int(prospects.is_won.notna().sum())
    mature = prospects.is_won[prospects.is_mature]
    if not prospects.fields:
        return f"A score needs fields of {table} that are known in time to use it; none is declared in market.toml."
    if n_known < _FEWEST_SCORED:
        return f"A score needs {_FEWEST_SCORED} {table} whose outcome is known; {n_known} are. Collect more outcomes."
    if len(mature) < _FEWEST_SCORED:
        return (
            f"The outcome of {n_known:,} {table} is known, but only {len(mature):,} come from a {time} of which "
            f"{MATURE_SHARE:.0%} are decided, and a score needs {_FEWEST_SCORED} such: it would learn from the quick "
            "outcomes alone. Wait until more are decided."
        )
    n_won = int(mature.sum())
    n_lost = len(mature) - n_won
    if min(n_won, n_lost) < LEAST_SHOWN:
        return (
            f"Of {len(mature):,} {table} to learn from {n_won:,} were won and {n_lost:,} lost; a score needs "
            f"{LEAST_SHOWN} of each. Collect both outcomes."
        )
    return ""


def _learned(draft: Draft, situation: Situation, prospects: Prospects) -> Score | None:
    """The score with its quality out of time; None when there is too little to learn from."""
    usable, is_won = prospects.is_mature, prospects.is_won
    n_trained = int(usable.sum())
    if why := _why_unlearned(prospects):
        if situation.has_only_won:
            why = f"{ONLY_WON} Until then there is nothing that a score could tell won ones from."
        draft.missing |= dict.fromkeys(("quality", "calibration"), why)
        return None
    when = prospects.when[usable].sort_values(kind="stable").tail(_MOST_TRAINED)
    rows = prospects.rows.loc[when.index, prospects.fields]
    outcome = is_won[when.index].astype(int)
    score = fit_score(rows, outcome, when if situation.is_dated else None, rng=situation.rng("score"))
    chosen = score.quality.set_index("model").loc[score.model]
    origin = Origin("03_leads", "quality", prospects.table, *situation.span(when))
    _judged(draft, score, origin)
    draft.results |= {"score_verdict": score.verdict, "shown_as": score.shown_as, "n_scored": n_trained}
    draft.results |= {"auc": chosen["auc"], "auc_within": chosen["auc_within"], "model": score.model}
    draft.looks.append(_advantage(score, origin))
    return score


def _advantage(score: Score, origin: Origin) -> pd.DataFrame:
    """The look at whether the best learner orders rows that it had not seen better than chance would."""
    learners = score.quality[score.quality["model"].isin(LEARNERS)]
    best = learners.nsmallest(1, "log_loss").assign(field="model", level=lambda row: row["model"], baseline=0.5)
    areas = {"auc_within": "estimate", "auc_within_low": "low", "auc_within_high": "high"}
    return gain_looks(best.rename(columns=areas), origin, measure="score_auc")


def _judged(draft: Draft, score: Score, origin: Origin) -> None:
    """How good every model was on rows that it had not seen, and predicted against observed rates of the chosen one."""
    models = score.quality.assign(field="model", level=score.quality["model"])
    for measure, name in _QUALITY.items():
        ends = {f"{name}_{end}": end for end in ("low", "high")}
        rows = models.assign(estimate=models[name]).rename(columns=ends)
        draft.estimate(rows[rows["estimate"].notna()], origin, measure, unit="ratio", kind="predictive")
    bins = min(_MOST_GROUPS, len(score.held_out_y) // LEAST_SHOWN)
    groups = calibration_table(score.held_out_y, score.held_out_p, bins)
    rows = groups.assign(field="score_group", level=groups["bin"], estimate=groups["observed"])
    origin = origin._replace(cell="calibration")
    draft.estimate(rows.assign(baseline=groups["predicted"]), origin, "observed_rate", kind="predictive")
    inside = groups["predicted"].between(groups["low"], groups["high"])
    draft.count([{"estimate": inside.sum(), "n": len(groups)}], origin, "n_groups_inside")
