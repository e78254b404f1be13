"""Hand-made claims of 06 refinement, as its verbs leave them."""

import pandas as pd
from closedloop.claims.comparisons import gain_looks, meta_of
from closedloop.claims.ledger import CLAIM_COLUMNS, LOOK_COLUMNS, Origin, stacked, typed

from tests.documents.ledger import NAN, Draft, claims, judged, rates, whole


def refinement() -> pd.DataFrame:
    """A duel that is better, a split that holds, a doubtful promise, a persona that moved, and a worse order."""

    def at(cell: str) -> Origin:
        return Origin("06_refinement", cell, "deals", "2025-q1", "2025-q1")

    draft = Draft()
    for measure, gain in (("log_loss", 0.6), ("auc_within", 0.61)):
        losses = {"set in force": (gain, NAN, NAN, 200), "renewed rates alone": (0.55, NAN, NAN, 200)}
        both = rates("contender", **losses)
        draft.estimate(both, at("duel"), measure, unit="ratio")
        gained = rates("contender", **{"renewed rates alone": (gain - 0.55, 0.01, 0.09, 200)})
        draft.closed.append(judged(gain_looks(gained, at("duel"), measure=f"{measure}_gain"), "duel"))
    promised = [whole(0.44, 0.4, 0.52, 80)[0] | {"subject": "fast"}]
    draft.estimate(promised, at("promises"), "promised_win_rate")
    moved = whole(0.2, 0.1, 0.3, 60)[0] | {"subject": "fast", "baseline": 0.4, "effect": -0.2, "p": 0.001}
    meta = meta_of(at("drift"), "drift_win_rate", "rate", "descriptive") | {"against": "2024-q4", "beyond": 0.99}
    new = rates("drift", definition=(0.02, 0.0, 0.06, 60))
    draft.estimate(new, at("drift"), "unseen_share")
    called = rates("order", **{"as called": (0.3, 0.25, 0.35, 200)})
    draft.estimate(called, at("off_policy"), "order_won_rate")
    order = pd.DataFrame(rates("order", **{"by the personas' promise": (0.2, 0.15, 0.24, 90)})).assign(baseline=0.3)
    other = gain_looks(order, at("off_policy"), measure="order_won_rate", unit="rate").assign(among="")
    draft.closed.append(judged(stacked([typed([moved | meta], LOOK_COLUMNS), other])))
    sizes = {"at random": (31.4, NAN, NAN, 200), "by the personas' promise": (62, NAN, NAN, 90)}
    worth = pd.DataFrame(rates("order", **sizes)).assign(baseline=50.0)
    draft.estimate(worth, at("off_policy"), "effective_sample", unit="count")
    fast = {"family": "edit", "family_size": 3, "notebook": "06_refinement", "cell": "edits", "subject": "fast"}
    promise = {"claim_id": "promise-1", "family": "promise", "measure": "promise_gap", "field": "", "level": ""}
    edits = claims(
        fast | {"claim_id": "edit-1"},
        fast | promise | {"verdict": "leaning"},
        fast | {"claim_id": "edit-3", "level": "1", "verdict": "indistinguishable"},
    )
    return stacked([draft.claims(), edits], CLAIM_COLUMNS)


CLAIMS = refinement()
