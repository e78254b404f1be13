"""Which segments to aim at: criteria set before the data are cut, every segment's values, the choice, and the offer."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from closedloop.claims.comparisons import gain_looks
from closedloop.claims.ledger import LOOK_COLUMNS, close_family, stacked
from closedloop.errors import ParameterError, allowed
from closedloop.market.criteria import Attractiveness, Strength
from closedloop.market.criteria import Criteria as Bars
from closedloop.presentation.blocks import Listing, Note, Piece, Sentence, Table, claim_ids, stating
from closedloop.presentation.charts import positions
from closedloop.presentation.numbers import MISSING
from closedloop.presentation.sentences import first, ranged, records, value, where
from closedloop.presentation.words import capital
from closedloop.questions.research.criteria import LESS_IS_BETTER, NAMES, OF_DEALS, UNITS, Criteria, Value
from closedloop.questions.research.segments import of_segments
from closedloop.statistics.proportions import wilson
from closedloop.statistics.weighing import Criterion, Scores, weighted_scores
from closedloop.terms import Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import TargetRedraw

AXES = {"attractiveness": "attractiveness", "strength": "own strength"}
_LEVEL = 0.90  # of the scores' intervals
_PASSES, _FAILS, _OPEN = "passes", "fails", "cannot tell"
_REASONS = {
    "size": "too small a share of the market",
    "accounts": "too few known accounts",
    "recognised": "the rule does not recognise its members",
    "stability": "not found again surely enough",
}
_BARS = {
    "smallest_share": ("rate", "large enough: share of the market"),
    "smallest_accounts": ("count", "large enough: known accounts"),
    "least_recognised": ("rate", "recognisable: share of its members whom the personas' rule finds"),
    "least_stability": ("ratio", "found again in other samples (1 is always)"),
}
_MOST_WISHES = 3


def targets(
    found: Answer | None = None,
    deals: pd.DataFrame | None = None,
    ideal: Answer | None = None,
    *,
    smallest_share: float | None = None,
    smallest_accounts: int | None = None,
    least_recognised: float | None = None,
    least_stability: float | None = None,
    weights: Mapping[str, float] | None = None,
) -> Answer:
    """The segments by attractiveness and own strength, and which of them to aim at.

    Without ``found``: what a target has to be and how much each criterion counts, said before the data are cut. What is
    not given is as [criteria] of market.toml says. ``smallest_share`` of the market and ``smallest_accounts`` that are
    worth it; ``least_recognised``: share of its members that the personas' rule finds; ``least_stability``: how surely
    it is found again; ``weights`` by criterion, in place of all of an axis.

    ``found``: of ``segments``; ``deals``: one row a deal that ended; ``ideal``: those criteria. They are standardised
    by their observed spread and weighted (Dolnicar, Gruen & Leisch, 2018, ch. 10); the scores' intervals hold for all
    segments at once. A target passes every bar by its whole interval, is more attractive than the average segment, and
    is none where we are weaker. Its family (``targets``) is closed here: the choice follows from it.
    Errors: ParameterError.
    """
    bars = {"smallest_share": smallest_share, "smallest_accounts": smallest_accounts,
            "least_recognised": least_recognised, "least_stability": least_stability}  # fmt: skip
    given = {name: bar for name, bar in bars.items() if bar is not None}
    if found is None:
        return _ideal(given, weights or {})
    if deals is None or ideal is None or given or weights:
        raise ParameterError(
            "targets(found) takes deals and criteria that were set before; allowed: targets(found, deals, ideal) "
            "with ideal = targets(smallest_share=0.1, ...)"
        )
    answer = of_segments("targets", "targets", found, _show_targets, ideal=ideal.stated["estimate"].tolist(),
                         deals=pd.util.hash_pandas_object(deals.index).sum())  # fmt: skip
    sample, segmentation = found.fitted
    answer.fitted = None
    if segmentation is None or segmentation.recommended_k < 2:
        answer.missing["targets"] = "There is one market without segments, so there is nothing to choose between."
        answer.results |= {"targets": [], "n_targets": 0}
        return answer
    now, asked = answer.now, ideal.fitted
    ended, is_recorded = now.rows(deals, "deals")
    answer.among = answer.among or now.chosen(deals, "deals", is_recorded)
    criteria = Criteria(now.situation, sample, segmentation, now.personas, ended)
    values = {name: criteria.value(name) for name in UNITS}
    _state_values(answer, criteria, values)
    scores = {axis: scores_of(values, getattr(asked, axis).counted) for axis in AXES}
    looks = _score_looks(answer, criteria, scores, values)
    judged = close_family(looks, family="targets", **now.situation.about).assign(among=answer.among)
    answer.closed.append(judged)
    if is_recorded and criteria.deals is not None:
        answer.redraws.append(_redraw(criteria, values, asked))
    table = answer.tables["targets"] = _choices(answer, criteria, asked, judged, scores)
    aimed = table.loc[table["choice"] == "target", "segment"].tolist()
    lacking = [name for axis in AXES for name in getattr(asked, axis).counted if name not in scores[axis].counted]
    answer.results |= {"targets": aimed, "n_targets": len(aimed), "criteria_unavailable": lacking}
    if lacking:
        listed = "; ".join(f"{name.replace('_', ' ')} ({criteria.why_not(name)})" for name in lacking)
        answer.missing["uncounted"] = (
            f"Not counted, because some segment has too few rows, none, or a mean without an interval: {listed}."
        )
    return answer


def _choices(
    answer: Answer, criteria: Criteria, asked: Bars, judged: pd.DataFrame, scores: Mapping[str, Scores]
) -> pd.DataFrame:
    """Columns segment, personas, choice, reason: whether each segment is aimed at, and why."""
    rows, narrow = [], [_counting(axis, scores[axis].counted, getattr(asked, axis).counted) for axis in AXES]
    for segment, tests in _tests(answer, criteria, asked).to_dict("index").items():
        chosen, reason = choice(tests, *(side(judged, axis, str(segment)) for axis in AXES))
        told = reason + "".join(narrow) if chosen in ("target", "not now") else reason
        rows.append([segment, ", ".join(criteria.personas_of(str(segment))), chosen, told])
    return pd.DataFrame(rows, columns=["segment", "personas", "choice", "reason"], dtype="str")


def _ideal(given: Mapping[str, Any], weights: Mapping[str, float]) -> Answer:
    """The market's own criteria with those that were given in their place."""
    now = opened()
    answer = now.ask("targets", "ideal", pd.DataFrame(), "market.toml", _show_ideal,
                     weights=sorted(weights.items()), **given)  # fmt: skip
    if unknown := [name for name in weights if name not in UNITS]:
        raise ParameterError(f"weights names {unknown}; allowed: {allowed(UNITS)}")
    parts = {
        axis: {name: weight for name, weight in weights.items() if name in model.model_fields}
        for axis, model in (("attractiveness", Attractiveness), ("strength", Strength))
    }
    own = {**now.definition.criteria.model_dump(), **given} | {axis: part for axis, part in parts.items() if part}
    try:
        answer.fitted = asked = Bars.model_validate(own)
    except ValidationError as error:
        wrong = error.errors()[0]
        name, said = ".".join(map(str, wrong["loc"])), wrong["msg"].removeprefix("Value error, ")
        raise ParameterError(f"criteria, {name} = {wrong['input']!r}: {said}") from error
    eve = [now.situation.on - timedelta(days=1)] if now.situation.is_dated else []  # when all before had ended
    origin = answer.origin(pd.Series(pd.to_datetime(eve)))
    for name, (unit, _) in _BARS.items():
        if name != "smallest_accounts" or asked.smallest_accounts:
            answer.count([{"estimate": getattr(asked, name)}], origin, name, unit=unit)
    for axis in AXES:
        counted = getattr(asked, axis).counted
        rows = [{"field": "criterion", "level": name, "estimate": weight} for name, weight in counted.items()]
        answer.count(rows, origin, f"{axis}_weight", unit="ratio")
    answer.results["are_criteria_set"] = "criteria" in now.definition.model_fields_set
    answer.results["are_criteria_given"] = bool(given or weights)
    return answer


def _state_values(answer: Answer, criteria: Criteria, values: Mapping[str, Value | None]) -> None:
    """Every criterion in every segment, with its interval."""
    for name, held in values.items():
        if held is not None:
            ends = {"estimate": held.estimate, "low": held.low, "high": held.high, "n": held.n, "level": criteria.ids}
            known = pd.DataFrame(ends).assign(n_effective=held.n_effective, field="segment")
            origin = answer.origin(held.days, table=held.source)
            answer.estimate(known[known["estimate"].notna()], origin, f"criterion_{name}", unit=UNITS[name])


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
        deals[["segment", "closed_on", "period"]],
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
    answer.estimate(rows, answer.origin(criteria.sample.days), "recognised_share")
    tests = {
        "size": _tested(sizes["low"], sizes["high"], asked.smallest_share),
        "recognised": _tested(low, high, asked.least_recognised),
        "stability": _tested(slsw, slsw, asked.least_stability),
    }
    if asked.smallest_accounts and situation.holds("accounts"):
        known = len(situation.known("accounts"))
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


def _counting(axis: str, counted: Sequence[str], asked: Mapping[str, float]) -> str:
    """What a score counts alone where the data hold less than was asked; nothing where they hold it all."""
    if len(counted) == len(asked):
        return ""
    if not counted:
        return f"; nothing is known of {AXES[axis]}"
    return f"; {AXES[axis]} counts only {', '.join(name.replace('_', ' ') for name in counted)}"


def offer(chosen: Answer, described: Answer) -> Answer:
    """How the target segments stand out, how far the team's texts are for what they want, and where to work with it.

    ``chosen``: of ``targets``; ``described``: of ``profile``. Without a target the segments that nobody can tell.
    """
    answer = of_segments("offer", "offer", described, _show_offer, targets=chosen.results["targets"])
    if "targets" in chosen.missing:
        answer.missing["offer"] = chosen.missing["targets"]
        return answer
    answer.statements += [*described.statements, *chosen.statements]
    answer.tables["targets"] = chosen.tables["targets"]
    return answer


def _show_ideal(shown: Evidence, title: str) -> Sequence[Piece]:
    """The bars and the weights that were set before the data were cut."""
    words, bars = shown.words, [claim for name in _BARS if (claim := shown.first(name)) is not None]
    weights = [(axis, claim) for axis in AXES for claim in records(shown.of(f"{axis}_weight"))]
    text = "market.toml sets no criteria, so the usual ones count alike. Set your own there, under [criteria]."
    if shown.result("are_criteria_set"):
        text = "These criteria stand in market.toml, so they were set before the cut."
    if shown.result("are_criteria_given"):
        text = "Some of these criteria are this notebook's own; the others are as the market says."
    asked = tuple((_BARS[str(claim["measure"])][1], f"at least {value(claim, words)}") for claim in bars)
    counted = tuple((NAMES[str(claim["level"])], AXES[axis], value(claim, words)) for axis, claim in weights)
    return (
        Table(("a target has to be", "asked"), asked, (False, True), title,
              claims=tuple(claim_ids(claim) for claim in bars)),
        Table(("criterion", "speaks for", "weight"), counted, (False, False, True),
              claims=tuple(claim_ids(claim) for _, claim in weights)),
        Sentence(text),
    )  # fmt: skip


def _show_targets(shown: Evidence, title: str) -> Sequence[Piece]:
    """Both axes, every criterion in every segment, and the choice."""
    words, rows, said, points = shown.words, records(shown.table("targets")), [], []
    for row in rows:
        segment, name = str(row["segment"]), capital(_named(shown, str(row["segment"])))
        cited = where(shown.cell("targets"), field="segment", level=segment)
        said.append(stating(f"{name} – {row['choice']}: {row['reason']}.", cited))
        x, y = (shown.first(f"{axis}_score", level=segment) for axis in ("strength", "attractiveness"))
        if x is not None and y is not None:
            place = {"x": x["estimate"], "x_low": x["low"], "x_high": x["high"]}
            place |= {"y": y["estimate"], "y_low": y["low"], "y_high": y["high"]}
            label, is_sure = shown.words.name(segment), row["choice"] == "target"
            points.append({**place, "label": label, "is_sure": is_sure, "claims": claim_ids(x, y)})
    measures = {f"criterion_{name}": text for name, text in NAMES.items()}
    measures |= {"recognised_share": "members whom the rule finds"}
    measures |= {f"{axis}_score": name for axis, name in AXES.items()}
    stated = {text: claims for measure, text in measures.items() if len(claims := shown.of(measure))}
    segments = [str(row["segment"]) for row in rows]
    cells = [
        (text, *(ranged(first(claims, level=segment), words) for segment in segments))
        for text, claims in stated.items()
    ]
    components = Table(("criterion", *map(words.name, segments)), tuple(cells), (False, *(True for _ in segments)),
                       claims=tuple(map(claim_ids, stated.values())))  # fmt: skip
    whose = Note("What deals and leads say is of a segment's personas, of which the rule finds but some members.")
    if len(points) < len(rows):  # an axis is unknown
        return components, whose, Listing(said)
    name = title or "Which segments are attractive, and where are we strong?"
    caption = (
        "Filled: a target; hollow: not, or nobody can tell. Bars: 90 % intervals that hold for all segments at once."
    )
    picture = positions(pd.DataFrame(points), name, ("own strength", "attractiveness"), caption=caption)
    return picture, components, whose, Listing(said)


def _named(shown: Evidence, segment: str) -> str:
    """A segment with the personas that stand for it: "segment 0 (persona Low price)"."""
    rows = shown.table("targets")
    personas = rows.loc[rows["segment"] == segment, "personas"] if len(rows) else pd.Series(dtype="str")
    names = [shown.words.told(name) for ids in personas if ids for name in ids.split(", ")]
    return f"{shown.words.name(segment)} ({' and '.join(names)})" if names else shown.words.name(segment)


def _show_offer(shown: Evidence, title: str) -> Sequence[Piece]:
    """Whom to adapt the offer for, what each of them wants, and the pages to work with."""
    words, rows = shown.words, shown.table("targets")
    aimed = rows[rows["choice"] == "target"]
    listed = aimed if len(aimed) else rows[rows["choice"] == "cannot tell"]
    if listed.empty:
        return (Sentence("No segment is a target, nor close to one: none is to be favoured with an offer of its own."),)
    names = " and ".join(_named(shown, str(segment)) for segment in listed["segment"])
    text = f"No segment is shown to be a target; whether {names} should be one cannot be told."
    text = f"Adapt offer, price, channels and messages for {names}." if len(aimed) else text
    shares, cells, cited = shown.of("profile_share").set_index(["field", "level"]), [], []
    for segment, personas in listed[["segment", "personas"]].astype(str).itertuples(index=False):
        mine, whole = shares[shares["subject"] == segment], shares[shares["subject"] == "market"]
        gap = (mine["estimate"] - whole["estimate"]).dropna().sort_values(ascending=False, kind="stable")
        wishes = records(mine.loc[[key for key in gap.index if gap[key] > 0][:_MOST_WISHES]].reset_index())
        wanted = [f"{words.short(str(wish['field']), wish['level'])} {value(wish, words)}" for wish in wishes]
        ready = shown.first("criterion_materials_ready", level=segment)
        pages = " and of ".join(words.told(name) for name in personas.split(", ") if name)
        where_to = f"campaign brief and sales playbook of {pages}" if pages else "none: no persona stands for it"
        cells.append((_named(shown, segment), ", ".join(wanted) or MISSING, value(ready, words), where_to))
        cited.append(claim_ids(*wishes, *([] if ready is None else [ready])))
    heads = ("segment", "most above the market's share", "texts ready for its wishes", "pages to work with")
    table = Table(heads, tuple(cells), (False, False, True, False), title, claims=tuple(cited))
    scores = where(shown.ledger, cell="targets")
    said = stating(text, scores[scores["level"].isin(listed["segment"])])
    return table, said, Note("These answers made the segments: they describe them and prove nothing.")
