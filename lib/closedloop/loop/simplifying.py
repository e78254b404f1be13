"""Edits that make a persona set simpler: a split whose difference is gone goes back, a vanished persona retires."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import scipy

from closedloop.evidence.claims import Origin, close_family, typed
from closedloop.evidence.looks import LOOK_COLUMNS, meta_of
from closedloop.evidence.rates import wilson
from closedloop.evidence.rules import Rule
from closedloop.loop.changelog import SPLIT
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.loop.situation import Situation
from closedloop.market.periods import find_period
from closedloop.terms import Verdict

MERGE, RETIRE = "merge_gap", "remaining_share"  # the measures of the two kinds of edits
CELL = "edits"
_FEWEST = 40  # deals on either side of a merge
_TOO_SMALL = 0.02  # of the deals: too few people for a play of their own


def simplified(situation: Situation, closed: pd.DataFrame, in_force: PersonaSet) -> tuple[PersonaSet, pd.DataFrame]:
    """The set without splits that are gone and personas that vanished; and claims of all such edits looked at.

    Only splits are merged: personas of research differ by what they need, and may well be won equally often. Claims:
    family ``simplify``, subject the persona; measure ``merge_gap``, level the persona it goes back to; or
    ``remaining_share``. A family of their own: they ask whether a difference is small, not whether there is one.
    """
    settings, assigned = situation.claims, in_force.assign(closed)
    rows = [*_merges(situation, closed, assigned, in_force), *_retirements(situation, closed, assigned, in_force)]
    claims = close_family(
        typed(rows, LOOK_COLUMNS),
        family="simplify",
        market=situation.market,
        period=situation.period.name,
        smallest_worth=settings.smallest_worth,
        rate=0.10 / settings.planned_periods,
        watch_rate=0.10,
        expires_on=situation.expires_on,
    )
    gone = list(claims.loc[claims["verdict"] == Verdict.SUPPORTED, "subject"])
    rule = without(in_force.rule, gone)
    kept = tuple(p for p in in_force.personas if p.id not in gone)
    sentences = rule.sentences()
    return replace(in_force, rule=rule, personas=_reworded(kept, sentences) if gone else kept), claims


def _reworded(personas: tuple[Persona, ...], sentences: dict[str, list[str]]) -> tuple[Persona, ...]:
    return tuple(replace(p, rule=tuple(sentences.get(p.id, p.rule))) for p in personas)


def without(rule: Rule, gone: list[str]) -> Rule:
    """The rule without the branches of those labels: their cases go to the next branch that holds."""
    branches = tuple(branch for branch in rule.branches if branch.label not in gone)
    return Rule(branches, rule.default, rule.fields)


def _merges(
    situation: Situation, closed: pd.DataFrame, assigned: pd.Series, in_force: PersonaSet
) -> list[dict[str, Any]]:
    """Each split, by the deals that closed since it was made: is its rate within a small difference of its parent's?"""
    rows = []
    for split in in_force.changelog:
        if split.edit != SPLIT or split.into not in in_force.ids or split.persona not in in_force.ids:
            continue
        since = find_period(situation.warehouse.periods, split.period).start
        later = closed[closed["closed_on"] >= pd.Timestamp(since)]
        won = later["is_won"].groupby(assigned[later.index])
        k, n = won.sum(), won.size()
        if min(n.get(split.into, 0), n.get(split.persona, 0)) < _FEWEST:
            continue
        own, old = ((float(k[p]), int(n[p])) for p in (split.into, split.persona))
        low, high = wilson(*own)
        rows.append(
            _look(Origin("06_refinement", CELL, "deals", *situation.span(later["closed_on"])), MERGE, split.into)
            | {"field": "persona", "level": split.persona, "estimate": own[0] / own[1], "low": low, "high": high}
            | {"baseline": old[0] / old[1], "n": own[1], "effect": own[0] / own[1] - old[0] / old[1]}
            | _equivalence(own, old, situation.claims.smallest_worth)
        )
    return rows


def _look(origin: Origin, measure: str, subject: str) -> dict[str, Any]:
    return meta_of(origin, measure, "rate", "descriptive") | {"subject": subject}


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
    situation: Situation, closed: pd.DataFrame, assigned: pd.Series, in_force: PersonaSet
) -> list[dict[str, Any]]:
    """Each persona but the one for all the rest: is its share of the recent deals too small for a play of its own?"""
    recent = situation.in_window(closed, closed["closed_on"])
    n = len(recent)
    if not n or len(in_force.personas) < 2:
        return []
    counts = assigned[recent.index].value_counts().reindex(in_force.ids, fill_value=0)
    k = np.asarray(counts, dtype=float)
    low, high = wilson(k, n)
    origin = Origin("06_refinement", CELL, "deals", *situation.span(recent["closed_on"]))
    return [
        _look(origin, RETIRE, persona)
        | {"field": "", "level": "", "estimate": k[i] / n, "low": low[i], "high": high[i], "baseline": _TOO_SMALL}
        | {"n": n, "effect": k[i] / n - _TOO_SMALL, "p": float(scipy.stats.binom.cdf(k[i], n, _TOO_SMALL))}
        | {"beyond": float(scipy.stats.beta.cdf(_TOO_SMALL, k[i] + 1, n - k[i] + 1))}
        for i, persona in enumerate(in_force.ids)
        if persona != in_force.rule.default
    ]
