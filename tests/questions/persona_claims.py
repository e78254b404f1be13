"""Hand-made claims and tables of 02 personas, as its verbs leave them."""

import pandas as pd
from closedloop.claims.ledger import CLAIM_COLUMNS, Origin, stacked

from tests.documents.ledger import NAN, Draft, claims, rates, totals

CHANGED = {"persona": "fast", "name": "", "field": "", "level": "", "share": NAN, "change": "adjusted", "other": "",
           "is_rule_changed": False, "is_first_promise": False, "parts": ""}  # fmt: skip
TABLES = {
    "rules": pd.DataFrame({"persona": ["fast"], "sentence": ["sites is 1"]}),
    "nearest": pd.DataFrame({"persona": ["fast"], "nearest": ["slow"], "field": ["wants_price"], "level": ["yes"]}),
    "changes": pd.DataFrame([CHANGED | {"is_rule_changed": True}]),
    "whom": pd.DataFrame({"field": ["sites"]}),
    "set": pd.DataFrame(
        {"sql": ["CASE x END"], "is_cross_fitted": [True], "review_on": pd.to_datetime(["2025-07-01"])}
    ),
    "history": pd.DataFrame(
        {
            "period": ["2025-q1", "2024-q4"],
            "edit": ["split", "commit"],
            "persona": ["fast", ""],
            "into": ["fast-sites", ""],
            "field": ["sites", ""],
            "level": ["over 20", ""],
            "estimate": [0.7, None],
            "low": [0.6, None],
            "high": [0.79, None],
            "baseline": [0.5, None],
            "q": [0.0006, None],
            "n": pd.array([68, None], dtype="Int64"),
            "last_period": ["2024-q4", ""],
            "claim_id": ["win-rate-7", ""],
        }
    ),
}


def _personas() -> Draft:
    draft = Draft()
    at = {name: Origin("02_personas", name, "leads", "2024-q4", "2025-q1") for name in
          ("personas", "rules", "attributes", "nearest", "prevalence", "funnel", "stability", "changes")}  # fmt: skip
    draft.estimate(rates("persona", fast=(0.6, 0.5, 0.7, 60)), at["personas"], "persona_share")
    for measure, n in {"n_personas": 2, "n_assumed": 1}.items():
        draft.count([{"estimate": n}], at["personas"], measure)
    for measure, figures in {"rule_error": (0.2, 0.15, 0.26, 90), "guess_error": (0.5, 0.4, 0.6, 90)}.items():
        draft.estimate(rates("", **{"": figures}), at["rules"], measure)
    apart = rates("persona", slow=(0.2, NAN, NAN, 60))
    draft.estimate(apart, at["nearest"], "mean_difference", unit="points", subject="fast")
    for subject, n, counts in (("fast", 20, (3, 4, 10)), ("slow", 50, (3, 5, 30))):  # 4 are fewer than 5, yet a fifth
        for measure, count in zip(("n_traits", "n_all", "n_all_but_one"), counts, strict=True):
            draft.count([{"estimate": count, "n": n}], at["prevalence"], measure, subject=subject)
    draft.count([{"estimate": 90}], at["attributes"], "n_described")
    draft.count(totals("persona", 100, fast=100, slow=50), at["funnel"], "n_leads")
    for measure, (fast, slow) in {"lead_accepted_rate": (0.6, 0.5), "lead_won_rate": (0.2, 0.02)}.items():
        rows = rates("persona", fast=(fast, fast - 0.01, 0.7, 100), slow=(slow, 0.01, slow + 0.02, 50))
        draft.estimate(rows, at["funnel"], measure)
    surely = rates("persona", fast=(0.9, NAN, NAN, 60), slow=(0.7, NAN, NAN, 40))
    draft.estimate(surely, at["stability"], "slsw", unit="ratio")
    draft.estimate(rates("persona", slow=(0.95, NAN, NAN, 80)), at["stability"], "split_kept_share")
    for measure, rate in {"promised_win_rate": 0.4, "promised_before": 0.5, "came_win_rate": 0.3}.items():
        promise = rates("persona", fast=(rate, rate - 0.04, rate + 0.08, 80))
        draft.estimate(promise, at["personas" if measure == "promised_win_rate" else "changes"], measure)
    draft.count(totals("persona", 80, fast=31), at["personas"], "n_promised_won")
    said = Origin("02_personas", "feedback", "notes", "2024-q2", "2025-q1")
    draft.estimate(rates("topic", too_early=(0.7, 0.5, 0.85, 20)), said, "sales_rejection_share", subject="fast")
    return draft


def wishes() -> pd.DataFrame:
    """What sets the two personas apart."""
    wish = {"measure": "share", "family": "who they are", "notebook": "02_personas", "cell": "attributes",
            "field": "wants_price", "level": "yes"}  # fmt: skip
    mine = wish | {"claim_id": "share-1", "subject": "fast", "estimate": 0.8}
    theirs = wish | {
        "claim_id": "share-2",
        "subject": "slow",
        "estimate": 0.1,
        "low": 0.05,
        "high": 0.15,
        "effect": -0.2,
    }
    same = {"field": "product", "level": "plan", "effect": 0.0, "verdict": "indistinguishable"}
    return claims(mine, theirs, mine | same | {"claim_id": "share-3"})


def turned_down() -> pd.DataFrame:
    """Who is won less often, whom sales accepts less often, and a channel that is nobody."""
    less = {"family": "how they end", "effect": -0.1, "estimate": 0.23, "low": 0.19, "high": 0.27}
    won = less | {"claim_id": "won-less", "field": "persona", "level": "slow", "notebook": "02_personas"}
    accepted = less | {"measure": "accepted_rate", "notebook": "03_leads"}
    return claims(
        won,
        accepted | {"claim_id": "accepted-less", "field": "sites", "level": "1"},
        accepted | {"claim_id": "a-channel", "field": "channel", "level": "fair"},
        accepted | {"claim_id": "only-watched", "field": "sites", "level": "2-5", "verdict": "leaning"},
    )


CLAIMS = stacked([_personas().claims(), wishes(), turned_down()], CLAIM_COLUMNS)
