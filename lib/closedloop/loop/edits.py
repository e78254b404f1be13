"""Edits of a persona set: what the outcomes so far would change, each tested, the whole family corrected."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

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
from closedloop.loop.persona import Persona, PersonaSet, estimate
from closedloop.loop.persona_ids import persona_id
from closedloop.loop.promises import GATE
from closedloop.loop.simplifying import simplified
from closedloop.loop.situation import Situation
from closedloop.terms import Moment, Verdict

Floats = NDArray[np.float64]

FEWEST_DEALS = 60  # decided in a period: with fewer the set is left alone
SPLIT = "win_rate"  # the measure of a split
CELL = "edits"
_FEWEST_IN_SPLIT = 40
_VOLATILE = ("campaign", "experiment", "arm", "channel", "product", "first_touch")


def propose(situation: Situation, closed: pd.DataFrame, in_force: PersonaSet) -> tuple[PersonaSet, pd.DataFrame]:
    """The challenger learned from ``closed`` deals, with its permanent edits made; and claims of all edits looked at.

    Claims (``CLAIM_COLUMNS``, family ``edit``): subject the persona; measure ``win_rate`` a split, and those of
    ``simplifying``; supported is permanent, leaning on watch. Only rules are edited: rates are renewed every period.
    """
    edits = _edits(situation, closed, in_force)
    simpler, undone = simplified(situation, closed, in_force)
    rule, personas = simpler.rule, list(simpler.personas)
    splits = edits[(edits["verdict"] == Verdict.SUPPORTED) & (edits["measure"] == SPLIT)]
    splits = splits[splits["subject"].isin(simpler.ids)]
    for edit in splits.sort_values(["q", "subject", "field", "level"]).drop_duplicates("subject").itertuples():
        rule, personas = _split(rule, personas, str(edit.subject), str(edit.field), str(edit.level))
    fields = tuple(dict.fromkeys([*in_force.fields, *rule.fields]))
    recent = situation.in_window(closed, closed["closed_on"])
    changed = replace(in_force, rule=rule, personas=tuple(personas), fields=fields)
    if rule != in_force.rule:
        changed = replace(changed, rule_error=None, guess_error=None, rule_n=None)
    wholes = {*splits["subject"], *undone.loc[undone["verdict"] == Verdict.SUPPORTED, "level"]}
    changed = _with_shares(changed, closed, wholes)
    return estimate(changed, recent, situation.names_of(recent["closed_on"])), pd.concat(
        [edits, undone], ignore_index=True
    )


def _with_shares(changed: PersonaSet, closed: pd.DataFrame, wholes: set[str]) -> PersonaSet:
    """The set with the share of the ``wholes``' deals that have the level they are called by, as far as deals hold it.

    What was cut out of a persona or went back to it may have had that level more often, or less often, than the rest.
    """
    assigned = changed.assign(closed)
    personas = []
    for persona in changed.personas:
        if persona.id in wholes and persona.level and persona.field in closed:
            has_level = level_text(closed.loc[assigned == persona.id, persona.field]).dropna() == persona.level
            persona = replace(persona, share=float(has_level.mean()) if len(has_level) else None)
        personas.append(persona)
    return replace(changed, personas=tuple(personas))


def _split(rule: Rule, personas: list[Persona], parent: str, field: str, level: str) -> tuple[Rule, list[Persona]]:
    condition = Among(field, (level,))
    child = persona_id(f"{field}={level}", [p.id for p in personas], whole=parent)
    branches: list[Branch] = []
    for branch in rule.branches:
        if branch.label == parent:
            branches.append(replace(branch, conditions=_narrowed(branch.conditions, condition), label=child))
        branches.append(branch)
    if rule.default == parent:
        branches.append(Branch((condition,), child, 0, float("nan")))
    refined = Rule(tuple(_without_nan(b) for b in branches), rule.default, tuple(dict.fromkeys([*rule.fields, field])))
    sentences = refined.sentences()
    both = [*personas, Persona(child)]
    return refined, [replace(p, rule=tuple(sentences.get(p.id, p.rule))) for p in both]


def _narrowed(conditions: tuple[Condition, ...], more: Among) -> tuple[Condition, ...]:
    """All conditions with one more, which takes the place of a wider one."""
    return (*(condition for condition in conditions if not implies(more, condition)), more)


def _without_nan(branch: Branch) -> Branch:
    return branch if np.isfinite(branch.share_right) else replace(branch, share_right=0.0)


def _edits(situation: Situation, closed: pd.DataFrame, in_force: PersonaSet) -> pd.DataFrame:
    """The family of all edits that were looked at, closed."""
    assigned = in_force.assign(closed)
    looks = list(_split_looks(situation, closed, assigned))
    return close_family(
        stacked(looks),
        family="edit",
        market=situation.market,
        period=situation.period.name,
        smallest_worth=situation.claims.smallest_worth,
        rate=0.10 / situation.claims.planned_periods,
        watch_rate=0.10,
        expires_on=situation.expires_on,
    )


def _looks(origin: Origin, measure: str, **columns: Any) -> pd.DataFrame:
    """Looks of one subject and field, with the effect as the estimate less the baseline."""
    rows = pd.DataFrame(columns).assign(**meta_of(origin, measure, "rate", "descriptive"))
    return rows.assign(effect=rows["estimate"] - rows["baseline"])


def _split_looks(situation: Situation, closed: pd.DataFrame, assigned: pd.Series) -> Iterator[pd.DataFrame]:
    """Inside each persona, every level of every creation field of the people against the persona's others."""
    strata = situation.names_of(closed["closed_on"])
    origin = Origin("06_refinement", CELL, "deals", *situation.span(closed["closed_on"]))
    for name in split_fields(situation, closed):
        rows = pd.DataFrame({"level": level_text(closed[name]), "stratum": strata, "won": closed["is_won"]}).dropna()
        for persona, part in rows.groupby(assigned[rows.index]):
            yield _split_persona(origin, str(persona), name, part)


def split_fields(situation: Situation, closed: pd.DataFrame) -> list[str]:
    """The fields whose levels are tried as a split: of the people, known at creation, and no numbers."""
    return [f for f in situation.deal_fields(Moment.CREATION) if f not in _VOLATILE and not is_metric(closed[f])]


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


def _split_persona(origin: Origin, persona: str, field: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The levels of one field within one persona; too small ones count as the others."""
    won, decided = crossed_counts(rows["level"], rows["stratum"], rows["won"])
    k, n = won.to_numpy(), decided.to_numpy()
    k_all, n_all = k.sum(axis=0), n.sum(axis=0)
    tried = is_splittable(n.sum(axis=1), n_all.sum())
    k, n, base = k[tried], n[tried], k_all.sum() / n_all.sum()
    shrunk, m = shrunk_splits(k, n, k_all, n_all), int(tried.sum())
    return _looks(
        origin,
        SPLIT,
        subject=persona,
        field=field,
        level=won.index[tried],
        estimate=shrunk.mean[:m],
        low=shrunk.low[:m],
        high=shrunk.high[:m],
        baseline=base,
        n=n.sum(axis=1),
        p=stratified_difference_p(k, n, k_all - k, n_all - n),
        beyond=shrunk.beyond(GATE, base)[:m],
    )
