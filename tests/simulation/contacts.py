"""Touches of a simulated market: marketing before the hand-off, sales after it."""

import numpy as np
import pandas as pd

from .draws import Draws, Flags, Floats, Texts
from .truth import Truth, day_number

# Who a job function usually is in a purchase.
ROLE_IN_PURCHASE = {
    "operations": "champion",
    "it": "technical_evaluator",
    "finance": "economic_buyer",
    "management": "economic_buyer",
}
_USABLE = ("asset", "offer", "proof")


def draw_touches(truth: Truth, leads: pd.DataFrame, deals: pd.DataFrame, materials: pd.DataFrame) -> pd.DataFrame:
    """Return one row per touch by day; a touch of a deal carries the deal's id, the others the lead's."""
    parts = [_marketing(truth, leads), _sales(truth, leads), _of_deals(truth, deals)]
    touches = pd.concat(parts).sort_values(["day", "from_team", "lead_id", "deal_id"], kind="stable")
    touches = touches[touches["day"] <= day_number(truth["window"]["extracted_on"])].reset_index(drop=True)
    return touches.assign(material_id=_materials(truth, touches, materials))


def _repeated(frame: pd.DataFrame, count: Texts) -> pd.DataFrame:
    return frame.loc[frame.index.repeat(count.astype(int))].reset_index(drop=True)


def _marketing(truth: Truth, leads: pd.DataFrame) -> pd.DataFrame:
    draws = Draws(truth["seed"], "marketing touches")
    rows = _repeated(leads, draws.pick(truth["touches"]["marketing_count"], len(leads)))
    until = rows["handed_off_day"].fillna(rows["created_day"] + 20)
    inbound = draws.yes(0.6, len(rows)) & rows["channel"].ne("outbound").to_numpy()
    return pd.DataFrame(
        {
            "day": _between(rows["created_day"], until, draws),
            "lead_id": rows["lead_id"],
            "deal_id": "",
            "from_team": "marketing",
            "direction": np.where(inbound, "inbound", "outbound"),
            # The export leaves out what the lead already says: its channel.
            "channel": "",
            "buying_role": "",
        }
    )


def _sales(truth: Truth, leads: pd.DataFrame) -> pd.DataFrame:
    draws = Draws(truth["seed"], "sales touches")
    touched = leads[leads["first_touch_day"].notna()].reset_index(drop=True)
    more = _repeated(touched, draws.pick(truth["touches"]["sales_count"], len(touched)))
    # A second touch never comes before the first, and none comes after the deal has begun.
    until = more["sales_qualified_day"].fillna(more["first_touch_day"] + 20)
    days = np.concatenate([touched["first_touch_day"], _between(more["first_touch_day"], until, draws)])
    rows = pd.concat([touched, more]).reset_index(drop=True)
    outbound = draws.yes(0.85, len(rows))
    return _sales_rows(truth, rows.assign(deal_id=""), days, outbound, draws).assign(
        lead_id=rows["lead_id"], buying_role=rows["role"].map(ROLE_IN_PURCHASE)
    )


def _of_deals(truth: Truth, deals: pd.DataFrame) -> pd.DataFrame:
    draws = Draws(truth["seed"], "deal touches")
    rows = _repeated(deals, draws.pick(truth["touches"]["deal_count"], len(deals)))
    days = _between(rows["opened_day"], rows["ends_day"], draws)
    touches = _sales_rows(truth, rows, days, draws.yes(0.7, len(rows)), draws)
    return touches.assign(lead_id="", buying_role=draws.pick(truth["touches"]["buying_role"], len(rows)))


def _sales_rows(truth: Truth, rows: pd.DataFrame, days: Floats, outbound: Flags, draws: Draws) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day": days,
            "deal_id": rows["deal_id"],
            "from_team": "sales",
            "direction": np.where(outbound, "outbound", "inbound"),
            "channel": draws.pick(truth["touches"]["channel"], len(rows)),
        }
    )


def _between(first: "pd.Series[float]", last: "pd.Series[float]", draws: Draws) -> Floats:
    return np.asarray(np.floor(first + draws.uniform(len(first)) * (last - first)), dtype=np.float64)


def _materials(truth: Truth, touches: pd.DataFrame, materials: pd.DataFrame) -> Texts:
    draws, n = Draws(truth["seed"], "materials in touches"), len(touches)
    usable = materials[materials["kind"].isin(_USABLE)].reset_index(drop=True)
    chosen = usable.iloc[draws.whole(0, len(usable) - 1, n).astype(int)].reset_index(drop=True)
    day = touches["day"].to_numpy()
    retired = chosen["retired_day"].fillna(np.inf).to_numpy()
    exists = (chosen["added_day"].to_numpy() < day) & (day < retired)
    used = draws.yes(truth["touches"]["material_rate"], n) & (touches["from_team"] == "sales").to_numpy()
    return np.where(used & exists, chosen["material_id"], "")
