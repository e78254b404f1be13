"""What 05 says, in the bundled market and in redraws of it, of fields without any effect, and of the planted five."""

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse
from closedloop.period.situation import Situation
from closedloop.workbench.answer import ENDING
from closedloop.workbench.cells import set_in_force

from tests.notebook_steps import now_of
from tests.redraws import over_redraws

LATE = ("2024-q4", "2025-q1", "2025-q2", "2025-q3", "2025-q4")
NULL_FIELDS = ("competitor", "rep_id", "rep_team", "region", "role")
EFFECTS = {  # as truth.toml plants them; Harbor Plan is sold where deals are hard to win, so all in all it is won less
    ("is_integrated", "yes"): 1,
    ("channel", "partner"): 1,
    ("sites", "over 20"): 1,
    ("product", "plan"): -1,
    ("first_touch", "within a day"): 1,
}


def late_claims(market: str, out: Path) -> pd.DataFrame:
    """The claims on win rates that 05 makes of the last five periods; of two of them in a small run."""
    return win_rate_claims(market, out, LATE if os.environ.get("CLOSEDLOOP_FULL") else LATE[1::3])


def win_rate_claims(market: str, out: Path, periods: tuple[str, ...]) -> pd.DataFrame:
    """The claims of 05's family on win rates, with the personas of the first research."""
    warehouse = open_warehouse(market)
    in_force = set_in_force(market, warehouse.periods[0].name, out)
    tables = []
    for name in periods:
        situation = Situation.looking_back(warehouse, find_period(warehouse.periods, name, planning=False))
        claims = now_of("05_deals", situation, in_force, out).claims
        tables.append(claims[(claims["measure"] == "win_rate") & (claims["family"] == ENDING)])
    return pd.concat(tables, ignore_index=True)


def false_ones(claims: pd.DataFrame) -> pd.DataFrame:
    return claims[(claims["verdict"] == "supported") & claims["field"].isin(NULL_FIELDS)]


def test_nothing_without_an_effect_is_found_twice_in_the_bundled_market(tmp_path: Path) -> None:
    periods = tuple(period.name for period in open_warehouse("harbor").periods[:8])
    found = win_rate_claims("harbor", tmp_path, periods)
    assert set(NULL_FIELDS) - {"rep_id"} <= set(found["field"]) and found["period"].nunique() == 8
    assert false_ones(found).groupby(["field", "level"]).size().max() <= 1 if len(false_ones(found)) else True


def test_of_all_findings_few_are_false_and_the_planted_effects_are_found(
    tmp_path: Path, validity: Callable[..., None]
) -> None:
    n_redraws = 40 if os.environ.get("CLOSEDLOOP_FULL") else 2
    tables = over_redraws(tmp_path, range(1, n_redraws + 1), late_claims)
    every = pd.concat(tables, ignore_index=True)
    held, false = every[every["verdict"] == "supported"], false_ones(every)
    families = every.groupby(["market", "period"]).size().index
    validity("false-findings", held.index.isin(false.index))
    validity("false-families", families.isin(pd.MultiIndex.from_frame(false[["market", "period"]])))
    asked = [every[(every["field"] == field) & (every["level"] == level)] for field, level in EFFECTS]
    found = [
        ((part["verdict"] == "supported") & (part["effect"] * sign > 0)).reindex(range(len(families)), fill_value=False)
        for part, sign in zip((part.reset_index() for part in asked), EFFECTS.values(), strict=True)
    ]
    validity("planted-power", pd.concat(found))
    for part, sign in zip(asked, EFFECTS.values(), strict=True):
        assert (part.loc[part["verdict"] == "supported", "effect"] * sign > 0).all()
