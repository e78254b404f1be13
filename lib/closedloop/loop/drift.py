"""Does the market drift? Who came, and how it ended, in the period against the periods before."""

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.drift import Drift, drift
from closedloop.evidence.indicators import is_metric, level_text
from closedloop.evidence.looks import LOOK_COLUMNS, meta_of, typed
from closedloop.evidence.rates import wilson
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import decided
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft

MOST_EARLIER = 8  # periods before this one that it is compared with: what is older says little of today
OUTCOME, MIX = "drift", "drift mix"  # families: how they end, and who they are
RATE, SHARE = "drift_win_rate", "drift_share"
SHARE_THRESHOLD = 0.05


def review_drift(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    """Looks at each persona's win rate and share of decided deals against those of up to eight earlier periods."""
    deals, names = by_period(situation, in_force)
    if names[-1:] != [situation.period.name] or len(names) < 2:
        draft.missing["drift"] = "There is no earlier period to compare with."
        return
    found = compared(deals, names, in_force.ids, situation.claims.practical_threshold)
    draft.results |= {"n_earlier_periods": len(names) - 1, "period_deviation": found[RATE][1].deviation}
    origin = Origin("06_refinement", "drift", "deals", situation.period.name, situation.period.name)
    before = names[0] if len(names) == 2 else f"{names[0]} to {names[-2]}"
    draft.looks += [_looks(*found[measure], origin, measure, before) for measure in (RATE, SHARE)]
    _unseen(draft, deals, situation, in_force, origin)


def by_period(situation: Situation, in_force: PersonaSet) -> tuple[pd.DataFrame, list[str]]:
    """Decided deals with persona and period, and the periods' names in order: up to eight and this one."""
    deals = decided(situation)
    deals = deals[deals["closed_on"] < pd.Timestamp(situation.period.end)]
    deals = deals.assign(persona=in_force.assign(deals), period=situation.names_of(deals["closed_on"]))
    names = list(dict.fromkeys(deals["period"]))[-MOST_EARLIER - 1 :]  # decided deals come by the day they closed
    return deals[deals["period"].isin(names)], names


def compared(
    deals: pd.DataFrame, names: list[str], personas: list[str], threshold: float
) -> dict[str, tuple[pd.DataFrame, Drift]]:
    """Rates and shares by persona in each of the periods ``names``, the last of which is now, and how they moved.

    ``deals``: is_won, persona, period. Groups with fewer than ten cases now or before are left out; of one persona the
    share is not looked at.
    """
    won, n = (
        deals.pivot_table(values="is_won", index="persona", columns="period", aggfunc=of, fill_value=0)
        .reindex(index=personas, columns=names, fill_value=0)
        .to_numpy(dtype=float)
        for of in ("sum", "size")
    )
    enough = (n[:, -1] >= LEAST_SHOWN) & (n[:, :-1].sum(axis=1) >= LEAST_SHOWN)
    shown = enough & (len(personas) > 1)
    everyone = np.broadcast_to(n.sum(axis=0), n.shape)
    groups = pd.DataFrame({"subject": personas, "n": n[:, -1]})
    return {
        RATE: (groups[enough], drift(won[enough], n[enough], threshold=threshold)),
        SHARE: (groups[shown], drift(n[shown], everyone[shown], threshold=SHARE_THRESHOLD)),
    }


def _looks(groups: pd.DataFrame, found: Drift, origin: Origin, measure: str, before: str) -> pd.DataFrame:
    figures = {
        "estimate": found.now,
        "low": found.low,
        "high": found.high,
        "baseline": found.before,
        "effect": found.now - found.before,
        "n_effective": found.sizes,
        "p": found.p,
        "beyond": found.beyond,
    }
    meta = meta_of(origin, measure, "rate", "descriptive") | {"field": "", "level": "", "against": before}
    return typed(groups.assign(**figures, **meta), LOOK_COLUMNS)


def _unseen(draft: Draft, deals: pd.DataFrame, situation: Situation, in_force: PersonaSet, origin: Origin) -> None:
    """How many of the period's deals have a value, in a field of the rule, that was never seen before."""
    now = deals["period"] == situation.period.name
    strange = pd.Series(False, index=deals.index[now])
    for name in [f for f in in_force.rule.fields if f in deals and not is_metric(deals[f])]:
        text = level_text(deals[name])
        strange |= text[now].notna() & ~text[now].isin(set(text[~now].dropna()))
    low, high = wilson(strange.sum(), len(strange))
    row = {"estimate": strange.mean(), "low": float(low), "high": float(high), "n": len(strange)}
    draft.estimate([row], origin, "unseen_share")
