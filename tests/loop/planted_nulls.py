"""What 05 says, in redraws of the bundled market, of fields without any effect, and of the planted five."""

from pathlib import Path

import pandas as pd

PERIODS = ("2024-q4", "2025-q1", "2025-q2", "2025-q3", "2025-q4")
NULL_FIELDS = ("competitor", "rep_id", "rep_team", "region", "role")
EFFECTS = {
    "is_integrated": "yes",
    "channel": "partner",
    "sites": "over 20",
    "product": "plan",
    "first_touch": "within a day",
}


def win_rate_claims(market: str, out: Path, periods: tuple[str, ...] = PERIODS) -> pd.DataFrame:
    """The claims of 05's family on win rates, with the personas of the first research."""
    from closedloop.loop import deals, turn
    from closedloop.loop.in_force import set_in_force
    from closedloop.loop.situation import Situation
    from closedloop.market.periods import find_period
    from closedloop.market.warehouse import open_warehouse

    warehouse = open_warehouse(market)
    in_force = set_in_force(market, warehouse.periods[0].name, out)
    tables = []
    for name in periods:
        situation = Situation.looking_back(warehouse, find_period(warehouse.periods, name, planning=False))
        claims = turn._closed(situation, "outcome", [deals.deals(situation, in_force)])
        tables.append(claims[(claims["measure"] == "win_rate") & (claims["family"] == "outcome")])
    return pd.concat(tables).assign(market=market)
