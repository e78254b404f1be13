"""Deals of a simulated market: product, amount, outcome by the planted truth, history of stages."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .draws import Draws, Floats, Texts
from .truth import Truth, day_number, lookup, points

STAGES = ("discovery", "evaluation", "proposal", "negotiation")


def draw_deals(truth: Truth, leads: pd.DataFrame) -> pd.DataFrame:
    """Return one row per sales-qualified lead, with hidden columns `win_rate`, `final_amount` and `ends_day`.

    `ends_day` is the day of the decision even when it lies after the data: the outcome is then "open".
    """
    draws = Draws(truth["seed"], "deals")
    deals = _opened(truth, leads, draws)
    deals = _decided(truth, deals, draws)
    return _reasons(truth, deals, draws)


def win_rate(truth: Truth, deals: pd.DataFrame) -> Floats:
    """Return the planted chance of winning of each decided deal: base plus all points that hold for it."""
    win, drift = truth["win"], truth["drift"]
    fields = {effect["field"]: deals[effect["field"]].to_numpy(dtype=object) for effect in truth["effects"]}
    segment = deals["segment"].to_numpy(dtype=object)
    rate = win["base_rate"] + points(truth["effects"], fields)
    rate += lookup(truth["segments"], "win_points", segment)
    rate += lookup(truth["sites"], "win_points", deals["site_type"].to_numpy(dtype=object))
    moved = np.array([drift["points"].get(name, 0.0) for name in segment])
    rate += np.where(deals["ends_day"] >= day_number(drift["from"]), moved, 0.0)
    return np.asarray(np.clip(rate, win["lowest_rate"], win["highest_rate"]))


def draw_changes(truth: Truth, deals: pd.DataFrame) -> pd.DataFrame:
    """Return one row per recorded change of a deal; the competitor is "Select" until it is known."""
    draws = Draws(truth["seed"], "changes")
    changes = pd.concat([_stage_entries(deals, draws), _revisions(truth, deals, draws)])
    changes = changes.sort_values(["deal_id", "day", "place"], kind="stable").reset_index(drop=True)
    changes = changes[changes["day"] <= day_number(truth["window"]["extracted_on"])].reset_index(drop=True)
    changes = changes.assign(change_no=changes.groupby("deal_id").cumcount() + 1)
    return _forecasts(truth, changes, deals, draws)


def _opened(truth: Truth, leads: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    deals = leads[leads["sales_qualified_day"].notna()].sort_values(["sales_qualified_day", "lead_id"])
    deals = deals.reset_index(drop=True)
    n = len(deals)
    shares = {site: entry["products"] for site, entry in truth["sites"].items()}
    product = draws.pick_by(shares, deals["site_type"].to_numpy(dtype=object))
    days = deals["first_touch_day"] - deals["handed_off_day"]
    return deals.assign(
        deal_id=[f"D{number:04d}" for number in range(1, n + 1)],
        opened_day=deals["sales_qualified_day"],
        product=product,
        first_touch=np.where(days <= 1, "within a day", "later"),
        final_amount=_amounts(truth, deals["segment"].to_numpy(dtype=object), product, draws),
    )


def _amounts(truth: Truth, segment: Texts, product: Texts, draws: Draws) -> Floats:
    middle = lookup(truth["products"], "median_amount", product)
    middle = middle * lookup(truth["segments"], "amount_factor", segment)
    spread = np.exp(truth["deals"]["amount_spread"] * draws.normal(len(product)))
    return np.asarray(np.round(middle * spread / 50) * 50, dtype=np.float64)


def _decided(truth: Truth, deals: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    settings, n = truth["deals"], len(deals)
    stalls = draws.yes(settings["no_decision_rate"], n)
    middle = lookup(truth["products"], "cycle_median_days", deals["product"].to_numpy(dtype=object))
    cycle = middle * np.exp(settings["cycle_spread"] * draws.normal(n))
    cycle = cycle * np.where(stalls, settings["no_decision_cycle_factor"], 1.0)
    deals = deals.assign(ends_day=deals["opened_day"] + np.maximum(np.floor(cycle), 7))
    deals = deals.assign(win_rate=win_rate(truth, deals))
    won = draws.yes(deals["win_rate"].to_numpy(), n) & ~stalls
    outcome = np.where(won, "won", np.where(stalls, "no_decision", "lost"))
    is_open = deals["ends_day"] > day_number(truth["window"]["extracted_on"])
    reached = np.where(won, STAGES[-1], draws.pick(settings["stage_reached"], n))
    return deals.assign(
        fate=outcome,
        outcome=np.where(is_open, "open", outcome),
        reached=reached,
        rival=draws.pick(settings["competitor"], n),
    )


def _reasons(truth: Truth, deals: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    settings, n = truth["deals"], len(deals)
    lost, stalled = draws.pick(settings["loss_reason"], n), draws.pick(settings["no_decision_reason"], n)
    first = STAGES.index(settings["competitor_known_from"])
    met = deals["reached"].map(STAGES.index).ge(first) & deals["rival"].ne("none")
    # A rep cannot lose to a rival that nobody has seen.
    lost = np.where((lost == "competitor") & ~met, "price", lost)
    reason = np.where(deals["outcome"] == "lost", lost, np.where(deals["outcome"] == "no_decision", stalled, ""))
    return deals.assign(loss_reason=reason)


def _stage_entries(deals: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    n_stages = deals["reached"].map(STAGES.index).to_numpy() + 1
    cycle = (deals["ends_day"] - deals["opened_day"]).to_numpy()
    moves = []
    latest = deals["opened_day"].to_numpy()
    for place, stage in enumerate(STAGES):
        part = place / n_stages * (0.7 + 0.3 * draws.uniform(len(deals)))
        latest = np.maximum(latest, deals["opened_day"].to_numpy() + np.floor(cycle * part))
        moves.append(
            pd.DataFrame({"deal_id": deals["deal_id"], "day": latest, "stage": stage, "place": place})[n_stages > place]
        )
    return pd.concat(moves)


def _revisions(truth: Truth, deals: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    revised = draws.yes(truth["deals"]["revised_rate"], len(deals))
    part = 0.85 + 0.15 * draws.uniform(len(deals))
    last = deals["reached"].map(STAGES.index)
    n_stages = last + 1
    # The last stage begins at (n - 1) / n of the way at the latest: a revision comes after it.
    part = np.maximum(part, (n_stages - 1) / n_stages)
    day = deals["opened_day"] + np.floor((deals["ends_day"] - deals["opened_day"]) * part)
    rows = pd.DataFrame({"deal_id": deals["deal_id"], "day": day, "stage": deals["reached"], "place": last + 0.5})
    return rows[revised]


def _forecasts(truth: Truth, changes: pd.DataFrame, deals: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    known: Mapping[Any, Any] = deals.set_index("deal_id").to_dict("index")
    facts = pd.DataFrame([known[deal] for deal in changes["deal_id"]])
    n = len(changes)
    part = ((changes["day"] - facts["opened_day"]) / (facts["ends_day"] - facts["opened_day"])).clip(0, 1)
    amount = facts["final_amount"] * np.exp((0.10 + 0.25 * draws.normal(n)) * (1 - part))
    middle = lookup(truth["products"], "cycle_median_days", facts["product"].to_numpy(dtype=object))
    still = np.maximum((facts["ends_day"] - changes["day"]) * (0.6 + 0.8 * draws.uniform(n)), 3)
    close = np.where(changes["change_no"] == 1, facts["opened_day"] + middle, changes["day"] + np.floor(still))
    first = STAGES.index(truth["deals"]["competitor_known_from"])
    known_rival = changes["stage"].map(STAGES.index).ge(first)
    return changes.assign(
        amount=np.round(amount / 100) * 100,
        close_day=close,
        competitor=facts["rival"].where(known_rival, "Select"),
        rep_id=facts["rep_id"],
    )
