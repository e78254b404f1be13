"""Why deals were lost, as sellers recorded it and as buyers said it: accounts, not causes."""

from collections.abc import Sequence

import pandas as pd

from closedloop.period.counting import LEAST_SHOWN, rates, shares
from closedloop.personas.notes import notes
from closedloop.presentation.blocks import Note, Piece, Sentence, stating
from closedloop.presentation.findings import backed, dots_of
from closedloop.presentation.sentences import records
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of
from closedloop.workbench.gaps import no_deals
from closedloop.workbench.period import opened

_ACCOUNTS = {"loss_share": "the seller's account", "buyer_loss_share": "the buyer's account"}
_FEW_EACH = "Every reason was named fewer than ten times, too seldom to be shown."


def loss_reasons(deals: pd.DataFrame, *, among: str | None = None) -> Answer:
    """Shares of the reasons of lost deals, by sellers and by buyers (notes of kind loss), with multinomial intervals.

    What was named fewer than ten times counts in the total and is not shown.
    """
    now = opened()
    answer = now.ask("loss_reasons", "loss_reasons", deals, "deals", _show, among=among)
    if no_deals(answer):
        return answer
    lost = answer.rows[answer.rows["outcome"].isin(["lost", "no_decision"])]
    origin = answer.origin(lost["closed_on"])
    if "loss_reason" in lost and lost["loss_reason"].notna().any():
        answer.estimate(shares(lost["loss_reason"], "loss_reason"), origin, "loss_share")
        uncoded = rates([("", lost["loss_reason"].isna().sum(), len(lost))], "")
        answer.estimate(uncoded, origin, "uncoded_loss_share")
    every = notes(now.situation, now.personas)
    said = every[(every["kind"] == "loss") & (every["from_team"] == "buyer") & every["deal_id"].isin(lost["deal_id"])]
    said = said.drop_duplicates("deal_id")
    if len(said):
        answer.estimate(shares(said["topic"], "topic"), origin._replace(source_table="notes"), "buyer_loss_share")
    if len(said) and "loss_reason" in lost:
        both = lost.merge(said[["deal_id", "topic"]], on="deal_id").dropna(subset=["loss_reason", "topic"])
        is_same = both["loss_reason"] == both["topic"]
        answer.estimate(rates([("", is_same.sum(), len(both))], ""), origin, "loss_reason_agreement")
        answer.results["loss_reason_agreement"] = float(is_same.mean()) if len(both) >= LEAST_SHOWN else None
    if answer.stated.empty:
        answer.missing["loss_reasons"] = (
            f"No reason is recorded for {LEAST_SHOWN} of the {len(lost)} deals that were lost. Collect "
            "deals.loss_reason from the closed list, and ask some buyers (notes of kind loss)."
            if len(lost)
            else "No deal was lost, so there is no reason of a loss."
        )
    return answer


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    pieces: list[Piece] = []
    name = level_of(shown.words)
    for measure, account in _ACCOUNTS.items():
        rows = shown.of(measure).sort_values("estimate", ascending=False, kind="stable")
        if len(rows):
            top = records(rows.head(1))[0]
            heading = f"{title or 'Why were deals lost?'} By {account}"
            pieces.append(dots_of(rows, shown.words, heading, "share of lost deals with a reason", name))
            pieces.append(stating(f"By {account}: {name(top)} first, {backed(top, shown.words)}.", top))
    for measure, text in (
        ("uncoded_loss_share", "of lost deals have no reason recorded"),
        ("loss_reason_agreement", "of deals with both accounts: seller and buyer name the same reason"),
    ):
        pieces += [stating(f"{backed(row, shown.words)} {text}.", row) for row in records(shown.of(measure))]
    pieces += [] if shown.of(*_ACCOUNTS).size else [Sentence(_FEW_EACH)]
    return (*pieces, Note("Reasons are what somebody said about the loss, not its proven cause."))
