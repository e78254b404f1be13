"""Hand-made claims of 05 deals, as its verbs leave them."""

from closedloop.claims.comparisons import meta_of
from closedloop.claims.ledger import LOOK_COLUMNS, Origin, typed

from tests.documents.ledger import Draft, figures, judged, rates, whole


def _deals() -> Draft:
    draft = Draft()
    at = {name: Origin("05_deals", name, "deals", "2024-q2", "2025-q1") for name in
          ("totals", "win_rates", "curve", "adjusted", "cycle", "amounts", "loss_reasons", "reps")}  # fmt: skip
    for outcome, n in {"won": 30, "lost": 60, "no_decision": 0, "open": 10}.items():
        draft.count([{"estimate": n, "n": 100}], at["totals"], f"n_{outcome}")
    draft.count([{"estimate": 30_000, "n": 30}], at["totals"], "total_won_amount", unit="amount")
    draft.estimate(whole(0.33, 0.25, 0.4, 90), at["win_rates"], "win_rate")
    draft.estimate(whole(0.3, 0.2, 0.4, 95), at["win_rates"], "win_rate_broad")
    for measure, share in (("won_by", 0.3), ("lost_by", 0.5)):
        days = {"10": (0.1, 0.05, 0.2, 100), "50": (share, share - 0.1, share + 0.1, 100)}
        draft.estimate(rates("age_days", **days), at["curve"], measure)
    days = [*whole(54, 50, 60, 30), *rates("product", plan=(70, 61, 80, 12))]
    draft.estimate(days, at["cycle"], "median_cycle_days", unit="days")
    draft.estimate(whole(1000, 900, 1100, 30), at["amounts"], "mean_amount", unit="amount")
    medians = [*whole(800, 700, 950, 30), *rates("product", plan=(2400, 2000, 2900, 12))]
    draft.estimate(medians, at["amounts"], "median_amount", unit="amount")
    draft.estimate(whole(800, 300, 4000, 30), at["amounts"], "next_amount", unit="amount")
    brings = rates("product", gate=(150, 90, 240, 50), plan=(700, 500, 980, 40))
    draft.estimate(brings, at["amounts"], "won_amount_per_decided", unit="amount")
    draft.count([{"estimate": 2, "n": 30}], at["amounts"], "n_won_without_amount")
    draft.estimate(whole(61, 40, 93, 90), at["amounts"], "sales_velocity_per_day", unit="amount")
    reasons = rates("loss_reason", price=(0.5, 0.4, 0.6, 40), budget=(0.3, 0.2, 0.4, 40))
    draft.estimate(reasons, at["loss_reasons"], "loss_share")
    draft.estimate(rates("topic", trust=(0.6, 0.3, 0.8, 20)), at["loss_reasons"], "buyer_loss_share")
    for measure, rate in (("uncoded_loss_share", 0.1), ("loss_reason_agreement", 0.4)):
        draft.estimate(whole(rate, rate - 0.05, rate + 0.05, 20), at["loss_reasons"], measure)
    turned = {"field": "product", "level": "plan", "within": "sites", "baseline": -0.08}
    same = {"field": "sites", "level": "1", "within": "period", "baseline": 0.3}
    draft.estimate([{**turned, **figures(0.11, 0.05, 0.2, 90)}], at["adjusted"], "win_rate_reversed", unit="points")
    draft.estimate([{**same, **figures(0.02, -0.1, 0.14, 90)}], at["adjusted"], "win_rate_adjusted", unit="points")
    perhaps = {"field": "region", "level": "west", "within": "sites", "baseline": 0.09}
    unsure = perhaps | figures(-0.11, -0.24, 0.02, 90)
    draft.estimate([unsure], at["adjusted"], "win_rate_perhaps_reversed", unit="points")
    draft.count([{"estimate": 12, "n": 90}], at["reps"], "n_reps")
    spread = meta_of(at["reps"], "rep_spread", "ratio", "descriptive") | {"subject": "market", "field": "", "level": ""}
    looks = typed([spread | {"estimate": 0.4, "n": 90, "p": 0.4, "beyond": 0.6}], LOOK_COLUMNS)
    draft.closed.append(judged(looks))
    return draft


CLAIMS = _deals().claims()
