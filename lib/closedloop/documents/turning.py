"""Differences in win rate that turn round once like is compared with like: none is handed on without saying so."""

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import joined
from closedloop.documents.pieces import Sentence, stating
from closedloop.documents.wording import Words, about, evidence_of, recorded, records, sentence
from closedloop.loop.comparisons import TURNS


def turned(claim: dict[str, object], words: Words) -> Sentence:
    """That a difference turns round; ``claim``: one on ``TURNS["yes"]``."""
    within, counted = (numbers.signed_points(claim[name]) for name in ("estimate", "baseline"))
    text = f"{about(claim, words)} – the difference turns round: {within}, against {counted} as counted"
    return stating(f"{text} ({evidence_of(claim, words)}).", claim)


def turning(claims: pd.DataFrame, ledger: pd.DataFrame, *answers: str) -> "pd.Series[bool]":
    """Which of these claims are win rates whose difference turns round: "yes", "maybe", or either of both."""
    asked = ledger[ledger["measure"].isin([TURNS[answer] for answer in answers])]
    found = set(zip(asked["field"], asked["level"], strict=True))
    is_met = [pair in found for pair in zip(claims["field"], claims["level"], strict=True)]
    is_whole = (claims["measure"] == "win_rate") & (claims["subject"] == "market")
    return pd.Series(is_met, index=claims.index, dtype=bool) & is_whole


def honestly(claims: pd.DataFrame, ledger: pd.DataFrame, words: Words) -> list[Sentence]:
    """The sentence of every claim; in the same breath that it turns round, or that its field is recorded unevenly."""
    is_turned = turning(claims, ledger, "yes")
    reversed_ones = ledger[ledger["measure"] == TURNS["yes"]].drop_duplicates(["field", "level", "within"])
    uneven = ledger[(ledger["measure"] == "recorded_share") & (ledger["verdict"] == "supported")]
    told = []
    for claim, turns in zip(records(claims), is_turned, strict=True):
        said = [sentence(claim, words)]
        if turns:
            own = (reversed_ones["field"] == claim["field"]) & (reversed_ones["level"] == claim["level"])
            said += [turned(row, words) for row in records(reversed_ones[own])]
        is_own = (uneven["field"] == claim["field"]) & (uneven["source_table"] == claim["source_table"])
        said += [recorded(row, words) for row in records(uneven[is_own].head(1))]
        told.append(joined(said))
    return told


def firm(claims: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """The claims without differences that may turn round: those are no advice."""
    is_difference = claims["verdict"].isin(["supported", "leaning"])
    return claims[~(is_difference & turning(claims, ledger, "maybe"))]
