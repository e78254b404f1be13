"""Merges and retirements: a split whose difference is gone goes back, a persona that has vanished retires."""

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
from closedloop.loop.persona import PersonaSet
from closedloop.loop.situation import Situation
from closedloop.market.periods import find_period
from closedloop.questions.splits import CELL
from closedloop.terms import Verdict

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
        market=situation.market,
        period=situation.period.name,
        smallest_worth=settings.smallest_worth,
        rate=0.10 / settings.planned_periods,
        watch_rate=0.10,
        expires_on=situation.expires_on,
    )
    gone = set(claims.loc[claims["verdict"] == Verdict.SUPPORTED, "subject"])
    rule = without(in_force.rule, gone)
    kept = tuple(p for p in in_force.personas if p.id not in gone)
    if gone:
        sentences = rule.sentences()
        kept = tuple(replace(p, rule=tuple(sentences.get(p.id, p.rule))) for p in kept)
    return replace(in_force, rule=rule, personas=kept), claims


def without(rule: Rule, gone: set[str]) -> Rule:
    """The rule without the branches of those labels: their cases go to the next branch that holds."""
    branches = tuple(branch for branch in rule.branches if branch.label not in gone)
    return Rule(branches, rule.default, rule.fields)


def _merges(
    situation: Situation, closed: pd.DataFrame, assigned: pd.Series, in_force: PersonaSet, notebook: str
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
        (low, high), rate, before = wilson(*own), own[0] / own[1], old[0] / old[1]
        origin = Origin(notebook, CELL, "deals", *situation.span(later["closed_on"]))
        rows.append(
            meta_of(origin, MERGE, "rate", "descriptive")
            | {"subject": split.into, "field": "persona", "level": split.persona}
            | {"estimate": rate, "low": low, "high": high, "baseline": before, "effect": rate - before, "n": own[1]}
            | _equivalence(own, old, situation.claims.smallest_worth)
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
