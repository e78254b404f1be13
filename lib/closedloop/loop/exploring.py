"""01 Research, before any cut: what is answered how often, what is missing, and what goes together."""

import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.exploration import associations, components
from closedloop.evidence.gains import gain_looks
from closedloop.evidence.profiles import field_and_level
from closedloop.loop.counting import rates
from closedloop.loop.records import Sample
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft

_MOST_PAIRS = 5
_YES = ("true", "1")


def explore(draft: Draft, situation: Situation, sample: Sample, origin: Origin) -> None:
    """State missing answers, the strongest pairs of answers, and how many dimensions stand out from shuffled rows.

    The shares of the answers in the whole market are stated with the profile (``research``).
    """
    items = sample.rows[sample.items]
    missing = [(name, items[name].isna().sum(), len(items)) for name in sample.items]
    stated = [row | {"field": row["level"], "level": ""} for row in rates(missing, "")]
    draft.estimate(stated, origin, "missing_share")
    pairs = associations(items).head(_MOST_PAIRS)
    first, second = ([answer(str(name), items) for name in pairs[of]] for of in ("first", "second"))
    named = pairs.assign(
        field=[field for field, _ in first],
        level=[level for _, level in first],
        within=[field if level in ("", "yes") else f"{field}={level}" for field, level in second],
    )
    draft.looks.append(gain_looks(named, origin, measure="association").assign(within=named["within"]))
    _components(draft, situation, items, origin)


def answer(column: str, rows: pd.DataFrame) -> tuple[str, str]:
    """``field_and_level`` of a column of a profile, where what is true is a yes."""
    field, level = field_and_level(column, rows)
    return field, "yes" if level in _YES else level


def _components(draft: Draft, situation: Situation, items: pd.DataFrame, origin: Origin) -> None:
    found = components(items, situation.rng("explore"))
    stands_out = (found["share"] > found["shuffled"]).astype(bool)
    n = int(stands_out.cumprod().sum()) if len(found) else 0
    rows = pd.DataFrame({"estimate": found["share"], "baseline": found["shuffled"], "field": "component"})
    rows = rows.assign(level=found["component"].astype(str), n=len(items))
    draft.estimate(rows, origin, "component_share")
    draft.count([{"estimate": n, "n": len(items)}], origin, "n_dimensions")
    draft.results["n_dimensions"] = n
