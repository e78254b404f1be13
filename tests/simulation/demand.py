"""Leads from seven channels, their way to the hand-off and beyond, and what the channels cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .draws import Draws, Flags, Floats, Texts
from .truth import Truth, day_number, lookup, points

MILESTONES = (
    "qualified_day",
    "handed_off_day",
    "first_touch_day",
    "accepted_day",
    "sales_qualified_day",
    "recycled_day",
    "disqualified_day",
)


def draw_leads(truth: Truth, accounts: pd.DataFrame) -> pd.DataFrame:
    """Return one row per lead: its origin, its owner, and the day of each milestone (NaN: not reached).

    What would happen after the last day of the data has not happened.
    """
    leads = _milestones(truth, _origins(truth, accounts))
    happened = leads[[*MILESTONES]].le(day_number(truth["window"]["extracted_on"]))
    leads[[*MILESTONES]] = leads[[*MILESTONES]].where(happened)
    ended = leads["recycled_day"].notna() | leads["disqualified_day"].notna()
    return leads.assign(
        rejection_reason=leads["rejection_reason"].where(ended, ""),
        rep_id=leads["rep_id"].where(leads["handed_off_day"].notna(), ""),
    )


def draw_spend(truth: Truth, leads: pd.DataFrame) -> pd.DataFrame:
    """Return the money spent per month and campaign: cost per lead times leads, with a little noise."""
    draws = Draws(truth["seed"], "spend")
    month = pd.to_datetime(leads["created_day"], unit="D").dt.strftime("%Y-%m")
    counts = leads.assign(month=month).groupby(["month", "channel", "campaign"], sort=True).size()
    spend = counts.rename("n_leads").reset_index()
    cost = lookup(truth["channels"], "cost_amount", spend["channel"].to_numpy(dtype=object))
    return spend.assign(spent=cost * spend["n_leads"] * np.exp(0.06 * draws.normal(len(spend))))


def _origins(truth: Truth, accounts: pd.DataFrame) -> pd.DataFrame:
    window, draws = truth["window"], Draws(truth["seed"], "leads")
    n = window["n_leads"]
    channels: Mapping[str, Any] = truth["channels"]
    channel = draws.pick({name: channels[name]["share"] for name in channels}, n)
    owner = _owners(draws, accounts, n)
    leads = owner[["account_id", "segment", "site_type", "sites", "is_integrated"]].assign(
        lead_id=[f"L{number:04d}" for number in range(1, n + 1)],
        created_day=_lead_days(truth, draws),
        is_account_known=~draws.yes(window["account_unknown_rate"], n),
        channel=channel,
        campaign=_campaigns(channels, channel, draws),
        role=draws.pick(truth["survey"]["role"], n),
        rep_id=draws.pick({rep: entry["weight"] for rep, entry in truth["reps"].items()}, n),
    )
    return leads.assign(arm=_arms(truth["experiment"], leads, draws))


def _owners(draws: Draws, accounts: pd.DataFrame, n: int) -> pd.DataFrame:
    pull = accounts["pull"].to_numpy(dtype=np.float64)
    places = np.searchsorted(np.cumsum(pull) / pull.sum(), draws.uniform(n), side="right")
    chosen: pd.DataFrame = accounts.iloc[places]
    return chosen.reset_index(drop=True)


def _lead_days(truth: Truth, draws: Draws) -> Floats:
    window = truth["window"]
    days = pd.date_range(window["first_lead_on"], window["extracted_on"], freq="D")
    month = days.strftime("%m").map(lambda name: window["month_weights"].get(name, 1.0)).to_numpy(dtype=float)
    weight = month * np.where(days.day_of_week >= 5, window["weekend_weight"], 1.0)
    places = np.searchsorted(np.cumsum(weight) / weight.sum(), draws.uniform(window["n_leads"]), side="right")
    return np.sort(day_number(window["first_lead_on"]) + places)


def _campaigns(channels: Mapping[str, Any], channel: Texts, draws: Draws) -> Texts:
    names = [name for entry in channels.values() for name in entry["campaigns"]]
    table = {key: {name: entry["campaigns"].get(name, 0.0) for name in names} for key, entry in channels.items()}
    return draws.pick_by(table, channel)


def _arms(experiment: Mapping[str, Any], leads: pd.DataFrame, draws: Draws) -> Texts:
    inside = leads["created_day"].between(day_number(experiment["from"]), day_number(experiment["until"]))
    inside &= leads["channel"].isin(experiment["channels"])
    return np.where(inside, draws.pick(experiment["arms"], len(leads)), "")


def _accepted_rate(truth: Truth, leads: pd.DataFrame) -> Floats:
    fields = {name: leads[name].to_numpy(dtype=object) for name in ("channel", "role", "sites", "arm")}
    experiment = truth["experiment"]
    message = {"field": "arm", "level": experiment["better_arm"], "points": experiment["points"]}
    base = lookup(truth["channels"], "accepted_rate", fields["channel"])
    return base + points([*truth["leads"]["effects"], message], fields)


def _milestones(truth: Truth, leads: pd.DataFrame) -> pd.DataFrame:
    settings, draws, n = truth["leads"], Draws(truth["seed"], "milestones"), len(leads)
    rate = lookup(truth["channels"], "qualified_rate", leads["channel"].to_numpy(dtype=object))
    qualified = _day(draws.yes(rate, n), leads["created_day"] + draws.waiting(6, n))
    handed = _day(draws.yes(settings["handed_off_rate"], n), qualified + draws.whole(0, 3, n))
    answered = handed + draws.whole(0, 2, n) + draws.waiting(1, n)
    is_accepted = draws.yes(_accepted_rate(truth, leads), n)
    leads = leads.assign(qualified_day=qualified, handed_off_day=handed, answered_day=answered)
    return _after_hand_off(settings, _rejected(settings, leads, is_accepted, draws), draws)


def _day(happens: Flags, day: "pd.Series[float] | Floats") -> Floats:
    return np.where(happens, day, np.nan)


def _rejected(settings: Truth, leads: pd.DataFrame, is_accepted: Flags, draws: Draws) -> pd.DataFrame:
    n = len(leads)
    goes_back = draws.yes(settings["rejected_to_recycled_rate"], n)
    again = draws.yes(settings["second_chance_rate"], n) & goes_back & ~is_accepted
    answered = leads["answered_day"].to_numpy()
    accepted = _day(is_accepted, answered)
    second = answered + 60 + draws.waiting(30, n)
    return leads.assign(
        is_second_chance=again,
        accepted_day=np.where(again, second, accepted),
        recycled_day=_day(~is_accepted & goes_back, answered),
        disqualified_day=_day(~is_accepted & ~goes_back, answered),
        rejection_reason=np.where(is_accepted, "", draws.pick(settings["rejection_reason"], n)),
    )


def _after_hand_off(settings: Truth, leads: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    n = len(leads)
    accepted = leads["accepted_day"].to_numpy()
    rate = np.where(np.isnan(accepted), settings["rejected_touched_rate"], 1 - settings["never_touched_rate"])
    lag = np.where(draws.yes(settings["within_a_day_rate"], n), draws.whole(0, 1, n), 2 + draws.waiting(3, n))
    first_touch = _day(draws.yes(rate, n), leads["handed_off_day"] + lag)
    ready = np.maximum(accepted, first_touch) + 3 + draws.waiting(11, n)
    qualified = _day(draws.yes(settings["sales_qualified_rate"], n), ready)
    dropped = np.isnan(qualified) & ~np.isnan(accepted) & ~leads["is_second_chance"].to_numpy()
    late = _day(dropped & draws.yes(0.5, n), accepted + 45 + draws.waiting(20, n))
    return leads.assign(
        first_touch_day=first_touch,
        sales_qualified_day=qualified,
        recycled_day=leads["recycled_day"].fillna(pd.Series(late)),
    )
