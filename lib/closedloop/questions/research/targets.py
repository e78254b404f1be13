"""Which segments to aim at: criteria set before the data are cut, every segment's values, and the choice."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from closedloop.claims.comparisons import gain_looks
from closedloop.claims.ledger import LOOK_COLUMNS, close_family, stacked
from closedloop.errors import ParameterError, allowed
from closedloop.market.definition import Attractiveness, Strength
from closedloop.market.definition import Criteria as Bars
from closedloop.questions.research import criteria as pages
from closedloop.questions.research.criteria import COLLECT, LESS_IS_BETTER, OF_DEALS, UNITS, Criteria, Value
from closedloop.questions.research.sample import days_of
from closedloop.questions.research.segments import of_segments
from closedloop.statistics.proportions import wilson
from closedloop.statistics.weighing import Criterion, Scores, weighted_scores
from closedloop.terms import Verdict
from closedloop.workbench.answer import Answer
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import TargetRedraw

AXES = ("attractiveness", "strength")
_LEVEL = 0.90  # of the scores' intervals
_PASSES, _FAILS, _OPEN = "passes", "fails", "cannot tell"
_ONE_MARKET = "There is one market without segments, so there is nothing to choose between."
_REASONS = {
    "size": "too small a share of the market",
    "accounts": "too few known accounts",
    "recognised": "the rule does not recognise its members",
    "stability": "not found again surely enough",
}


def target_criteria(
    *,
    smallest_share: float | None = None,
    smallest_accounts: int | None = None,
    least_recognised: float | None = None,
    least_stability: float | None = None,
    weights: Mapping[str, float] | None = None,
) -> Answer:
    """What a target segment has to be, and how much each criterion counts: said before the data are cut.

    What is not given is as [criteria] of market.toml says. ``smallest_share`` of the market and ``smallest_accounts``
    that are worth it; ``least_recognised``: share of its members that the personas' rule finds; ``least_stability``:
    how surely it is found again; ``weights`` by criterion, in place of all of an axis. Errors: ParameterError.
    """
    bars = {"smallest_share": smallest_share, "smallest_accounts": smallest_accounts,
            "least_recognised": least_recognised, "least_stability": least_stability}  # fmt: skip
    given: dict[str, Any] = {name: bar for name, bar in bars.items() if bar is not None}
    now = opened()
    answer = now.ask("target_criteria", "ideal", pd.DataFrame(), "market.toml", pages.show_criteria,
                     weights=sorted((weights or {}).items()), **given)  # fmt: skip
    answer.fitted = asked = _bars(now.definition.criteria, given, weights or {})
    eve = [now.situation.on - timedelta(days=1)] if now.situation.is_dated else []  # when all before had ended
    origin = answer.origin(pd.Series(pd.to_datetime(eve)))
    for name, unit in (("smallest_share", "rate"), ("least_recognised", "rate"), ("least_stability", "ratio")):
        answer.count([{"estimate": getattr(asked, name)}], origin, name, unit=unit)
    if asked.smallest_accounts:
        answer.count([{"estimate": asked.smallest_accounts}], origin, "smallest_accounts")
    for axis in AXES:
        counted = getattr(asked, axis).counted
        rows = [{"field": "criterion", "level": name, "estimate": weight} for name, weight in counted.items()]
        answer.count(rows, origin, f"{axis}_weight", unit="ratio")
    answer.results["are_criteria_set"] = "criteria" in now.definition.model_fields_set
    answer.results["are_criteria_given"] = bool(given or weights)
    return answer


def _bars(own: Bars, given: Mapping[str, Any], weights: Mapping[str, float]) -> Bars:
    """The market's own criteria with those that were given in their place."""
    if unknown := [name for name in weights if name not in UNITS]:
        raise ParameterError(f"weights names {unknown}; allowed: {allowed(UNITS)}")
    parts = {
        axis: {name: weight for name, weight in weights.items() if name in model.model_fields}
        for axis, model in (("attractiveness", Attractiveness), ("strength", Strength))
    }
    try:
        return Bars.model_validate({**own.model_dump(), **given} | {axis: part for axis, part in parts.items() if part})
    except ValidationError as error:
        first = error.errors()[0]
        name, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise ParameterError(f"criteria, {name} = {first['input']!r}: {said}") from error


def targets(found: Answer, deals: pd.DataFrame, ideal: Answer) -> Answer:
    """The segments by attractiveness and own strength, and which of them to aim at.

    ``found``: of ``segments``; ``deals``: one row a deal that ended; ``ideal``: of ``target_criteria``. Criteria are
    standardised by their observed spread and weighted (Dolnicar, Gruen & Leisch, 2018, ch. 10); the scores' intervals
    hold for all segments at once. A target passes every bar by its whole interval, is more attractive than the average
    segment, and is none where we are weaker. Its family (``targets``) is closed here: the choice follows from it.
    """
    answer = of_segments("targets", "targets", found, pages.show_targets, ideal=ideal.stated["estimate"].tolist(),
                         deals=pd.util.hash_pandas_object(deals.index).sum())  # fmt: skip
    sample, segmentation = found.fitted
    answer.fitted = None
    if segmentation is None or segmentation.recommended_k < 2:
        answer.missing["targets"] = _ONE_MARKET
        answer.results |= {"targets": [], "n_targets": 0}
        return answer
    now = answer.now
    ended, is_recorded = now.rows(deals, "deals")
    answer.among = answer.among or now.chosen(deals, "deals", is_recorded)
    criteria = Criteria(now.situation, sample, segmentation, now.personas, ended)
    values = {name: criteria.value(name) for name in UNITS}
    for name, value in values.items():
        if value is not None:
            _state_value(answer, criteria, name, value)
    scores = {axis: scores_of(values, getattr(ideal.fitted, axis).counted) for axis in AXES}
    about = {"market": now.market, "period": now.period.name, "expires_on": now.situation.expires_on}
    looks = _score_looks(answer, criteria, scores, values)
    judged = close_family(looks, family="targets", **about).assign(among=answer.among)  # type: ignore[arg-type]
    answer.closed.append(judged)
    if is_recorded and criteria.deals is not None:
        answer.redraws.append(_redraw(criteria, values, ideal.fitted))
    tests = _tests(answer, criteria, ideal.fitted)
    rows = []
    for place, segment in enumerate(criteria.ids):
        chosen = choice(dict(tests.iloc[place]), *(side(judged, axis, segment) for axis in AXES))
        rows.append([segment, ", ".join(criteria.personas_of(segment)), *chosen])
    answer.tables["targets"] = pd.DataFrame(rows, columns=["segment", "personas", "choice", "reason"], dtype="str")
    aimed = [row[0] for row in rows if row[2] == "target"]
    lacking = [
        name for axis in AXES for name in getattr(ideal.fitted, axis).counted if name not in scores[axis].counted
    ]
    answer.results |= {"targets": aimed, "n_targets": len(aimed), "criteria_unavailable": lacking}
    if lacking:
        listed = "; ".join(f"{name.replace('_', ' ')} ({COLLECT[name]})" for name in lacking)
        answer.missing["uncounted"] = (
            f"Not counted, because some segment has too few rows, none, or a mean without an interval: {listed}."
        )
    return answer


def _state_value(answer: Answer, criteria: Criteria, name: str, value: Value) -> None:
    """A criterion in every segment, with its interval."""
    rows = pd.DataFrame(
        {"estimate": value.estimate, "low": value.low, "high": value.high, "n": value.n, "level": criteria.ids}
    ).assign(n_effective=value.n_effective)
    rows = rows[rows["estimate"].notna()].assign(field="segment")
    answer.estimate(rows, answer.origin(value.days, table=value.source), f"criterion_{name}", unit=UNITS[name])


def scores_of(values: Mapping[str, Any], weights: Mapping[str, float]) -> Scores:
    """The weighted score of every segment; ``values``: by criterion, each with estimate, low and high, or None."""
    known = {
        name: Criterion(value.estimate, value.low, value.high, -1 if name in LESS_IS_BETTER else 1)
        for name, value in values.items()
        if value is not None
    }
    return weighted_scores(known, weights)


def _score_looks(
    answer: Answer, criteria: Criteria, scores: Mapping[str, Scores], values: Mapping[str, Value | None]
) -> pd.DataFrame:
    """Both scores of every segment beside the average one's; they cover the days of all the criteria in them."""
    looks = []
    for axis, score in scores.items():
        if not score.counted:
            continue
        rows = pd.DataFrame({"estimate": score.estimate, "low": score.low, "high": score.high, "level": criteria.ids})
        rows = rows.assign(field="segment", n=criteria.found.sizes["size"].to_numpy())
        days = pd.concat([value.days for name in score.counted if (value := values[name]) is not None])
        looks.append(gain_looks(rows, answer.origin(days), measure=f"{axis}_score", level=each_level(len(rows))))
    return stacked(looks, LOOK_COLUMNS)


def each_level(n_segments: int) -> float:
    """The level of one segment's interval, so that those of all hold at once."""
    return 1 - (1 - _LEVEL) / max(n_segments, 1)


def _redraw(criteria: Criteria, values: Mapping[str, Value | None], asked: Bars) -> TargetRedraw:
    """How the scores are made again of other outcomes."""
    deals = criteria.deals if criteria.deals is not None else pd.DataFrame()
    others = {name: value for name, value in values.items() if name not in OF_DEALS and value is not None}
    return TargetRedraw(
        deals["deal_id"],
        deals[["segment", "closed_on"]],
        criteria.ids,
        {name: {end: getattr(v, end).tolist() for end in ("estimate", "low", "high")} for name, v in others.items()},
        {axis: dict(getattr(asked, axis).counted) for axis in AXES},
        has_amounts="won_amount" in deals,
        has_days=bool(deals["age_days"].notna().any()),
    )


def _tests(answer: Answer, criteria: Criteria, asked: Bars) -> pd.DataFrame:
    """For every segment (rows) whether it passes, fails or cannot be told on each bar (columns)."""
    sizes, found, situation = criteria.found.sizes, criteria.found, criteria.situation
    slsw = found.slsw[found.slsw["k"] == found.recommended_k]["slsw"].to_numpy()
    k, n = criteria.recognised()
    low, high = wilson(k, n)
    share = np.divide(k, n, out=np.full(len(n), np.nan), where=n > 0)  # a number that was asked for may leave one empty
    rows = pd.DataFrame({"estimate": share, "low": low, "high": high, "n": n.astype(int), "level": criteria.ids})
    rows = rows[rows["estimate"].notna()].assign(field="segment")
    answer.estimate(rows, answer.origin(days_of(criteria.sample.rows)), "recognised_share")
    tests = {
        "size": _tested(sizes["low"], sizes["high"], asked.smallest_share),
        "recognised": _tested(low, high, asked.least_recognised),
        "stability": _tested(slsw, slsw, asked.least_stability),
    }
    if asked.smallest_accounts and situation.holds("accounts"):
        known = int(situation.view.known("accounts").count().execute())
        tests["accounts"] = _tested(sizes["low"] * known, sizes["high"] * known, asked.smallest_accounts)
    return pd.DataFrame(tests, index=criteria.ids)


def _tested(low: object, high: object, limit: float) -> np.ndarray:
    """Does the whole interval reach the limit, none of it, or can nobody tell?"""
    above, below = np.asarray(low, dtype=float) >= limit, np.asarray(high, dtype=float) < limit
    return np.select([above, below], [_PASSES, _FAILS], default=_OPEN)


def side(judged: pd.DataFrame, axis: str, segment: str) -> str:
    """Where a segment's score is shown to lie: above the average segment, below it, or neither."""
    found = judged[(judged["measure"] == f"{axis}_score") & (judged["level"] == segment)]
    if found.empty:
        return "unknown"
    claim = found.iloc[0]
    if claim["verdict"] != Verdict.SUPPORTED:
        return "around"
    return "above" if claim["effect"] > 0 else "below"


def choice(tests: Mapping[Any, str], attractive: str, strong: str) -> tuple[str, str]:
    """Target, not now, left out or cannot tell, with the reason; ``tests`` by bar, both sides as of ``side``."""
    failed = [_REASONS[name] for name, test in tests.items() if test == _FAILS]
    unclear = [_REASONS[name] for name, test in tests.items() if test == _OPEN]
    if failed:
        return "left out", "; ".join(failed)
    if attractive == "below" or strong == "below":
        sides = {"less attractive than the average segment": attractive, "we are weaker than on average": strong}
        return "not now", "; ".join(text for text, where in sides.items() if where == "below")
    if unclear:
        return _OPEN, "; ".join(f"perhaps {text}" for text in unclear)
    if attractive == "above":
        own = {"above": "and we are stronger there", "around": "and we are not shown to be weaker there"}
        return "target", f"more attractive than the average segment, {own.get(strong, 'own strength unknown')}"
    return _OPEN, "not shown to be more attractive than the average segment"


def offer(chosen: Answer, described: Answer) -> Answer:
    """What the target segments want above the market, how far the team's texts are, and where to work with it.

    ``chosen``: of ``targets``; ``described``: of ``profile``. Without a target the segments that nobody can tell.
    """
    answer = of_segments("offer", "offer", described, pages.show_offer, targets=chosen.results["targets"])
    if "targets" in chosen.missing:
        answer.missing["offer"] = chosen.missing["targets"]
        return answer
    answer.statements += [*described.statements, *chosen.statements]
    answer.tables["targets"] = chosen.tables["targets"]
    return answer
