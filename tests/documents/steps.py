"""Small hand-made tables of every step, as the loop writes them."""

import pandas as pd

NAN = float("nan")


def shares(**columns: object) -> pd.DataFrame:
    """A table of shares with intervals."""
    return pd.DataFrame({"share": [0.6, 0.4], "low": [0.5, 0.3], "high": [0.7, 0.5], "n": [60, 40], **columns})


TABLES = {
    "research": {
        "sample": pd.DataFrame([["respondents", 900, 12, 720]], columns=["source", "n", "n_items", "n_needed"]),
        "criteria": pd.DataFrame({"k": [2, 3], "ari_median": [0.9, 0.8], "ari_null_median": [0.1, 0.1]}),
        "slsw": pd.DataFrame(
            {"k": [2, 2, 3], "segment": ["0", "1", "0"], "slsw": [0.9, 0.8, 0.2], "size": [60, 40, 9]}
        ),
        "profile": pd.DataFrame(
            {
                "segment": ["0", "1"] * 2,
                "item": ["wants_price"] * 2 + ["product=plan"] * 2,
                "share": [0.9, 0.1, 0.5, 0.45],
                "market_share": 0.5,
                "n": [60, 40] * 2,
            }
        ),
        "segments": shares(segment=["0", "1"], n_accounts=[120.0, 80.0]),
    },
    "personas": {
        "personas": shares(persona=["fast", "slow"], name=["Fast start", "Slow"], is_assumed=[False, True]),
        "rules": pd.DataFrame({"persona": ["fast"], "sentence": ["sites is 1"]}),
        "nearest": pd.DataFrame(
            {
                "persona": ["fast"],
                "nearest": ["slow"],
                "distance": [0.2],
                "field": ["wants_price"],
                "level": ["yes"],
                "share": [0.8],
                "nearest_share": [0.1],
            }
        ),
        "prevalence": pd.DataFrame(
            {"persona": ["fast"], "n_traits": [3], "n": [60], "n_all": [9], "n_all_but_one": [30]}
        ),
        "changes": pd.DataFrame({"persona": ["fast"], "change": ["adjusted"], "detail": ["larger"]}),
    },
    "leads": {
        "funnel": pd.DataFrame(
            {
                "status": ["inquiry", "handed_off", "won"],
                "n": [100, 50, 5],
                "rate": [1.0, 0.5, 0.1],
                "low": [0.9, 0.4, 0.05],
                "high": [1.0, 0.6, 0.2],
            }
        ),
        "channels": pd.DataFrame(
            {
                "channel": ["search", "fair"],
                "n_leads": [80, 20],
                "n_accepted": [40, 5],
                "n_won": [10, 1],
                "spent_amount": [1000.0, 900.0],
                "cost_per_accepted_amount": [25.0, 180.0],
                "cost_per_won_amount": [100.0, 900.0],
            }
        ),
        "experiments": pd.DataFrame(
            {
                "experiment": ["opening"],
                "arm": ["short"],
                "n": [100],
                "k": [60],
                "rate": [0.6],
                "low": [0.5],
                "high": [0.7],
            }
        ),
        "quality": pd.DataFrame(
            {"model": ["logistic"], "brier": [0.2], "ece": [0.03], "auc": [0.7], "auc_within": [0.6], "n": [90]}
        ),
        "calibration": pd.DataFrame(
            {"predicted": [0.1, 0.5], "observed": [0.2, 0.5], "low": [0.15, 0.4], "high": [0.3, 0.6], "n": 40}
        ),
        "next_leads": pd.DataFrame(
            {
                "record_id": ["L1"],
                "persona": ["fast"],
                "score": [0.4],
                "rank": [1],
                "reasons": ["sites: 1 (+)"],
                "channel": ["search"],
                "created_on": pd.to_datetime(["2025-01-02"]),
                "slot": ["ranked"],
            }
        ),
    },
    "handoff": {
        "promises": pd.DataFrame(
            {
                "promise": ["n_leads", "accepted_rate"],
                "team": ["marketing"] * 2,
                "promised": [100, 0.6],
                "observed": [120, 0.5],
                "is_kept": [True, False],
            }
        ),
        "waterfall": pd.DataFrame({"status": ["handed_off", "waiting"], "n": [50, 5], "share": [1.0, 0.1]}),
        "first_touch": pd.DataFrame(
            {
                "group": ["all", "channel"],
                "level": ["all", "search"],
                "n": [50, 9],
                "median_days": [4.0, 3.0],
                "p90_days": [NAN, 9.0],
                "never_share": [0.25, 0.1],
            }
        ),
        "rejections": shares(reason=["too_early", "no_need"]),
        "disagreements": pd.DataFrame({"kind": ["rejected, yet won later"], "n": [3], "n_of": [40]}),
        "questions": pd.DataFrame({"question": ["What should marketing ask first?"]}),
    },
    "deals": {
        "totals": pd.DataFrame({"outcome": ["won", "lost", "no_decision", "open"], "n": [30, 60, 0, 10]}),
        "win_rates": pd.DataFrame(
            {
                "definition": ["narrow", "broad"],
                "estimate": [0.33, 0.3],
                "low": [0.25, 0.2],
                "high": [0.4, 0.4],
                "n": [90, 95],
            }
        ),
        "curve": pd.DataFrame(
            {
                "day": [0, 50] * 2,
                "cause": ["won"] * 2 + ["lost"] * 2,
                "estimate": [0, 0.3, 0, 0.5],
                "low": 0.0,
                "high": [0, 0.4, 0, 0.6],
                "n_at_risk": [100, 10] * 2,
            }
        ),
        "cycle": pd.DataFrame(
            {"field": ["all"], "level": ["all"], "n": [30], "median_days": [54.0], "low": [50], "high": [60]}
        ),
        "amounts": pd.DataFrame(
            {
                "field": ["all", "product"],
                "level": ["all", "plan"],
                "n": [30, 12],
                "median_amount": [10, 20],
                "mean_amount": [1000.0, 2500.0],
                "low": [900, 2000],
                "high": [1100, 3000],
            }
        ),
        "loss_reasons": pd.DataFrame(
            {
                "source": ["rep", "buyer"],
                "reason": ["price", "trust"],
                "n": [20, 12],
                "share": [0.5, 0.6],
                "low": [0.4, 0.3],
                "high": [0.6, 0.8],
            }
        ),
        "adjusted": pd.DataFrame(
            {
                "field": ["product"],
                "level": ["plan"],
                "crude": [-0.08],
                "adjusted": [0.11],
                "low": [0.05],
                "high": [0.2],
                "is_reversed": [True],
                "confounder": ["sites"],
            }
        ),
        "reps": pd.DataFrame({"n_reps": [12], "n_deals": [90], "p": [0.4], "is_beyond_luck": [False]}),
    },
    "refinement": {
        "duel": pd.DataFrame(
            {
                "contender": ["proposal", "in force"],
                "log_loss": [0.6, 0.65],
                "auc_within": [0.6, 0.55],
                "n": [200, 200],
                "gain": [0.05, 0.0],
                "gain_low": [0.01, 0.0],
                "gain_high": [0.09, 0.0],
            }
        ),
        "promises": pd.DataFrame(
            {
                "persona": ["fast"],
                "promised_low": [0.4],
                "promised_high": [0.52],
                "observed": [0.44],
                "n": [80],
                "is_kept": [True],
            }
        ),
        "edits": pd.DataFrame(
            {
                "persona": ["fast"],
                "edit": ["split"],
                "field": ["sites"],
                "level": ["1"],
                "effect": [-0.12],
                "n": [70],
                "p": [0.001],
                "q": [0.01],
                "status": ["permanent"],
                "reverts_when": ["the sign turns"],
            }
        ),
        "drift": pd.DataFrame({"kind": ["mix"], "statistic": [9.0], "p": [0.01], "is_drift": [True]}),
    },
    "review": {
        "promises": pd.DataFrame(
            {"promise": ["n_leads"], "team": ["marketing"], "promised": [100], "observed": [NAN], "is_kept": [None]}
        ),
        "changes": pd.DataFrame({"persona": ["fast"], "change": ["split"], "detail": ["by sites"]}),
        "asks": pd.DataFrame({"team": ["sales"], "ask": ["Touch every lead."]}),
    },
}
RESULTS = {
    "recommended_k": 2, "verdict": "reproducible", "lowest_k": 2, "highest_k": 7, "rule_error": 0.2, "guess_error": 0.5,
    "n_handed_off": 50, "accepted_rate": 0.6, "first_touch_median_days": 4.0, "never_touched_share": 0.25,
    "sales_cycle_days": 54.0, "score_verdict": "usable", "shown_as": "probability", "prospects": "leads", "n_watch": 1,
}  # fmt: skip
