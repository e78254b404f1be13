"""01 Research, once the personas in force are known: which segments to aim at, and what to offer them.

Criteria are set in market.toml before the data are cut; a segment is a target only when its own intervals say so.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin, close_family, stacked
from closedloop.evidence.gains import gain_looks
from closedloop.evidence.rates import wilson
from closedloop.evidence.segments import Segmentation
from closedloop.evidence.weighing import Criterion, Scores, weighted_scores
from closedloop.loop.criteria import COLLECT, LESS_IS_BETTER, UNITS, Criteria, Value
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import Sample
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft, Step
from closedloop.terms import Verdict

_LEVEL = 0.90  # of the scores' intervals
_AXES = ("attractiveness", "strength")
_PASSES, _FAILS, _OPEN = "passes", "fails", "cannot tell"


def targets(situation: Situation, sample: Sample, found: Segmentation | None, in_force: PersonaSet) -> Step:
    """The part of 01 that needs the personas in force: the criteria, every segment's values, and the choice."""
    draft = Draft("research")
    _state_criteria(draft, situation)
    if found is None or found.recommended_k < 2:
        text = "There is one market without segments, so there is nothing to choose between."
        draft.missing |= dict.fromkeys(("targets", "offer"), text)
        draft.results |= {"targets": [], "n_targets": 0}
        return draft.done()
    criteria = Criteria(situation, sample, found, in_force)
    values = {name: criteria.value(name) for name in UNITS}
    _state_values(draft, criteria, values)
    scores = {axis: _scores(values, getattr(situation.definition.criteria, axis).counted) for axis in _AXES}
    judged = _judge_scores(draft, criteria, scores, values)
    tests = _knock_outs(draft, criteria)
    _choose(draft, criteria, tests, judged)
    _explain(draft, situation, scores)
    return draft.done()


def _set(situation: Situation) -> Origin:
    """Where criteria come from: they were set when the last period that is over had ended."""
    eve = pd.Series(pd.to_datetime([situation.on - timedelta(days=1)] if situation.is_dated else []))
    return Origin("01_research", "ideal", "market.toml", *situation.span(eve))


def _state_criteria(draft: Draft, situation: Situation) -> None:
    """The knock-outs and the weights, as they were set before the data were cut."""
    criteria, origin = situation.definition.criteria, _set(situation)
    limits = {name: getattr(criteria, name) for name in ("smallest_share", "least_recognised", "least_stability")}
    for name, unit in (("smallest_share", "rate"), ("least_recognised", "rate"), ("least_stability", "ratio")):
        draft.count([{"estimate": limits[name]}], origin, name, unit=unit)
    if criteria.smallest_accounts:
        draft.count([{"estimate": criteria.smallest_accounts}], origin, "smallest_accounts")
    for axis in _AXES:
        weights = getattr(criteria, axis).counted
        rows = [{"field": "criterion", "level": name, "estimate": w} for name, w in weights.items()]
        draft.count(rows, origin, f"{axis}_weight", unit="ratio")
    draft.results["are_criteria_set"] = "criteria" in situation.definition.model_fields_set


def _state_values(draft: Draft, criteria: Criteria, values: dict[str, Value | None]) -> None:
    """Every known criterion in every segment, with its interval."""
    for name, value in values.items():
        if value is None:
            continue
        origin = Origin("01_research", "targets", value.source, *criteria.situation.span(value.days))
        rows = pd.DataFrame(
            {"estimate": value.estimate, "low": value.low, "high": value.high, "n": value.n, "level": criteria.ids}
        ).assign(n_effective=value.n_effective)
        rows = rows[rows["estimate"].notna()].assign(field="segment")
        draft.estimate(rows, origin, f"criterion_{name}", unit=UNITS[name])


def _scores(values: dict[str, Value | None], weights: dict[str, float]) -> Scores:
    known = {
        name: Criterion(value.estimate, value.low, value.high, -1 if name in LESS_IS_BETTER else 1)
        for name, value in values.items()
        if value is not None
    }
    return weighted_scores(known, weights)


def _judge_scores(
    draft: Draft, criteria: Criteria, scores: dict[str, Scores], values: dict[str, Value | None]
) -> pd.DataFrame:
    """Claims of the family ``targets``: both scores of every segment beside the average one's.

    They cover the days of all the criteria in them; the intervals hold for all segments at once.
    """
    looks, each = [], 1 - (1 - _LEVEL) / max(len(criteria.ids), 1)
    for axis, score in scores.items():
        if not score.counted:
            continue
        rows = pd.DataFrame({"estimate": score.estimate, "low": score.low, "high": score.high, "level": criteria.ids})
        rows = rows.assign(field="segment", n=criteria.found.sizes["size"].to_numpy())
        days = pd.concat([value.days for name in score.counted if (value := values[name]) is not None])
        origin = Origin("01_research", "targets", criteria.sample.source, *criteria.situation.span(days))
        looks.append(gain_looks(rows, origin, measure=f"{axis}_score", level=each))
    situation = criteria.situation
    judged = close_family(stacked(looks), family="targets", market=situation.market, period=situation.period.name,
                          expires_on=situation.expires_on)  # fmt: skip
    draft.closed.append(judged)
    return judged


def _knock_outs(draft: Draft, criteria: Criteria) -> pd.DataFrame:
    """For every segment (rows) whether it passes, fails or cannot be told on each knock-out (columns)."""
    limits, sizes = criteria.situation.definition.criteria, criteria.found.sizes
    slsw = criteria.found.slsw[criteria.found.slsw["k"] == criteria.found.recommended_k]["slsw"].to_numpy()
    k, n = criteria.recognised()
    low, high = wilson(k, n)
    origin = Origin("01_research", "targets", criteria.sample.source, *_span(criteria))
    rows = pd.DataFrame({"estimate": k / n, "low": low, "high": high, "n": n.astype(int), "level": criteria.ids})
    draft.estimate(rows.assign(field="segment"), origin, "recognised_share")
    tests = {
        "size": _tested(sizes["low"], sizes["high"], limits.smallest_share),
        "recognised": _tested(low, high, limits.least_recognised),
        "stability": _tested(slsw, slsw, limits.least_stability),
    }
    if limits.smallest_accounts and criteria.situation.holds("accounts"):
        known = int(criteria.situation.view.known("accounts").count().execute())
        tests["accounts"] = _tested(sizes["low"] * known, sizes["high"] * known, limits.smallest_accounts)
    return pd.DataFrame(tests, index=criteria.ids)


def _span(criteria: Criteria) -> tuple[str, str]:
    size = criteria.value("size")
    assert size is not None
    return criteria.situation.span(size.days)


def _tested(low: object, high: object, limit: float) -> np.ndarray:
    """Does the whole interval reach the limit, none of it, or can nobody tell?"""
    above, below = np.asarray(low, dtype=float) >= limit, np.asarray(high, dtype=float) < limit
    return np.select([above, below], [_PASSES, _FAILS], default=_OPEN)


def _choose(draft: Draft, criteria: Criteria, tests: pd.DataFrame, judged: pd.DataFrame) -> None:
    """A target passes every knock-out, is more attractive than the average segment, and not one where we are weaker."""
    rows = []
    for place, segment in enumerate(criteria.ids):
        choice, reason = _choice(dict(tests.iloc[place]), *(_side(judged, axis, segment) for axis in _AXES))
        rows.append([segment, ", ".join(criteria.personas_of(segment)), choice, reason])
    draft.tables["targets"] = pd.DataFrame(rows, columns=["segment", "personas", "choice", "reason"], dtype="str")
    chosen = [row[0] for row in rows if row[2] == "target"]
    draft.results |= {"targets": chosen, "n_targets": len(chosen)}


def _side(judged: pd.DataFrame, axis: str, segment: str) -> str:
    """Where a segment's score is shown to lie: above the average segment, below it, or neither."""
    found = judged[(judged["measure"] == f"{axis}_score") & (judged["level"] == segment)]
    if found.empty:
        return "unknown"
    claim = found.iloc[0]
    if claim["verdict"] != Verdict.SUPPORTED:
        return "around"
    return "above" if claim["effect"] > 0 else "below"


_REASONS = {
    "size": "too small a share of the market",
    "accounts": "too few known accounts",
    "recognised": "the rule does not recognise its members",
    "stability": "not found again surely enough",
}


def _choice(tests: Mapping[Any, str], attractive: str, strong: str) -> tuple[str, str]:
    failed = [_REASONS[name] for name, test in tests.items() if test == _FAILS]
    unclear = [_REASONS[name] for name, test in tests.items() if test == _OPEN]
    if failed:
        return "left out", "; ".join(failed)
    if attractive == "below" or strong == "below":
        sides = {"less attractive than the average segment": attractive, "we are weaker than on average": strong}
        return "not now", "; ".join(text for text, side in sides.items() if side == "below")
    if unclear:
        return _OPEN, "; ".join(f"perhaps {text}" for text in unclear)
    if attractive == "above":
        own = {"above": "and we are stronger there", "around": "and we are not shown to be weaker there"}
        return "target", f"more attractive than the average segment, {own.get(strong, 'own strength unknown')}"
    return _OPEN, "not shown to be more attractive than the average segment"


def _explain(draft: Draft, situation: Situation, scores: dict[str, Scores]) -> None:
    """Which criteria could not be counted, and what to collect for them."""
    lacking = [
        name
        for axis in _AXES
        for name in getattr(situation.definition.criteria, axis).counted
        if name not in scores[axis].counted
    ]
    draft.results["criteria_unavailable"] = lacking
    if lacking:
        told = "; ".join(f"{name.replace('_', ' ')} ({COLLECT[name]})" for name in lacking)
        draft.missing["uncounted"] = (
            f"Not counted, because some segment has too few rows, none, or a mean without an interval: {told}."
        )
