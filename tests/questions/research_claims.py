"""Hand-made claims and tables of 01 research, as its verbs leave them."""

import pandas as pd
from closedloop.claims.comparisons import gain_looks
from closedloop.claims.ledger import CLAIM_COLUMNS, Origin, stacked

from tests.documents.ledger import NAN, Draft, claims, judged, rates, whole

RESULTS = {
    "recommended_k": 2, "verdict": "reproducible", "lowest_k": 2, "highest_k": 3, "bic_k": 3, "icl_k": 2,
    "held_out_k": 3, "earlier_verdict": "natural",
}  # fmt: skip
TABLES = {
    "targets": pd.DataFrame(
        {
            "segment": ["0", "1"],
            "personas": ["fast", ""],
            "choice": ["target", "left out"],
            "reason": ["more attractive", "too small a share of the market"],
        }
    ),
    "matched": pd.DataFrame({"segment": ["0", "1"], "earlier": ["1", "0"]}),
}


def _research() -> Draft:
    draft = Draft()
    at = {name: Origin("01_research", name, "respondents", "2024-q4", "2024-q4") for name in
          ("segmenting", "ideal", "sample", "explore", "criteria", "slsw", "profile", "segments", "targets",
           "held")}  # fmt: skip
    for measure, n in {"n_rows": 900, "n_columns": 12, "n_advised": 720}.items():
        draft.count([{"estimate": n}], at["sample"], measure)
    for measure, values in {"ari": (0.9, 0.8), "ari_shuffled": (0.1, 0.1), "bic": (7000, 7100),
                            "weakest_slsw": (0.8, 0.7)}.items():  # fmt: skip
        rows = rates("k", **{"2": (values[0], NAN, NAN, 900), "3": (values[1], NAN, NAN, 900)})
        least = 0.75 if measure in ("ari", "weakest_slsw") else NAN
        draft.estimate(pd.DataFrame(rows).assign(baseline=least), at["criteria"], measure, unit="ratio")
    weak = rates("segment", **{"0": (0.9, NAN, NAN, 60), "1": (0.8, NAN, NAN, 40)})
    draft.estimate(weak, at["slsw"], "slsw", unit="ratio")
    for segment, price, plan in (("0", 0.9, 0.5), ("1", 0.1, 0.45)):
        shares = [*rates("wants_price", yes=(price, 0, 1, 60)), *rates("product", plan=(plan, 0, 1, 60))]
        draft.estimate(shares, at["profile"], "profile_share", subject=segment)
    sizes = rates("segment", **{"0": (0.6, 0.5, 0.7, 900), "1": (0.4, 0.3, 0.5, 900)})
    draft.estimate(sizes, at["segments"], "segment_share")
    draft.estimate(rates("segment", **{"0": (120, 100, 140, 900)}), at["segments"], "n_accounts", unit="count")
    _explored(draft, at["explore"])
    _chosen(draft, at)
    return draft


def _explored(draft: Draft, at: Origin) -> None:
    """Before any cut: shares in the market, missing answers, a pair that goes together, dimensions."""
    draft.estimate(rates("wants_price", yes=(0.5, 0.4, 0.6, 120)), at, "profile_share")
    draft.estimate(rates("wants_price", **{"": (0.05, 0.03, 0.07, 900)}), at, "missing_share")
    pair = pd.DataFrame(rates("wants_price", yes=(-0.5, -0.6, -0.4, 900))).assign(within="product=plan")
    looks = gain_looks(pair, at, measure="association").assign(within=pair["within"])
    draft.closed.append(judged(looks, "who they are"))
    parts = pd.DataFrame(rates("component", **{"1": (0.3, NAN, NAN, 900)})).assign(baseline=0.1)
    draft.estimate(parts, at, "component_share")
    draft.count([{"estimate": 2, "n": 900}], at, "n_dimensions")


def _chosen(draft: Draft, at: dict[str, Origin]) -> None:
    """Criteria, the segments' scores, and what became of them since the last wave."""
    draft.count([{"estimate": 800}], at["segmenting"], "n_ended")
    draft.count([{"estimate": 0.1}], at["ideal"], "smallest_share", unit="rate")
    draft.count([{"field": "criterion", "level": "size", "estimate": 3}], at["ideal"], "attractiveness_weight")
    for axis in ("attractiveness", "strength"):
        scores = rates("segment", **{"0": (0.9, 0.4, 1.4, 60), "1": (-0.9, -1.4, -0.4, 40)})
        draft.estimate(scores, at["targets"], f"{axis}_score", unit="ratio")
    for measure, n in {"n_last_wave": 300, "earlier_segments": 2}.items():
        draft.count([{"estimate": n}], at["held"], measure)
    draft.estimate(whole(0.85, 0.8, 0.9, 300), at["held"], "wave_agreement", unit="ratio")
    change = rates("segment", **{"0": (0.06, 0.01, 0.11, 300)})
    draft.estimate(change, at["held"], "wave_share_change", unit="points")


def grown() -> pd.DataFrame:
    """A segment that is more common in the last wave."""
    look = {"measure": "wave_share", "family": "who they are", "notebook": "01_research", "cell": "held"}
    figures = {"estimate": 0.66, "low": 0.6, "high": 0.71, "n": 300}
    return claims(look | figures | {"claim_id": "wave-share-1", "field": "segment", "level": "0"})


CLAIMS = stacked([_research().claims(), grown()], CLAIM_COLUMNS)
