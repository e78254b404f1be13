"""Small hand-made tables of every step, as the loop writes them."""

import pandas as pd
from closedloop.evidence.claims import CLAIM_COLUMNS, LOOK_COLUMNS, Origin, close_family, outside, stacked, typed
from closedloop.evidence.gains import gain_looks
from closedloop.evidence.looks import meta_of
from closedloop.loop.step import Draft
from closedloop.terms import REJECTED_UNTOUCHED

from .ledger import claims

NAN = float("nan")
CHANGED = {"persona": "fast", "name": "", "field": "", "level": "", "share": NAN, "change": "adjusted", "other": "",
           "is_rule_changed": False, "is_first_promise": False, "parts": ""}  # fmt: skip

TABLES = {
    "research": {
        "targets": pd.DataFrame(
            {
                "segment": ["0", "1"],
                "personas": ["fast", ""],
                "choice": ["target", "left out"],
                "reason": ["more attractive", "too small a share of the market"],
            }
        ),
        "matched": pd.DataFrame({"segment": ["0", "1"], "earlier": ["1", "0"]}),
    },
    "personas": {
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
    },
    "leads": {
        "next_leads": pd.DataFrame(
            {
                "rank": [1],
                "record_id": ["L1"],
                "persona": ["fast"],
                "score": [0.4],
                "reasons": [[["sites", "1"]]],
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
            {"rank": [1], "record_id": ["L9"], "persona": ["fast"], "score": [0.2], "reasons": [[]], "caution": [[]]}
            | {"age_days": [400.0]}
        ),
    },
    "handoff": {},
    "deals": {},
    "refinement": {},
    "review": {"changes": pd.DataFrame([CHANGED | {"change": "split", "other": "slow"}])},
}
RESULTS = {
    "recommended_k": 2, "verdict": "reproducible", "lowest_k": 2, "highest_k": 3, "bic_k": 3, "icl_k": 2,
    "held_out_k": 3, "earlier_verdict": "natural",
    "n_handed_off": 50, "accepted_rate": 0.6, "first_touch_median_days": 4.0, "never_touched_share": 0.25,
    "sales_cycle_days": 54.0, "score_verdict": "usable", "shown_as": "probability", "prospects": "leads",
}  # fmt: skip


def _rates(field: str, **levels: tuple[float, float, float, int]) -> list[dict[str, object]]:
    """Rows of statements: level -> estimate, low, high, n."""
    return [{"field": field, "level": k, **dict(zip(FIGURES, v, strict=True))} for k, v in levels.items()]


def _counts(field: str, n: int, **levels: float) -> list[dict[str, object]]:
    """Rows of statements: level -> total, among ``n``."""
    return [{"field": field, "level": level, "estimate": total, "n": n} for level, total in levels.items()]


def _research() -> Draft:
    draft = Draft("research")
    at = {name: Origin("01_research", name, "respondents", "2024-q4", "2024-q4") for name in
          ("segmenting", "ideal", "sample", "explore", "criteria", "slsw", "profile", "segments", "targets",
           "held")}  # fmt: skip
    for measure, n in {"n_rows": 900, "n_columns": 12, "n_advised": 720}.items():
        draft.count([{"estimate": n}], at["sample"], measure)
    for measure, values in {"ari": (0.9, 0.8), "ari_shuffled": (0.1, 0.1), "bic": (7000, 7100),
                            "weakest_slsw": (0.8, 0.7)}.items():  # fmt: skip
        rows = _rates("k", **{"2": (values[0], NAN, NAN, 900), "3": (values[1], NAN, NAN, 900)})
        least = 0.75 if measure in ("ari", "weakest_slsw") else NAN
        draft.estimate(pd.DataFrame(rows).assign(baseline=least), at["criteria"], measure, unit="ratio")
    weak = _rates("segment", **{"0": (0.9, NAN, NAN, 60), "1": (0.8, NAN, NAN, 40)})
    draft.estimate(weak, at["slsw"], "slsw", unit="ratio")
    for segment, price, plan in (("0", 0.9, 0.5), ("1", 0.1, 0.45)):
        shares = [*_rates("wants_price", yes=(price, 0, 1, 60)), *_rates("product", plan=(plan, 0, 1, 60))]
        draft.estimate(shares, at["profile"], "profile_share", subject=segment)
    sizes = _rates("segment", **{"0": (0.6, 0.5, 0.7, 900), "1": (0.4, 0.3, 0.5, 900)})
    draft.estimate(sizes, at["segments"], "segment_share")
    draft.estimate(_rates("segment", **{"0": (120, 100, 140, 900)}), at["segments"], "n_accounts", unit="count")
    _explored(draft, at["explore"])
    _chosen(draft, at)
    return draft


def _explored(draft: Draft, at: Origin) -> None:
    """Before any cut: shares in the market, missing answers, a pair that goes together, dimensions."""
    draft.estimate(_rates("wants_price", yes=(0.5, 0.4, 0.6, 120)), at, "profile_share")
    draft.estimate(_rates("wants_price", **{"": (0.05, 0.03, 0.07, 900)}), at, "missing_share")
    pair = pd.DataFrame(_rates("wants_price", yes=(-0.5, -0.6, -0.4, 900))).assign(within="product=plan")
    looks = gain_looks(pair, at, measure="association").assign(within=pair["within"])
    draft.closed.append(_closed("who they are", looks))
    parts = pd.DataFrame(_rates("component", **{"1": (0.3, NAN, NAN, 900)})).assign(baseline=0.1)
    draft.estimate(parts, at, "component_share")
    draft.count([{"estimate": 2, "n": 900}], at, "n_dimensions")


def _chosen(draft: Draft, at: dict[str, Origin]) -> None:
    """Criteria, the segments' scores, and what became of them since the last wave."""
    draft.count([{"estimate": 800}], at["segmenting"], "n_ended")
    draft.count([{"estimate": 0.1}], at["ideal"], "smallest_share", unit="rate")
    draft.count([{"field": "criterion", "level": "size", "estimate": 3}], at["ideal"], "attractiveness_weight")
    for axis in ("attractiveness", "strength"):
        scores = _rates("segment", **{"0": (0.9, 0.4, 1.4, 60), "1": (-0.9, -1.4, -0.4, 40)})
        draft.estimate(scores, at["targets"], f"{axis}_score", unit="ratio")
    for measure, n in {"n_last_wave": 300, "earlier_segments": 2}.items():
        draft.count([{"estimate": n}], at["held"], measure)
    draft.estimate(_rates("", **{"": (0.85, 0.8, 0.9, 300)}), at["held"], "wave_agreement", unit="ratio")
    change = _rates("segment", **{"0": (0.06, 0.01, 0.11, 300)})
    draft.estimate(change, at["held"], "wave_share_change", unit="points")


def grown() -> pd.DataFrame:
    """A segment that is more common in the last wave."""
    look = {"measure": "wave_share", "family": "profile", "notebook": "01_research", "cell": "held", "field": "segment",
            "claim_id": "wave-share-1", "level": "0", "estimate": 0.66, "low": 0.6, "high": 0.71, "n": 300}  # fmt: skip
    return claims(look)


def _personas() -> Draft:
    draft = Draft("personas")
    at = {name: Origin("02_personas", name, "leads", "2024-q4", "2025-q1") for name in
          ("personas", "rules", "attributes", "nearest", "prevalence", "funnel", "stability", "changes")}  # fmt: skip
    draft.estimate(_rates("persona", fast=(0.6, 0.5, 0.7, 60)), at["personas"], "persona_share")
    for measure, n in {"n_personas": 2, "n_assumed": 1}.items():
        draft.count([{"estimate": n}], at["personas"], measure)
    for measure, figures in {"rule_error": (0.2, 0.15, 0.26, 90), "guess_error": (0.5, 0.4, 0.6, 90)}.items():
        draft.estimate(_rates("", **{"": figures}), at["rules"], measure)
    apart = _rates("persona", slow=(0.2, NAN, NAN, 60))
    draft.estimate(apart, at["nearest"], "mean_difference", unit="points", subject="fast")
    for measure, n in {"n_traits": 3, "n_all": 9, "n_all_but_one": 30}.items():
        draft.count([{"estimate": n, "n": 60}], at["prevalence"], measure, subject="fast")
    draft.count([{"estimate": 90}], at["attributes"], "n_described")
    draft.count(_counts("persona", 100, fast=100, slow=50), at["funnel"], "n_leads")
    for measure, (fast, slow) in {"lead_accepted_rate": (0.6, 0.5), "lead_won_rate": (0.2, 0.02)}.items():
        rows = _rates("persona", fast=(fast, fast - 0.01, 0.7, 100), slow=(slow, 0.01, slow + 0.02, 50))
        draft.estimate(rows, at["funnel"], measure)
    surely = _rates("persona", fast=(0.9, NAN, NAN, 60), slow=(0.7, NAN, NAN, 40))
    draft.estimate(surely, at["stability"], "slsw", unit="ratio")
    draft.estimate(_rates("persona", slow=(0.95, NAN, NAN, 80)), at["stability"], "split_kept_share")
    for measure, rate in {"promised_win_rate": 0.4, "promised_before": 0.5, "came_win_rate": 0.3}.items():
        promise = _rates("persona", fast=(rate, rate - 0.04, rate + 0.08, 80))
        draft.estimate(promise, at["personas" if measure == "promised_win_rate" else "changes"], measure)
    draft.count(_counts("persona", 80, fast=31), at["personas"], "n_promised_won")
    said = Origin("02_personas", "feedback", "notes", "2024-q2", "2025-q1")
    draft.estimate(_rates("topic", too_early=(0.7, 0.5, 0.85, 20)), said, "sales_rejection_share", subject="fast")
    return draft


def wishes() -> pd.DataFrame:
    """What sets the two personas apart."""
    wish = {"measure": "share", "family": "profile", "notebook": "02_personas", "cell": "attributes",
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
    less = {"family": "plan", "effect": -0.1, "estimate": 0.23, "low": 0.19, "high": 0.27}
    won = less | {"claim_id": "won-less", "field": "persona", "level": "slow", "notebook": "02_personas"}
    accepted = less | {"measure": "accepted_rate", "notebook": "03_leads"}
    return claims(
        won,
        accepted | {"claim_id": "accepted-less", "field": "sites", "level": "1"},
        accepted | {"claim_id": "a-channel", "field": "channel", "level": "fair"},
        accepted | {"claim_id": "only-watched", "field": "sites", "level": "2-5", "verdict": "leaning"},
    )


def suiting() -> pd.DataFrame:
    """A channel whose leads of one persona sales accepts more often, and what channels cost."""
    own = {"notebook": "03_leads", "cell": "persona_channels", "measure": "persona_accepted_rate", "subject": "fast"}
    cost = {"notebook": "03_leads", "cell": "channels", "measure": "cost_per_won_amount", "family": "cost",
            "unit": "amount", "field": "channel", "level": "search", "needed_n": 60}  # fmt: skip
    cheap = {"estimate": 50, "low": 35, "high": 80, "baseline": 900, "effect": -850, "n": 80}
    dear = {"level": "fair", "estimate": 900, "low": 195, "high": 4800, "baseline": 50, "effect": 850, "n": 20}
    few = {"estimate": 80, "low": 50, "high": 150, "baseline": 90, "effect": -10, "n": 40, "verdict": "refused"}
    return claims(
        own | {"claim_id": "suits-fast", "family": "plan", "field": "channel", "level": "search"},
        cost | cheap | {"claim_id": "cost-search"},
        cost | dear | {"claim_id": "cost-fair"},
        cost | few | {"claim_id": "cost-fast", "cell": "persona_channels", "subject": "fast"},
    )


def _leads() -> Draft:
    draft = Draft("leads")
    at = {name: Origin("03_leads", name, "leads", "2024-q1", "2024-q4") for name in
          ("funnel", "channels", "persona_channels", "experiments", "tests", "quality", "calibration",
           "next_leads", "wake_up")}  # fmt: skip
    draft.count(_counts("status", 100, inquiry=100, handed_off=50, won=5), at["funnel"], "n_reached")
    reached = _rates("status", handed_off=(0.5, 0.4, 0.6, 100), won=(0.1, 0.05, 0.2, 50))
    draft.estimate(reached, at["funnel"], "conversion_rate")
    draft.count(_counts("channel", 80, search=80, fair=20), at["channels"], "n_leads")
    draft.count(_counts("channel", 80, search=1000, fair=900), at["channels"], "spent_amount", unit="amount")
    draft.count(_counts("channel", 80, search=20, fair=1), at["channels"], "n_won")
    draft.count([{"estimate": 90, "n": 100}], at["channels"], "days_to_win", unit="days")
    for measure, of in {"n_leads": 40, "n_won": 5}.items():
        draft.count(_counts("channel", 40, search=of), at["persona_channels"], measure, subject="fast")
    _planned_tests(draft, at["tests"])
    _experiment(draft, at["experiments"])
    for measure, figures in {"brier": (0.2, NAN, NAN, 90), "auc_within": (0.61, 0.52, 0.7, 90)}.items():
        draft.estimate(_rates("model", logistic=figures), at["quality"], measure, unit="ratio")
    open_ones = _rates("order", score=(0.61, NAN, NAN, 164), stage=(0.72, NAN, NAN, 164))
    draft.estimate(open_ones, at["quality"], "auc_open", unit="ratio")
    gain = gain_looks(_rates("", **{"": (-0.11, -0.19, -0.02, 164)}), at["quality"], measure="gain_over_stage")
    chance = pd.DataFrame(_rates("model", logistic=(0.61, 0.52, 0.7, 90))).assign(baseline=0.5)
    draft.closed.append(_closed("how they end", stacked([gain, gain_looks(chance, at["quality"], measure="score_auc")])))
    groups = _rates("score_group", **{"1": (0.2, 0.15, 0.3, 40), "2": (0.5, 0.4, 0.6, 40)})
    told = pd.DataFrame(groups).assign(baseline=[0.1, 0.5])
    draft.estimate(told, at["calibration"], "observed_rate", kind="predictive")
    draft.count([{"estimate": 1, "n": 2}], at["calibration"], "n_groups_inside")
    draft.count([{"estimate": 1}], at["next_leads"], "n_listed")
    draft.count([{"estimate": 0, "n": 1}], at["next_leads"], "n_drawn")
    draft.count([{"estimate": 89, "n": 1}], at["next_leads"], "median_age_days", unit="days")
    draft.count([{"estimate": 12}], at["next_leads"], "n_to_hand_off")
    draft.count([{"estimate": 1}], at["wake_up"], "n_wake_up")
    draft.count([{"estimate": 365}], at["wake_up"], "oldest_days", unit="days")
    return draft


def _experiment(draft: Draft, at: Origin) -> None:
    """Two arms drawn in one channel."""
    arms = _rates("arm", short=(0.6, 0.5, 0.7, 100), long=(0.4, 0.3, 0.5, 90))
    draft.estimate(arms, at, "arm_accepted_rate", subject="opening")
    accepted = [{"field": "arm", "level": arm, "estimate": k, "n": n} for arm, k, n in
                (("short", 60, 100), ("long", 36, 90))]  # fmt: skip
    draft.count(accepted, at, "n_arm_accepted", subject="opening")
    gap = {"field": "arm", "level": "short", "against": "long", **_figures(0.2, 0.08, 0.31, 190)}
    draft.estimate([gap], at, "arm_accepted_rate_difference", unit="points", subject="opening", kind="causal")
    draft.count(_counts("channel", 190, search=190), at, "n_drawn_leads", subject="opening")
    draft.count(_counts("arm", 190, short=100, long=90), at, "n_arm_leads", subject="opening")


def won_by(arm: str = "short", against: str = "long", effect: float = 0.2) -> pd.DataFrame:
    """An experiment in which a difference holds."""
    told = {"measure": "accepted_rate", "subject": "opening", "field": "arm", "level": arm, "against": against}
    figures = {"estimate": 0.6, "low": 0.5, "high": 0.7, "baseline": 0.6 - effect, "effect": effect, "n": 90}
    at = {"notebook": "03_leads", "cell": "experiments", "family": "plan", "kind": "causal"}
    return claims({"claim_id": "arm-1", **told, **figures, **at})


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


def _handoff() -> Draft:
    draft = Draft("handoff")
    at = {name: Origin("04_handoff", name, "leads", "2025-q1", "2025-q1") for name in
          ("waterfall", "first_touch", "rejections", "disagreements", "promises")}  # fmt: skip
    draft.count(_counts("status", 50, handed_off=50, waiting=5), at["waterfall"], "n_reached")
    draft.estimate(_rates("status", waiting=(0.1, 0.05, 0.2, 50)), at["waterfall"], "reached_share")
    draft.estimate(_rates("", **{"": (0.6, 0.49, 0.7, 45)}), at["waterfall"], "accepted_rate")
    draft.estimate(_rates("", **{"": (4, 3, 5, 50)}), at["first_touch"], "first_touch_median_days", unit="days")
    draft.estimate(_rates("", **{"": (0.25, 0.16, 0.36, 50)}), at["first_touch"], "never_touched_share")
    draft.estimate(_rates("", **{"": (0.3, 0.2, 0.42, 48)}), at["first_touch"], "touched_in_time_share")
    reasons = _rates("rejection_reason", too_early=(0.6, 0.5, 0.7, 100), no_need=(0.4, 0.3, 0.5, 100))
    draft.estimate(reasons, at["rejections"], "rejection_share")
    draft.count(_counts("rejection_reason", 100, too_early=60, no_need=40), at["rejections"], "n_rejected")
    kinds = _counts("kind", 40, **{"rejected, yet won later": 3, "accepted, yet never touched": 0})
    kinds += _counts("kind", 18, **{REJECTED_UNTOUCHED: 9})
    draft.count(kinds, at["disagreements"], "n_disagreements")
    kept = {"field": "promise", "level": "n_leads", "estimate": 120, "baseline": 100, "effect": 20}
    broken = {"field": "promise", "level": "accepted_rate", "estimate": 0.5, "low": 0.4, "high": 0.6, "n": 45,
              "baseline": 0.6, "effect": -0.1}  # fmt: skip
    unknown = {"field": "promise", "level": "first_touch_days", "baseline": 2}
    draft.count([kept], at["promises"], "promise")
    draft.estimate([broken], at["promises"], "promise")
    draft.estimate([unknown], at["promises"], "promise", unit="days")
    draft.count([{"estimate": 1, "n": 2}], at["promises"], "n_promises_kept")
    return draft


def _refinement() -> Draft:
    draft = Draft("refinement")
    at = {name: Origin("06_refinement", name, "deals", "2025-q1", "2025-q1") for name in
          ("duel", "promises", "drift", "off_policy")}  # fmt: skip
    for measure, gain in (("log_loss", 0.6), ("auc_within", 0.61)):
        of = {"proposal": (gain, NAN, NAN, 200), "in force": (0.55, NAN, NAN, 200)}
        draft.estimate(_rates("contender", **of), at["duel"], measure, unit="ratio")
        gained = _rates("contender", proposal=(gain - 0.55, 0.01, 0.09, 200))
        draft.closed.append(_closed("duel", gain_looks(gained, at["duel"], measure=f"{measure}_gain")))
    draft.estimate([{**_rates("", **{"": (0.44, 0.4, 0.52, 80)})[0], "subject": "fast"}], at["promises"],
                   "promised_win_rate")  # fmt: skip
    moved = _rates("", **{"": (0.2, 0.1, 0.3, 60)})[0] | {"subject": "fast", "baseline": 0.4, "against": "2024-q4"}
    looks = typed([moved | {"p": 0.001, "beyond": 0.99, "effect": -0.2, "unit": "rate"}], LOOK_COLUMNS)
    meta = meta_of(at["drift"], "drift_win_rate", "rate", "descriptive") | {"against": "2024-q4"}
    draft.closed.append(_closed("how they end", looks.assign(**meta)))
    draft.estimate(_rates("drift", definition=(0.02, 0.0, 0.06, 60)), at["drift"], "unseen_share")
    draft.estimate(_rates("order", **{"as called": (0.3, 0.25, 0.35, 200)}), at["off_policy"], "order_won_rate")
    order = _rates("order", **{"by the personas' promise": (0.2, 0.15, 0.24, 90)})
    order = pd.DataFrame(order).assign(baseline=0.3)
    draft.closed.append(_closed("how they end", gain_looks(order, at["off_policy"], measure="order_won_rate", unit="rate")))
    sizes = {"at random": (31.4, NAN, NAN, 200), "by the personas' promise": (62, NAN, NAN, 90)}
    worth = pd.DataFrame(_rates("order", **sizes)).assign(baseline=50.0)
    draft.estimate(worth, at["off_policy"], "effective_sample", unit="count")
    return draft


def _closed(family: str, looks: pd.DataFrame) -> pd.DataFrame:
    return close_family(looks, family=family, market="yard", period="2025-q1")


def edits() -> pd.DataFrame:
    """A split that holds, a doubtful promise, and a split without a difference."""
    fast = {"family": "edit", "family_size": 3, "notebook": "06_refinement", "cell": "edits", "subject": "fast"}
    return claims(
        fast | {"claim_id": "edit-1"},
        fast
        | {"claim_id": "promise-1", "family": "promise", "measure": "promise_gap", "field": "", "level": ""}
        | {"verdict": "leaning"},
        fast | {"claim_id": "edit-3", "level": "1", "verdict": "indistinguishable"},
    )


def _deals() -> Draft:
    draft = Draft("deals")
    at = {name: Origin("05_deals", name, "deals", "2024-q2", "2025-q1") for name in
          ("totals", "win_rates", "curve", "adjusted", "cycle", "amounts", "loss_reasons", "reps")}  # fmt: skip
    for outcome, n in {"won": 30, "lost": 60, "no_decision": 0, "open": 10}.items():
        draft.count([{"estimate": n, "n": 100}], at["totals"], f"n_{outcome}")
    draft.count([{"estimate": 30_000, "n": 30}], at["totals"], "total_won_amount", unit="amount")
    draft.estimate(_rates("", **{"": (0.33, 0.25, 0.4, 90)}), at["win_rates"], "win_rate")
    draft.estimate(_rates("", **{"": (0.3, 0.2, 0.4, 95)}), at["win_rates"], "win_rate_broad")
    for measure, share in (("won_by", 0.3), ("lost_by", 0.5)):
        days = {"10": (0.1, 0.05, 0.2, 100), "50": (share, share - 0.1, share + 0.1, 100)}
        draft.estimate(_rates("age_days", **days), at["curve"], measure)
    days = [*_rates("", **{"": (54, 50, 60, 30)}), *_rates("product", plan=(70, 61, 80, 12))]
    draft.estimate(days, at["cycle"], "median_cycle_days", unit="days")
    draft.estimate(_rates("", **{"": (1000, 900, 1100, 30)}), at["amounts"], "mean_amount", unit="amount")
    medians = [*_rates("", **{"": (800, 700, 950, 30)}), *_rates("product", plan=(2400, 2000, 2900, 12))]
    draft.estimate(medians, at["amounts"], "median_amount", unit="amount")
    draft.estimate(_rates("", **{"": (800, 300, 4000, 30)}), at["amounts"], "next_amount", unit="amount")
    brings = _rates("product", gate=(150, 90, 240, 50), plan=(700, 500, 980, 40))
    draft.estimate(brings, at["amounts"], "won_amount_per_decided", unit="amount")
    draft.count([{"estimate": 2, "n": 30}], at["amounts"], "n_won_without_amount")
    speed = _rates("", **{"": (61, 40, 93, 90)})
    draft.estimate(speed, at["amounts"], "sales_velocity_per_day", unit="amount")
    draft.estimate(_rates("loss_reason", price=(0.5, 0.4, 0.6, 40)), at["loss_reasons"], "loss_share")
    draft.estimate(_rates("topic", trust=(0.6, 0.3, 0.8, 20)), at["loss_reasons"], "buyer_loss_share")
    for measure, rate in (("uncoded_loss_share", 0.1), ("loss_reason_agreement", 0.4)):
        draft.estimate(_rates("", **{"": (rate, rate - 0.05, rate + 0.05, 20)}), at["loss_reasons"], measure)
    turned = {"field": "product", "level": "plan", "within": "sites", "baseline": -0.08}
    same = {"field": "sites", "level": "1", "within": "period", "baseline": 0.3}
    draft.estimate([{**turned, **_figures(0.11, 0.05, 0.2, 90)}], at["adjusted"], "win_rate_reversed", unit="points")
    draft.estimate([{**same, **_figures(0.02, -0.1, 0.14, 90)}], at["adjusted"], "win_rate_adjusted", unit="points")
    perhaps = {"field": "region", "level": "west", "within": "sites", "baseline": 0.09}
    figures = _figures(-0.11, -0.24, 0.02, 90)
    draft.estimate([perhaps | figures], at["adjusted"], "win_rate_perhaps_reversed", unit="points")
    draft.count([{"estimate": 12, "n": 90}], at["reps"], "n_reps")
    spread = meta_of(at["reps"], "rep_spread", "ratio", "descriptive") | {"subject": "market", "field": "", "level": ""}
    looks = typed([spread | {"estimate": 0.4, "n": 90, "p": 0.4, "beyond": 0.6}], LOOK_COLUMNS)
    draft.closed.append(_closed("how they end", looks))
    return draft


def _figures(*values: float) -> dict[str, float]:
    """Estimate, low, high, n."""
    return dict(zip(FIGURES, values, strict=True))


def _cards() -> Draft:
    """What the plan states for battlecards and briefs."""
    draft = Draft("cards")
    at = {
        name: Origin("02_personas", name, "deals", "2024-q2", "2025-q1") for name in ("met", "why", "strong", "verified")
    }
    for rival, n, of in (("rival-a", 12, 28), ("no_decision", 11, 40)):
        draft.count([{"estimate": n, "n": of}], at["met"], "n_met", subject=rival)
        whole = _rates("", **{"": (n / of, 0.2, 0.6, of)})
        draft.estimate([*whole, *_rates("product", plan=(0.5, 0.3, 0.7, 15))], at["met"], "met_share", subject=rival)
    won = _rates("", **{"": (0.4, 0.2, 0.64, 12)})
    draft.estimate([*won, *_rates("product", plan=(0.3, 0.1, 0.6, 11))], at["strong"], "win_rate", subject="rival-a")
    draft.estimate(_rates("", **{"": (0.5, 0.4, 0.6, 70)}), at["strong"], "win_rate")
    objected = _rates("topic", low_price=(0.62, 0.4, 0.8, 21))
    draft.estimate(objected, at["why"], "objection_share", subject="rival-a")
    draft.count([{"estimate": 2}], at["verified"], "n_texts", subject="rival-a")
    said = Origin("02_personas", "feedback", "notes", "2024-q2", "2025-q1")
    draft.estimate(_rates("topic", too_early=(0.7, 0.5, 0.85, 20)), said, "sales_rejection_share", subject="fast")
    size = Origin("02_personas", "personas", "leads", "2024-q2", "2025-q1")
    draft.estimate(_rates("persona", fast=(0.6, 0.5, 0.7, 60)), size, "persona_share")
    heard = Origin("02_personas", "objections", "notes", "2024-q2", "2025-q1")
    for measure, figures in {
        "objection_share": (11 / 14, 0.52, 0.92, 14),
        "win_rate_when_raised": (8 / 11, 0.48, 0.89, 11),
    }.items():
        draft.estimate(_rates("topic", trust=figures), heard, measure, subject="fast")
    promise = Origin("02_personas", "numbers", "deals", "2024-q2", "2025-q1")
    draft.estimate(_rates("persona", fast=(0.44, 0.4, 0.52, 80)), promise, "promised_win_rate")
    draft.count(_counts("persona", 80, fast=35), promise, "n_promised_won")
    return draft


FIGURES = ("estimate", "low", "high", "n")
CLAIMS = {
    draft.name: stacked(
        [outside(draft.done().statements, market="yard", period="2025-q1"), draft.done().closed], CLAIM_COLUMNS
    )
    for draft in (_research(), _personas(), _leads(), _handoff(), _deals(), _refinement(), _cards())
}
CLAIMS["research"] = stacked([CLAIMS["research"], grown()], CLAIM_COLUMNS)
CLAIMS["personas"] = stacked([CLAIMS["personas"], wishes(), turned_down()], CLAIM_COLUMNS)
CLAIMS["leads"] = stacked([CLAIMS["leads"], suiting(), won_by()], CLAIM_COLUMNS)
CLAIMS["refinement"] = stacked([CLAIMS["refinement"], edits()], CLAIM_COLUMNS)
CLAIMS["review"] = stacked([CLAIMS["handoff"], CLAIMS["refinement"], claims({})], CLAIM_COLUMNS)
