"""Can the outcomes of a period change the personas at all? What 06 needs before it duels, edits or looks for drift."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.claims.comparisons import LOOK_COLUMNS, Origin, meta_of
from closedloop.claims.ledger import close_family, stacked, typed
from closedloop.market.periods import Period, find_period
from closedloop.period.counting import ONLY_WON, by_close, crossed_counts, level_texts
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import GATE, Persona, PersonaSet, persona_id
from closedloop.personas.signals import RATE, SPLITS_SHARE
from closedloop.statistics.level_effects import Level
from closedloop.statistics.proportions import (
    ShrunkRates,
    at_rate,
    shrink_rates,
    standardised,
    stratified_difference_p,
    wilson,
)
from closedloop.statistics.rules import Among, Branch, Rule, implies
from closedloop.statistics.segmentation.indicators import is_metric, level_text
from closedloop.terms import RARE, Moment, Verdict
from closedloop.workbench.answer import Answer
from closedloop.workbench.period import OpenPeriod

FEWEST_DEALS = 60  # decided in a period: with fewer the set is left alone
_FOREIGN = "These rows are no deals of the open period: choose rows of now.deals() and keep their index."


def following(now: OpenPeriod) -> Period | None:
    """The period for which a set can be proposed; None while this one is running, and for the last one."""
    every = now.situation.warehouse.periods
    place = every.index(now.period) + 1
    return None if now.period.running or place == len(every) else every[place]


def refinable(answer: Answer, least: int) -> pd.DataFrame | None:
    """The answer's decided deals by the day they closed; None, and it says why, where nothing can be told of them."""
    now, deals = answer.now, answer.rows
    is_foreign = bool(len(deals)) and not answer.is_recorded
    closed = pd.DataFrame() if is_foreign or "outcome" not in deals else by_close(deals)
    reason = _FOREIGN if is_foreign else _why_not(now, deals, closed, least)
    if reason:
        answer.missing[answer.section] = reason
        return None
    return closed


def _why_not(now: OpenPeriod, deals: pd.DataFrame, closed: pd.DataFrame, least: int) -> str:
    """What stands in the way; nothing where the period can be judged."""
    if not now.situation.view.has("deals"):
        return "No deals are recorded, so outcomes cannot change the personas. Collect `deals` with outcomes."
    if not now.situation.is_dated:
        return (
            "The source records no dates, so nothing can be checked against a later period. Collect closed_on of deals."
        )
    if closed.empty and len(deals) and (deals["outcome"] == "won").any():
        return f"{ONLY_WON} Without lost deals neither duel, edits nor drift can be told."
    if following(now) is None:
        return "The period is still running: the duel and the edits wait for its end."
    n = int(now.situation.in_period(closed["closed_on"]).sum()) if len(closed) else 0
    return f"{n} deals were won or lost in this period; {least} are needed to test anything." if n < least else ""


MERGE, RETIRE = "merge_gap", "remaining_share"  # the measures of the two kinds of edits
_FEWEST = 40  # deals on either side of a merge
_TOO_SMALL = 0.02  # of the deals: too few people for a play of their own


def simplified(
    situation: Situation, closed: pd.DataFrame, in_force: PersonaSet, notebook: str
) -> tuple[PersonaSet, pd.DataFrame]:
    """The set without splits that are gone and personas that vanished; and claims of all such edits that were tested.

    Only splits are merged: personas of research differ by what they need, and may well be won equally often. Claims:
    family ``simplify``, subject the persona; measure ``merge_gap``, level the persona it goes back to; or
    ``remaining_share``. A family of their own: they ask whether a difference is small, not whether there is one.
    """
    settings, assigned = situation.claims, in_force.assign(closed)
    tested = [
        *_merges(situation, closed, assigned, in_force, notebook),
        *_retirements(situation, closed, assigned, in_force, notebook),
    ]
    claims = close_family(
        typed(tested, LOOK_COLUMNS),
        family="simplify",
        smallest_worth=_worth(situation, closed),
        rate=0.10 / settings.planned_periods,
        watch_rate=0.10,
        **situation.about,
    )
    gone = set(claims.loc[claims["verdict"] == Verdict.SUPPORTED, "subject"])
    rule = without(in_force.rule, gone)
    kept = tuple(p for p in in_force.personas if p.id not in gone)
    if gone:
        sentences = rule.sentences()
        kept = tuple(replace(p, rule=tuple(sentences.get(p.id, p.rule))) for p in kept)
    return replace(in_force, rule=rule, personas=kept), claims


def _worth(situation: Situation, closed: pd.DataFrame) -> float:
    """The smallest difference that is worth knowing, at the rate of these deals."""
    return max(at_rate(situation.claims.smallest_worth, closed["is_won"].mean()), 1e-4)


def without(rule: Rule, gone: set[str]) -> Rule:
    """The rule without the branches of those labels: their cases go to the next branch that holds."""
    branches = tuple(branch for branch in rule.branches if branch.label not in gone)
    return Rule(branches, rule.default, rule.fields)


def _merges(
    situation: Situation, closed: pd.DataFrame, assigned: pd.Series, in_force: PersonaSet, notebook: str
) -> list[dict[str, Any]]:
    """Each split, by the deals that closed since it was made: is its rate within a small difference of its parent's?"""
    rows = []
    for split in in_force.splits:
        if split.persona not in in_force.ids:
            continue
        since = find_period(situation.warehouse.periods, split.period).start
        later = closed[closed["closed_on"] >= pd.Timestamp(since)]
        won = later["is_won"].groupby(assigned[later.index])
        k, n = won.sum(), won.size()
        if min(n.get(split.into, 0), n.get(split.persona, 0)) < _FEWEST:
            continue
        own, old = ((float(k[p]), int(n[p])) for p in (split.into, split.persona))
        (low, high), rate, before = wilson(*own), own[0] / own[1], old[0] / old[1]
        origin = Origin(notebook, CELL, "deals", *situation.span(later["closed_on"]))
        rows.append(
            meta_of(origin, MERGE, "rate", "descriptive")
            | {"subject": split.into, "field": "persona", "level": split.persona}
            | {"estimate": rate, "low": low, "high": high, "baseline": before, "effect": rate - before, "n": own[1]}
            | _equivalence(own, old, at_rate(situation.claims.smallest_worth, before))
        )
    return rows


def _equivalence(own: tuple[float, int], old: tuple[float, int], margin: float) -> dict[str, float]:
    """Two one-sided tests that the rates differ by less than ``margin`` (Schuirmann, 1987), and how probable it is."""
    (k, n), (k_old, n_old) = own, old
    shares = np.array([(k + 1) / (n + 2), (k_old + 1) / (n_old + 2)])
    error = float(np.sqrt((shares * (1 - shares) / np.array([n, n_old])).sum()))
    gap = k / n - k_old / n_old
    return {
        "p": float(max(scipy.stats.norm.sf((margin - gap) / error), scipy.stats.norm.sf((gap + margin) / error))),
        "beyond": float(np.diff(scipy.stats.norm.cdf((np.array([-margin, margin]) - gap) / error))[0]),
    }


def _retirements(
    situation: Situation, closed: pd.DataFrame, assigned: pd.Series, in_force: PersonaSet, notebook: str
) -> list[dict[str, Any]]:
    """Each persona but the one for all the rest: is its share of the recent deals too small for a play of its own?"""
    recent = situation.in_window(closed, closed["closed_on"])
    n = len(recent)
    if not n or len(in_force.personas) < 2:
        return []
    k = assigned[recent.index].value_counts().reindex(in_force.ids, fill_value=0).to_numpy(dtype=float)
    low, high = wilson(k, n)
    origin = Origin(notebook, CELL, "deals", *situation.span(recent["closed_on"]))
    return [
        meta_of(origin, RETIRE, "rate", "descriptive")
        | {"subject": persona, "field": "", "level": "", "estimate": k[i] / n, "low": low[i], "high": high[i]}
        | {"baseline": _TOO_SMALL, "effect": k[i] / n - _TOO_SMALL, "n": n}
        | {"p": float(scipy.stats.binom.cdf(k[i], n, _TOO_SMALL))}
        | {"beyond": float(scipy.stats.beta.cdf(_TOO_SMALL, k[i] + 1, n - k[i] + 1))}
        for i, persona in enumerate(in_force.ids)
        if persona != in_force.rule.default
    ]


Floats = NDArray[np.float64]

SPLIT_RATE = "win_rate"  # the measure of a split
CELL = "edits"
_FEWEST_IN_SPLIT = 40
_VOLATILE = ("campaign", "experiment", "arm", "channel", "product", "first_touch")


def split_fields(situation: Situation, closed: pd.DataFrame) -> list[str]:
    """The fields whose levels are tried as a split: of the people, known at creation, and no numbers."""
    return [f for f in situation.deal_fields(Moment.CREATION) if f not in _VOLATILE and not is_metric(closed[f])]


def split_claims(
    situation: Situation,
    closed: pd.DataFrame,
    in_force: PersonaSet,
    fields: Sequence[str],
    notebook: str,
    signals: Collection[Level] = (),
) -> pd.DataFrame:
    """Claims of the family ``edit``: inside each persona, every level of the ``fields`` against its other deals.

    Like is compared with like inside the periods in which deals closed; the rate of error is shared by the periods in
    which the set will be looked at. Supported: the level is worth a persona of its own. Levels that are ``signals`` of
    all personas are left out.
    """
    strata, assigned = situation.names_of(closed["closed_on"]), in_force.assign(closed)
    origin = Origin(notebook, CELL, "deals", *situation.span(closed["closed_on"]))
    texts, found = split_levels(closed, fields, signals), []
    for name in fields:
        rows = pd.DataFrame({"level": texts[name], "stratum": strata, "won": closed["is_won"]}).dropna()
        for persona, part in rows.groupby(assigned[rows.index]):
            tested = _compared(part)
            found.append(tested[tested["level"] != RARE].assign(subject=str(persona), field=name))
    meta = meta_of(origin, SPLIT_RATE, "rate", "descriptive")
    return close_family(
        stacked(found).assign(**meta),
        family="edit",
        smallest_worth=_worth(situation, closed),
        rate=split_rate(situation),
        watch_rate=0.10,
        **situation.about,
    )


def split_levels(closed: pd.DataFrame, fields: Sequence[str], signals: Collection[Level]) -> pd.DataFrame:
    """The levels of the fields as texts; those that are ``signals`` (of two, both) are ``RARE``: they split nobody."""
    told = level_texts(closed, fields, {})  # as signals name them: a flag is yes or no
    found = {}
    for name in fields:
        is_signal = told[name].isin([one.level for one in signals if one.field == name])
        if is_signal.any() and told[name].nunique() == 2:  # the other level says the same
            is_signal |= told[name].notna()
        found[name] = level_text(closed[name]).mask(is_signal, RARE)
    return pd.DataFrame(found, index=closed.index)


def split_rate(situation: Situation) -> float:
    """The rate of error of a period's splits: their share of .10 over the planned periods."""
    return RATE * SPLITS_SHARE / situation.claims.planned_periods


def _compared(rows: pd.DataFrame) -> pd.DataFrame:
    """The levels of one field within one persona against its other deals; too small ones count as the others.

    ``rows``: level, stratum and won of the persona's deals.
    """
    won, decided = crossed_counts(rows["level"], rows["stratum"], rows["won"])
    k, n = won.to_numpy(), decided.to_numpy()
    k_all, n_all = k.sum(axis=0), n.sum(axis=0)
    tried = is_splittable(n.sum(axis=1), n_all.sum())
    k, n, base = k[tried], n[tried], k_all.sum() / n_all.sum()
    shrunk, m = shrunk_splits(k, n, k_all, n_all), int(tried.sum())
    figures = {
        "level": won.index[tried],
        "estimate": shrunk.mean[:m],
        "low": shrunk.low[:m],
        "high": shrunk.high[:m],
        "baseline": base,
        "effect": shrunk.mean[:m] - base,
        "n": n.sum(axis=1),
        "p": stratified_difference_p(k, n, k_all - k, n_all - n),
        "beyond": shrunk.beyond(at_rate(GATE, base), base)[:m],
    }
    return pd.DataFrame(figures)


def is_splittable(n: Floats, n_all: Floats | float) -> NDArray[np.bool_]:
    """Which levels, with ``n`` of the persona's ``n_all`` deals each, are large enough to be tried as a split."""
    return np.asarray((n >= _FEWEST_IN_SPLIT) & (n_all - n >= _FEWEST_IN_SPLIT))


def shrunk_splits(k: Floats, n: Floats, k_all: Floats, n_all: Floats) -> ShrunkRates:
    """The rates of the levels that are tried, and last that of the persona's other deals.

    Shapes: ``k``, ``n`` (levels, periods); ``k_all``, ``n_all`` (periods,), of the whole persona. Periods differ, so
    what its own periods gave is taken off each level first.
    """
    share = np.divide(n, n_all, out=np.zeros_like(n), where=n_all > 0)
    base, total, expected = k_all.sum() / n_all.sum(), n_all.sum(), share @ k_all
    won, size = k.sum(axis=1), n.sum(axis=1)
    hits, sizes = standardised(won, size, expected, (n * (1 - share)).sum(axis=1), base, total)
    rest = total - size.sum()
    others = np.clip(rest * base - (won - expected).sum(), 0, rest)
    return shrink_rates(np.append(hits, others), np.append(sizes, rest))


def with_split(in_force: PersonaSet, parent: str, field: str, level: str) -> PersonaSet:
    """The set with a persona of its own, without rates, for the ``parent``'s cases of that level."""
    condition, rule = Among(field, (level,)), in_force.rule
    child = persona_id(f"{field}={level}", in_force.ids, whole=parent)
    branches: list[Branch] = []
    for branch in rule.branches:
        if branch.label == parent:  # all its conditions with one more, which takes the place of a wider one
            narrowed = (*(one for one in branch.conditions if not implies(condition, one)), condition)
            branches.append(replace(branch, conditions=narrowed, label=child))
        branches.append(branch)
    if rule.default == parent:
        branches.append(Branch((condition,), child, 0, 0.0))
    known = [b if np.isfinite(b.share_right) else replace(b, share_right=0.0) for b in branches]
    refined = Rule(tuple(known), rule.default, tuple(dict.fromkeys([*rule.fields, field])))
    sentences = refined.sentences()
    personas = [replace(p, rule=tuple(sentences.get(p.id, p.rule))) for p in [*in_force.personas, Persona(child)]]
    return replace(in_force, rule=refined, personas=tuple(personas))
