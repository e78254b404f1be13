"""Hand-made claims and tables of 03 leads, as its verbs leave them."""

import pandas as pd
from closedloop.claims.comparisons import gain_looks
from closedloop.claims.ledger import CLAIM_COLUMNS, Origin, stacked

from tests.documents.ledger import NAN, Draft, claims, figures, judged, rates, totals, whole

RESULTS = {"score_verdict": "usable", "shown_as": "probability", "prospects": "leads"}
TABLES = {
    "next_leads": pd.DataFrame(
        {
            "rank": [1],
            "record_id": ["L1"],
            "persona": ["fast"],
            "score": [0.4],
            "points": [83],
            "reasons": [[["sites", "1", "+14"]]],
            "caution": [[]],
            "account_id": ["A1"],
            "rep_id": ["rep-07"],
            "status": ["sales_accepted"],
            "created_on": pd.to_datetime(["2025-01-02"]),
            "age_days": [89.0],
            "last_touch_on": pd.to_datetime(["2025-03-01"]),
            "slot": ["ranked"],
            "arm_rate": [1.0],
        }
    ),
    "wake_up": pd.DataFrame(
        {
            "rank": [1],
            "record_id": ["L9"],
            "persona": ["fast"],
            "score": [0.2],
            "points": [70],
            "reasons": [[]],
            "caution": [[]],
        }
        | {"age_days": [400.0]}
    ),
}


def suiting() -> pd.DataFrame:
    """A channel whose leads of one persona sales accepts more often, and what channels cost."""
    own = {"notebook": "03_leads", "cell": "persona_channels", "measure": "persona_accepted_rate", "subject": "fast"}
    cost = {"notebook": "03_leads", "cell": "channels", "measure": "cost_per_won_amount", "family": "how they end",
            "unit": "amount", "field": "channel", "level": "search", "needed_n": 60}  # fmt: skip
    cheap = {"estimate": 50, "low": 35, "high": 80, "baseline": 900, "effect": -850, "n": 80}
    dear = {"level": "fair", "estimate": 900, "low": 195, "high": 4800, "baseline": 50, "effect": 850, "n": 20}
    few = {"estimate": 80, "low": 50, "high": 150, "baseline": 90, "effect": -10, "n": 40, "verdict": "refused"}
    return claims(
        own | {"claim_id": "suits-fast", "family": "how they end", "field": "channel", "level": "search"},
        cost | cheap | {"claim_id": "cost-search"},
        cost | dear | {"claim_id": "cost-fair"},
        cost | few | {"claim_id": "cost-fast", "cell": "persona_channels", "subject": "fast"},
    )


def _experiment(draft: Draft, at: Origin) -> None:
    """Two arms drawn in one channel."""
    arms = rates("arm", short=(0.6, 0.5, 0.7, 100), long=(0.4, 0.3, 0.5, 90))
    draft.estimate(arms, at, "arm_accepted_rate", subject="opening")
    accepted = [{"field": "arm", "level": arm, "estimate": k, "n": n} for arm, k, n in
                (("short", 60, 100), ("long", 36, 90))]  # fmt: skip
    draft.count(accepted, at, "n_arm_accepted", subject="opening")
    gap = {"field": "arm", "level": "short", "against": "long", **figures(0.2, 0.08, 0.31, 190)}
    draft.estimate([gap], at, "arm_accepted_rate_difference", unit="points", subject="opening", kind="causal")
    draft.count(totals("channel", 190, search=190), at, "n_drawn_leads", subject="opening")
    draft.count(totals("arm", 190, short=100, long=90), at, "n_arm_leads", subject="opening")


def won_by(arm: str = "short", against: str = "long", effect: float = 0.2) -> pd.DataFrame:
    """An experiment in which a difference holds."""
    named = {"measure": "accepted_rate", "subject": "opening", "field": "arm", "level": arm, "against": against}
    figures = {"estimate": 0.6, "low": 0.5, "high": 0.7, "baseline": 0.6 - effect, "effect": effect, "n": 90}
    at = {"notebook": "03_leads", "cell": "experiments", "family": "how they end", "kind": "causal"}
    return claims({"claim_id": "arm-1", **named, **figures, **at})


def _planned_tests(draft: Draft, at: Origin) -> None:
    """One line that can be drawn, and one that only time settles."""
    drawn, waits = {"field": "channel", "level": "search", "n": 80}, {"field": "sites", "level": "1", "n": 60}
    draft.estimate([drawn | {"estimate": 0.68, "baseline": 0.6}], at, "sought_accepted_rate")
    for measure, figure in {"test_arm_leads": 440, "test_weeks": 26}.items():
        draft.count([drawn | {"estimate": figure}], at, measure)
    draft.count([drawn | {"estimate": 0.11}], at, "test_harm_difference", unit="rate")
    draft.estimate([waits | {"estimate": 0.4, "baseline": 0.33}], at, "sought_win_rate")
    for measure, figure in {"wait_records": 300, "wait_weeks": 52}.items():
        draft.count([waits | {"estimate": figure}], at, measure)


def _leads() -> Draft:
    draft = Draft()
    at = {name: Origin("03_leads", name, "leads", "2024-q1", "2024-q4") for name in
          ("funnel", "channels", "persona_channels", "experiments", "tests", "quality", "calibration",
           "next_leads", "wake_up")}  # fmt: skip
    draft.count(totals("status", 100, inquiry=100, handed_off=50, won=5), at["funnel"], "n_reached")
    reached = rates("status", handed_off=(0.5, 0.4, 0.6, 100), won=(0.1, 0.05, 0.2, 50))
    draft.estimate(reached, at["funnel"], "conversion_rate")
    draft.count(totals("channel", 80, search=80, fair=20), at["channels"], "n_leads")
    draft.count(totals("channel", 80, search=1000, fair=900), at["channels"], "spent_amount", unit="amount")
    draft.count(totals("channel", 80, search=20, fair=1), at["channels"], "n_won")
    draft.count([{"estimate": 90, "n": 100}], at["channels"], "days_to_win", unit="days")
    for measure, of in {"n_leads": 40, "n_won": 5}.items():
        draft.count(totals("channel", 40, search=of), at["persona_channels"], measure, subject="fast")
    _planned_tests(draft, at["tests"])
    _experiment(draft, at["experiments"])
    for measure, of in {"brier": (0.2, NAN, NAN, 90), "auc_within": (0.61, 0.52, 0.7, 90)}.items():
        draft.estimate(rates("model", logistic=of), at["quality"], measure, unit="ratio")
    open_ones = rates("order", score=(0.61, NAN, NAN, 164), stage=(0.72, NAN, NAN, 164))
    draft.estimate(open_ones, at["quality"], "auc_open", unit="ratio")
    gain = gain_looks(whole(-0.11, -0.19, -0.02, 164), at["quality"], measure="gain_over_stage")
    chance = pd.DataFrame(rates("model", logistic=(0.61, 0.52, 0.7, 90))).assign(baseline=0.5)
    draft.closed.append(judged(stacked([gain, gain_looks(chance, at["quality"], measure="score_auc")])))
    groups = rates("score_group", **{"1": (0.2, 0.15, 0.3, 40), "2": (0.5, 0.4, 0.6, 40)})
    predicted = pd.DataFrame(groups).assign(baseline=[0.1, 0.5])
    draft.estimate(predicted, at["calibration"], "observed_rate", kind="predictive")
    draft.count([{"estimate": 1, "n": 2}], at["calibration"], "n_groups_inside")
    draft.count([{"estimate": 1, "n": 3}], at["next_leads"], "n_listed")
    draft.count([{"estimate": 0, "n": 1}], at["next_leads"], "n_drawn")
    draft.count([{"estimate": 89, "n": 1}], at["next_leads"], "median_age_days", unit="days")
    draft.count([{"estimate": 12}], at["next_leads"], "n_to_hand_off")
    draft.count([{"estimate": 1}], at["wake_up"], "n_wake_up")
    draft.count([{"estimate": 365}], at["wake_up"], "oldest_days", unit="days")
    return draft


CLAIMS = stacked([_leads().claims(), suiting(), won_by()], CLAIM_COLUMNS)
