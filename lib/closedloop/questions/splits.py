"""Splits of a persona: levels that are won more or less often than its other deals, tested, and the rule they make."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.evidence.claims import close_family, stacked
from closedloop.evidence.conditions import Among, Condition, implies
from closedloop.evidence.indicators import is_metric, level_text
from closedloop.evidence.looks import Origin, meta_of
from closedloop.evidence.rates import ShrunkRates, shrink_rates
from closedloop.evidence.rules import Branch, Rule
from closedloop.evidence.strata import standardised, stratified_difference_p
from closedloop.loop.counting import crossed_counts
from closedloop.loop.persona import GATE, Persona, PersonaSet
from closedloop.loop.persona_ids import persona_id
from closedloop.loop.situation import Situation
from closedloop.terms import Moment

Floats = NDArray[np.float64]

SPLIT_RATE = "win_rate"  # the measure of a split
CELL = "edits"
_FEWEST_IN_SPLIT = 40
_VOLATILE = ("campaign", "experiment", "arm", "channel", "product", "first_touch")


def split_fields(situation: Situation, closed: pd.DataFrame) -> list[str]:
    """The fields whose levels are tried as a split: of the people, known at creation, and no numbers."""
    return [f for f in situation.deal_fields(Moment.CREATION) if f not in _VOLATILE and not is_metric(closed[f])]


def split_claims(
    situation: Situation, closed: pd.DataFrame, in_force: PersonaSet, fields: Sequence[str], notebook: str
) -> pd.DataFrame:
    """Claims of the family ``edit``: inside each persona, every level of the ``fields`` against its other deals.

    Like is compared with like inside the periods in which deals closed; the rate of error is shared by the periods in
    which the set will be looked at. Supported: the level is worth a persona of its own.
    """
    strata, assigned = situation.names_of(closed["closed_on"]), in_force.assign(closed)
    origin = Origin(notebook, CELL, "deals", *situation.span(closed["closed_on"]))
    found = []
    for name in fields:
        rows = pd.DataFrame({"level": level_text(closed[name]), "stratum": strata, "won": closed["is_won"]}).dropna()
        for persona, part in rows.groupby(assigned[rows.index]):
            found.append(_compared(part).assign(subject=str(persona), field=name))
    meta = meta_of(origin, SPLIT_RATE, "rate", "descriptive")
    return close_family(
        stacked(part.assign(**meta) for part in found),
        family="edit",
        market=situation.market,
        period=situation.period.name,
        smallest_worth=situation.claims.smallest_worth,
        rate=0.10 / situation.claims.planned_periods,
        watch_rate=0.10,
        expires_on=situation.expires_on,
    )


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
        "beyond": shrunk.beyond(GATE, base)[:m],
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
        if branch.label == parent:
            branches.append(replace(branch, conditions=_narrowed(branch.conditions, condition), label=child))
        branches.append(branch)
    if rule.default == parent:
        branches.append(Branch((condition,), child, 0, 0.0))
    known = [b if np.isfinite(b.share_right) else replace(b, share_right=0.0) for b in branches]
    refined = Rule(tuple(known), rule.default, tuple(dict.fromkeys([*rule.fields, field])))
    sentences = refined.sentences()
    personas = [replace(p, rule=tuple(sentences.get(p.id, p.rule))) for p in [*in_force.personas, Persona(child)]]
    return replace(in_force, rule=refined, personas=tuple(personas))


def _narrowed(conditions: tuple[Condition, ...], more: Among) -> tuple[Condition, ...]:
    """All conditions with one more, which takes the place of a wider one."""
    return (*(condition for condition in conditions if not implies(more, condition)), more)
