"""Hand-made tables and claims that documents read, as the notebooks before them leave them."""

from typing import Any

import pandas as pd
from closedloop.claims.ledger import (
    CLAIM_COLUMNS,
    STATEMENT_COLUMNS,
    Origin,
    counted,
    estimated,
    outside,
    stacked,
    typed,
)

from .ledger import claims, rates, totals

WINDOW = ("2024-q2", "2025-q1")
CHANGED = {"persona": "fast", "name": "", "field": "", "level": "", "share": float("nan"), "change": "adjusted",
           "other": "", "is_rule_changed": True, "is_first_promise": False, "parts": ""}  # fmt: skip
NEXT_LEAD = {"rank": 1, "record_id": "L1", "persona": "fast", "score": 0.4, "points": 83,
             "reasons": [["sites", "1", "+14"]], "caution": [], "account_id": "A1",
             "rep_id": "rep-07", "status": "sales_accepted", "age_days": 89.0,
             "last_touch_on": pd.Timestamp("2025-03-01"), "slot": "ranked", "arm_rate": 1.0}  # fmt: skip
TARGETS = {"segment": ["0", "1"], "personas": ["fast", ""], "choice": ["target", "left out"],
           "reason": ["more attractive", "too small a share of the market"]}  # fmt: skip
SITES = ("1", "2-5", "6-20", "over 20")


def held(field: str, **levels: tuple[str, ...]) -> pd.DataFrame:
    """The levels of a field that members of each persona have, fifty each."""
    rows = [(persona, field, level, 50) for persona, own in levels.items() for level in own]
    return pd.DataFrame(rows, columns=["persona", "field", "level", "n"])


TABLES = {
    "research": {"targets": pd.DataFrame(TARGETS)},
    "personas": {
        "changes": pd.DataFrame([CHANGED]),
        "whom": pd.DataFrame({"field": ["sites", "region"]}),
        "held": held("sites", fast=("1", "2-5"), slow=SITES),
    },
    "leads": {"next_leads": pd.DataFrame([NEXT_LEAD])},
    "handoff": {},
    "deals": {},
}


def stated(*statements: list[dict[str, Any]]) -> pd.DataFrame:
    """Statements as claims."""
    every = [row for part in statements for row in part]
    return outside(typed(every, STATEMENT_COLUMNS), market="yard", period="2025-q1")


def won_by(arm: str = "short", against: str = "long", effect: float = 0.2) -> pd.DataFrame:
    """An experiment in which a difference holds."""
    told = {"measure": "accepted_rate", "subject": "opening", "field": "arm", "level": arm, "against": against}
    figures = {"estimate": 0.6, "low": 0.5, "high": 0.7, "baseline": 0.6 - effect, "effect": effect, "n": 90}
    at = {"notebook": "03_leads", "cell": "experiments", "family": "how they end", "kind": "causal"}
    return claims({"claim_id": "arm-1", **told, **figures, **at})


def _channels() -> pd.DataFrame:
    """What two channels brought and cost, over the market and for one persona, and which leads sales accepts more."""
    at, own = (Origin("03_leads", name, "leads", *WINDOW) for name in ("channels", "persona_channels"))
    cost = {"notebook": "03_leads", "cell": "channels", "measure": "cost_per_won_amount", "family": "how they end",
            "unit": "amount", "field": "channel", "level": "search", "needed_n": 60}  # fmt: skip
    cheap = {"estimate": 50, "low": 35, "high": 80, "baseline": 900, "effect": -850, "n": 80}
    dear = {"level": "fair", "estimate": 900, "low": 195, "high": 4800, "baseline": 50, "effect": 850, "n": 20}
    few = {"estimate": 80, "low": 50, "high": 150, "baseline": 90, "effect": -10, "n": 40, "verdict": "refused"}
    suits = {"notebook": "03_leads", "cell": "persona_channels", "measure": "persona_accepted_rate", "subject": "fast",
             "family": "how they end", "field": "channel", "level": "search"}  # fmt: skip
    compared = claims(
        suits | {"claim_id": "suits-fast"},
        cost | cheap | {"claim_id": "cost-search"},
        cost | dear | {"claim_id": "cost-fair"},
        cost | few | {"claim_id": "cost-fast", "cell": "persona_channels", "subject": "fast"},
    )
    counts = stated(
        counted(totals("channel", 80, search=80, fair=20), at, measure="n_leads"),
        counted(totals("channel", 80, search=20, fair=1), at, measure="n_won"),
        counted(totals("channel", 40, search=40), own, measure="n_leads", subject="fast"),
        counted(totals("channel", 40, search=5), own, measure="n_won", subject="fast"),
    )
    return stacked([counts, compared], CLAIM_COLUMNS)


def _experiments() -> pd.DataFrame:
    """Two arms drawn in one channel; a line that can be drawn next, and one that only time settles."""
    at, ahead = (Origin("03_leads", name, "leads", *WINDOW) for name in ("experiments", "tests"))
    about: dict[str, str] = {"subject": "opening"}
    gap = rates("arm", short=(0.2, 0.08, 0.31, 190))[0] | {"against": "long"}
    taken = [{"field": "arm", "level": arm, "estimate": k, "n": n} for arm, k, n in
             (("short", 60, 100), ("long", 36, 90))]  # fmt: skip
    arms = rates("arm", short=(0.6, 0.5, 0.7, 100), long=(0.4, 0.3, 0.5, 90))
    drawn, waits = {"field": "channel", "level": "search", "n": 80}, {"field": "sites", "level": "1", "n": 60}
    figures = {"test_arm_leads": (drawn, 440), "test_weeks": (drawn, 26), "wait_records": (waits, 300),
               "wait_weeks": (waits, 52)}  # fmt: skip
    return stated(
        estimated(arms, at, measure="arm_accepted_rate", **about),
        counted(taken, at, measure="n_arm_accepted", **about),
        estimated([gap], at, measure="arm_accepted_rate_difference", unit="points", kind="causal", **about),
        counted(totals("channel", 190, search=190), at, measure="n_drawn_leads", **about),
        counted(totals("arm", 190, short=100, long=90), at, measure="n_arm_leads", **about),
        estimated([drawn | {"estimate": 0.68, "baseline": 0.6}], ahead, measure="sought_accepted_rate"),
        counted([drawn | {"estimate": 0.11}], ahead, measure="test_harm_difference", unit="rate"),
        estimated([waits | {"estimate": 0.4, "baseline": 0.33}], ahead, measure="sought_win_rate"),
        *(counted([of | {"estimate": n}], ahead, measure=measure) for measure, (of, n) in figures.items()),
    )


def _rivals() -> pd.DataFrame:
    """Where a rival and no decision were met, and how often deals against the rival were won."""
    at = {name: Origin("battlecard", name, "deals", *WINDOW) for name in ("met", "why", "strong", "verified")}
    found = []
    for rival, n, of in (("rival-a", 12, 28), ("no_decision", 11, 40)):
        shares = [*rates("", **{"": (n / of, 0.2, 0.6, of)}), *rates("product", plan=(0.5, 0.3, 0.7, 15))]
        found.append(counted([{"estimate": n, "n": of}], at["met"], measure="n_met", subject=rival))
        found.append(estimated(shares, at["met"], measure="met_share", subject=rival))
    won = [*rates("", **{"": (0.4, 0.2, 0.64, 12)}), *rates("product", plan=(0.3, 0.1, 0.6, 11))]
    objected = rates("topic", low_price=(0.62, 0.4, 0.8, 21))
    return stated(
        *found,
        estimated(won, at["strong"], measure="win_rate", subject="rival-a"),
        estimated(rates("", **{"": (0.5, 0.4, 0.6, 70)}), at["strong"], measure="win_rate"),
        estimated(objected, at["why"], measure="objection_share", subject="rival-a"),
        counted([{"estimate": 2}], at["verified"], measure="n_texts", subject="rival-a"),
    )


def _persona() -> pd.DataFrame:
    """How large a persona is, what was heard of it, and what it promises."""
    size = Origin("02_personas", "personas", "leads", *WINDOW)
    said = Origin("campaign_brief", "feedback", "notes", *WINDOW)
    heard = Origin("sales_playbook", "objections", "notes", *WINDOW)
    promise = Origin("sales_playbook", "numbers", "deals", *WINDOW)
    early = rates("topic", too_early=(0.7, 0.5, 0.85, 20))
    raised = rates("topic", trust=(8 / 11, 0.48, 0.89, 11))
    return stated(
        estimated(early, said, measure="sales_rejection_share", subject="fast"),
        estimated(rates("persona", fast=(0.6, 0.5, 0.7, 60)), size, measure="persona_share"),
        estimated(rates("topic", trust=(11 / 14, 0.52, 0.92, 14)), heard, measure="objection_share", subject="fast"),
        estimated(raised, heard, measure="win_rate_when_raised", subject="fast"),
        estimated(rates("persona", fast=(0.44, 0.4, 0.52, 80)), promise, measure="promised_win_rate"),
        counted(totals("persona", 80, fast=35), promise, measure="n_promised_won"),
    )


def _choice() -> pd.DataFrame:
    """How attractive two segments are, and how strong we are there."""
    at = Origin("01_research", "targets", "respondents", "2024-q4", "2024-q4")
    scores = rates("segment", **{"0": (0.9, 0.4, 1.4, 60), "1": (-0.9, -1.4, -0.4, 40)})
    axes = ("attractiveness_score", "strength_score")
    return stated(*(estimated(scores, at, measure=axis, unit="ratio") for axis in axes))


def _handoff() -> pd.DataFrame:
    """How long leads waited, and why sales rejected them."""
    waited = Origin("04_handoff", "first_touch", "leads", "2025-q1", "2025-q1")
    rejected = Origin("04_handoff", "rejections", "leads", "2025-q1", "2025-q1")
    reasons = rates("rejection_reason", too_early=(0.6, 0.5, 0.7, 100), no_need=(0.4, 0.3, 0.5, 100))
    return stated(
        estimated(rates("", **{"": (4, 3, 5, 50)}), waited, measure="first_touch_median_days", unit="days"),
        estimated(reasons, rejected, measure="rejection_share"),
    )


PLAN = stacked([_channels(), _experiments(), won_by(), _rivals(), _persona(), _choice()], CLAIM_COLUMNS)
OUTCOME = _handoff()
