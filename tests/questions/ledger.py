"""Hand-made claims of 04 and 06, and how an answer shows them."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from closedloop.documents.pieces import Piece
from closedloop.evidence.claims import (
    CLAIM_COLUMNS,
    LOOK_COLUMNS,
    Origin,
    close_family,
    counted,
    estimated,
    outside,
    stacked,
    typed,
)
from closedloop.evidence.gains import gain_looks
from closedloop.evidence.looks import meta_of
from closedloop.questions.evidence import Evidence
from closedloop.terms import REJECTED_UNTOUCHED

from tests.documents.ledger import claims, words

NAN = float("nan")
FIGURES = ("estimate", "low", "high", "n")
Show = Callable[[Evidence, str], Sequence[Piece]]


def seen(own: pd.DataFrame, **more: Any) -> Evidence:
    """What an answer sees whose claims are all there is; ``more``: its tables, results and other definition."""
    ledger = more.pop("ledger", own)
    return Evidence(more.pop("words", words(fast="Fast start")), "2025-q1", own, ledger, **more)


def plain(shown: object) -> str:
    """What is shown, as text with plain spaces; of several pieces one below the other."""
    parts = shown if isinstance(shown, list | tuple) else [shown]
    return "\n".join(map(repr, parts)).replace("\N{NO-BREAK SPACE}", " ")


def rates(field: str, **levels: tuple[float, ...]) -> list[dict[str, Any]]:
    """Estimate, low, high, n of each level as rows of statements."""
    return [{"field": field, "level": level, **dict(zip(FIGURES, of, strict=True))} for level, of in levels.items()]


def totals(field: str, n: int, **levels: float) -> list[dict[str, Any]]:
    """How many each level are, of ``n``."""
    return [{"field": field, "level": level, "estimate": k, "n": n} for level, k in levels.items()]


def whole(*figures: float) -> list[dict[str, Any]]:
    """Estimate, low, high, n of all together."""
    return rates("", **{"": figures})


def handoff() -> pd.DataFrame:
    """Fifty leads, handed off and promised."""

    def at(cell: str) -> Origin:
        return Origin("04_handoff", cell, "leads", "2025-q1", "2025-q1")

    reasons = rates("rejection_reason", too_early=(0.6, 0.5, 0.7, 100), no_need=(0.4, 0.3, 0.5, 100))
    kinds = totals("kind", 40, **{"rejected, yet won later": 3, "accepted, yet never touched": 0})
    kinds += totals("kind", 18, **{REJECTED_UNTOUCHED: 9})
    kept = {"field": "promise", "level": "n_leads", "estimate": 120, "baseline": 100, "effect": 20}
    inside = {"field": "promise", "level": "accepted_rate", "estimate": 0.5, "low": 0.4, "high": 0.6, "n": 45}
    unknown = {"field": "promise", "level": "first_touch_days", "baseline": 2}
    found = [
        counted(totals("status", 50, handed_off=50, waiting=5), at("waterfall"), measure="n_reached"),
        estimated(rates("status", waiting=(0.1, 0.05, 0.2, 50)), at("waterfall"), measure="reached_share"),
        estimated(whole(0.6, 0.49, 0.7, 45), at("waterfall"), measure="accepted_rate"),
        estimated(whole(4, 3, 5, 50), at("first_touch"), measure="first_touch_median_days", unit="days"),
        estimated(whole(0.25, 0.16, 0.36, 50), at("first_touch"), measure="never_touched_share"),
        estimated(whole(0.3, 0.2, 0.42, 48), at("first_touch"), measure="touched_in_time_share"),
        estimated(reasons, at("rejections"), measure="rejection_share"),
        counted(totals("rejection_reason", 100, too_early=60, no_need=40), at("rejections"), measure="n_rejected"),
        counted(kinds, at("disagreements"), measure="n_disagreements"),
        counted([kept], at("promises"), measure="promise"),
        estimated([inside | {"baseline": 0.6, "effect": -0.1}], at("promises"), measure="promise"),
        estimated([unknown], at("promises"), measure="promise", unit="days"),
        counted([{"estimate": 1, "n": 2}], at("promises"), measure="n_promises_kept"),
    ]
    return _of_none(found)


def _of_none(statements: list[pd.DataFrame]) -> pd.DataFrame:
    return outside(pd.concat(statements, ignore_index=True), market="yard", period="2025-q1")


def _closed(family: str, looks: pd.DataFrame) -> pd.DataFrame:
    return close_family(looks, family=family, market="yard", period="2025-q1")


def refinement() -> pd.DataFrame:
    """A duel that was won, a split that holds, a doubtful promise, a persona that moved, and a worse order."""

    def at(cell: str) -> Origin:
        return Origin("06_refinement", cell, "deals", "2025-q1", "2025-q1")

    statements, families = [], []
    for measure, gain in (("log_loss", 0.6), ("auc_within", 0.61)):
        both = rates("contender", **{"proposal": (gain, NAN, NAN, 200), "in force": (0.55, NAN, NAN, 200)})
        statements.append(estimated(both, at("duel"), measure=measure, unit="ratio"))
        gained = rates("contender", proposal=(gain - 0.55, 0.01, 0.09, 200))
        families.append(_closed("duel", gain_looks(gained, at("duel"), measure=f"{measure}_gain")))
    promised = [whole(0.44, 0.4, 0.52, 80)[0] | {"subject": "fast"}]
    statements.append(estimated(promised, at("promises"), measure="promised_win_rate"))
    moved = whole(0.2, 0.1, 0.3, 60)[0] | {"subject": "fast", "baseline": 0.4, "effect": -0.2, "p": 0.001}
    meta = meta_of(at("drift"), "drift_win_rate", "rate", "descriptive") | {"against": "2024-q4", "beyond": 0.99}
    families.append(_closed("how they end", typed([moved | meta], LOOK_COLUMNS)))
    new = rates("drift", definition=(0.02, 0.0, 0.06, 60))
    statements.append(estimated(new, at("drift"), measure="unseen_share"))
    called = rates("order", **{"as called": (0.3, 0.25, 0.35, 200)})
    statements.append(estimated(called, at("off_policy"), measure="order_won_rate"))
    order = pd.DataFrame(rates("order", **{"by the personas' promise": (0.2, 0.15, 0.24, 90)})).assign(baseline=0.3)
    other = gain_looks(order, at("off_policy"), measure="order_won_rate", unit="rate").assign(among="")
    families[-1] = _closed("how they end", stacked([typed([moved | meta], LOOK_COLUMNS), other]))
    sizes = {"at random": (31.4, NAN, NAN, 200), "by the personas' promise": (62, NAN, NAN, 90)}
    worth = pd.DataFrame(rates("order", **sizes)).assign(baseline=50.0)
    statements.append(estimated(worth, at("off_policy"), measure="effective_sample", unit="count"))
    fast = {"family": "edit", "family_size": 3, "notebook": "06_refinement", "cell": "edits", "subject": "fast"}
    promise = {"claim_id": "promise-1", "family": "promise", "measure": "promise_gap", "field": "", "level": ""}
    edits = claims(
        fast | {"claim_id": "edit-1"},
        fast | promise | {"verdict": "leaning"},
        fast | {"claim_id": "edit-3", "level": "1", "verdict": "indistinguishable"},
    )
    return stacked([_of_none(statements), *families, edits], CLAIM_COLUMNS)
