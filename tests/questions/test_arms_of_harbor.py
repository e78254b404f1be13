"""The drawn arms of the bundled market, against its raw rows."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy
from closedloop.market.files import data_folder
from closedloop.questions.leads.arms import experiments
from closedloop.questions.leads.call_list import CALL_LIST, RANKED
from closedloop.statistics.proportions import wilson


def stated(planned: SimpleNamespace, measure: str) -> pd.DataFrame:
    return planned.arms.claims[planned.arms.claims["measure"] == measure].set_index("level")


def test_drawn_arms_are_stated_with_their_intervals_and_channels(planned: SimpleNamespace) -> None:
    rates, n = stated(planned, "arm_accepted_rate"), stated(planned, "n_arm_accepted")
    assert (rates["estimate"] * rates["n"].astype(float)).to_dict() == pytest.approx(n["estimate"].to_dict())
    assert set(rates.index) == {"save_time", "start_small"}
    assert set(stated(planned, "n_drawn_leads").index) == {"content", "search", "webinar"}


def test_two_drawn_arms_are_compared_with_each_other(planned: SimpleNamespace) -> None:
    raw = pd.read_csv(data_folder() / "harbor" / "raw" / "leads.csv", dtype=str).drop_duplicates("Lead ID")
    raw = raw.dropna(subset=["Test", "Hand-off Date"])
    days = ["SAL Date", "Recycled Date", "Disqualified Date"]
    known = raw[days].apply(pd.to_datetime, errors="coerce") < pd.Timestamp(2025, 4, 1)
    decided, accepted = raw[known.any(axis=1)], known["SAL Date"]
    k, n = (part.groupby(raw["Test Arm"]).sum() for part in (accepted[decided.index], accepted[decided.index] | True))
    causal = planned.arms.compared[planned.arms.compared["kind"] == "causal"]
    assert causal["measure"].tolist() == ["accepted_rate", "qualified_rate", "won_rate", "won_amount_per_lead"]
    look = causal.iloc[0].to_dict()
    assert (look["level"], look["against"], look["subject"]) == ("start_small", "save_time", "opening-message")
    rates = k / n
    assert [look["estimate"], look["baseline"]] == pytest.approx([rates["start_small"], rates["save_time"]])
    gap = stated(planned, "arm_accepted_rate_difference").loc["start_small"]
    assert [gap["estimate"], gap["n"]] == pytest.approx([rates["start_small"] - rates["save_time"], n.sum()])
    low, high = wilson(k, n)  # Newcombe's interval, worked out from Wilson's
    small, time = (list(k.index).index(arm) for arm in ("start_small", "save_time"))
    below = np.hypot(rates["start_small"] - low[small], high[time] - rates["save_time"])
    assert gap["low"] == pytest.approx(gap["estimate"] - below)
    assert 0.05 < gap["low"] < 0.12 < gap["high"] < 0.25, "the truth planted 12 points"
    table = [[k["start_small"], (n - k)["start_small"]], [k["save_time"], (n - k)["save_time"]]]
    assert look["p"] < scipy.stats.fisher_exact(table).pvalue < 0.001


def test_places_on_the_list_to_call_are_no_arms() -> None:
    """Who is ranked onto the list was chosen, not drawn."""
    frame = pd.DataFrame({"experiment": ["opening", CALL_LIST, None], "arm": ["a", RANKED, None], "is_accepted": True})
    assert [(name, len(part)) for name, part in experiments(frame)] == [("opening", 1)]
