"""Differences in win rate that do not hold like for like: none is handed on without saying so."""

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import joined
from closedloop.documents.pieces import Sentence, stating
from closedloop.documents.wording import Words, about, evidence_of, recorded, records, sentence
from closedloop.loop.comparisons import TURNS, UNLIKE, turning


def turned(claim: dict[str, object], words: Words) -> Sentence:
    """What becomes of a difference once like is compared with like; ``claim``: one on ``TURNS`` of ``UNLIKE``."""
    within, counted = (numbers.signed_points(claim[name]) for name in ("estimate", "baseline"))
    said, tail = {
        TURNS["yes"]: ("the difference turns round", ""),
        TURNS["nothing"]: ("nothing is left of the difference", f": it is the {words.column(str(claim['within']))}"),
        TURNS["maybe"]: ("the difference may not hold", ""),
    }[str(claim["measure"])]
    text = f"{about(claim, words)} – {said}: {within}, against {counted} as counted{tail}"
    return stating(f"{text} ({evidence_of(claim, words)}).", claim)


def unlike(ledger: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """What becomes of these differences that do not hold like for like, the surest answer of each first."""
    measures = [TURNS[answer] for answer in UNLIKE]
    found = ledger[ledger["measure"].isin(measures)].drop_duplicates(["measure", "field", "level", "within"])
    found = found.assign(_order=found["measure"].map(measures.index)).sort_values("_order", kind="stable")
    pairs = set(zip(claims["field"], claims["level"], strict=True))
    is_asked = [pair in pairs for pair in zip(found["field"], found["level"], strict=True)]
    return found[pd.Series(is_asked, index=found.index, dtype=bool)].drop(columns="_order")


def honestly(claims: pd.DataFrame, ledger: pd.DataFrame, words: Words) -> list[Sentence]:
    """The sentence of every claim; in the same breath that it does not hold, or that its field is recorded unevenly."""
    is_turned = turning(claims, ledger)
    uneven = ledger[(ledger["measure"] == "recorded_share") & (ledger["verdict"] == "supported")]
    told = []
    for place, (claim, turns) in enumerate(zip(records(claims), is_turned, strict=True)):
        said = [sentence(claim, words)]
        if turns:
            said += [turned(row, words) for row in records(unlike(ledger, claims.iloc[[place]]))]
        is_own = (uneven["field"] == claim["field"]) & (uneven["source_table"] == claim["source_table"])
        said += [recorded(row, words) for row in records(uneven[is_own].head(1))]
        told.append(joined(said))
    return told


def holding(claims: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """The supported claims among these that hold like for like too."""
    held = claims[claims["verdict"] == "supported"]
    return held[~turning(held, ledger)]


def firm(claims: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """The claims without differences that may not hold: those are no advice."""
    is_difference = claims["verdict"].isin(["supported", "leaning"])
    return claims[~(is_difference & turning(claims, ledger, "maybe"))]
