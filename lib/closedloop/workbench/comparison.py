"""What comparisons look like on a page, and why a question about deals or leads cannot be answered."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from closedloop.claims.ledger import turning
from closedloop.errors import ParameterError
from closedloop.period.situation import Situation
from closedloop.presentation.blocks import Listing, Piece, Sentence, claim_ids, stating
from closedloop.presentation.charts import Picture
from closedloop.presentation.sentences import (
    ends,
    holding,
    honestly,
    joined,
    not_compared,
    one_of_each_pair,
    recorded,
    records,
    summary,
    value,
    where,
)
from closedloop.presentation.tables import bars_of, dots_of
from closedloop.presentation.words import Words
from closedloop.workbench.answer import Answer, Evidence

MOST_SENTENCES = 6
SETTLED = 0.005  # misses of entry, not exceptions
FEWEST_SHOWN = 10  # smaller groups are not shown with attributes (privacy, k = 10)
_RANKS = {"supported": 0, "leaning": 1, "indistinguishable": 2, "refused": 3}


def ranked(claims: pd.DataFrame) -> pd.DataFrame:
    """Claims that hold first, then those to watch, the largest effects on top; groups under ten left out."""
    shown = claims[claims["n"].fillna(0) >= FEWEST_SHOWN]
    order = shown.assign(
        _rank=shown["verdict"].map(_RANKS).fillna(4),
        _unit=shown["unit"] != "rate",  # effects of different units have no common order: rates go first
        _size=-shown["effect"].abs(),
        _key=shown["claim_id"],
    )
    return order.sort_values(["_rank", "_unit", "_size", "_key"]).drop(columns=["_rank", "_unit", "_size", "_key"])


def comparison(
    claims: pd.DataFrame, evidence: Evidence, title: str, axis: str, counted: pd.DataFrame | None = None
) -> tuple[Piece, ...]:
    """The usual answer to "what differs?": a figure, what holds in sentences, and how much was compared.

    ``counted``: the claims to count where more was compared than is drawn.
    """
    rows = ranked(one_of_each_pair(claims[claims["family"] != "none"], evidence.words))
    rows = rows[rows[["estimate", "low"]].notna().any(axis=1) & (rows["reason"].fillna("") == "")]
    said = in_words(claims, evidence, counted)
    if rows.empty:
        return said
    chosen = ", ".join(dict.fromkeys(rows["among"].fillna("")))
    among = f"Among {chosen}. " if chosen else ""
    caption = f"{among}Filled point: the difference holds; hollow: it does not."
    return (dots_of(rows, evidence.words, title, axis, caption=caption), *said)


def in_words(claims: pd.DataFrame, evidence: Evidence, counted: pd.DataFrame | None = None) -> tuple[Piece, ...]:
    """``comparison`` without the figure."""
    rows = ranked(one_of_each_pair(claims[claims["family"] != "none"], evidence.words))
    held = rows[rows["verdict"].isin(["supported", "leaning"])]
    is_first = pd.Series(range(len(held)), index=held.index) < MOST_SENTENCES
    said = held[is_first | turning(held, evidence.ledger)]
    listed = (Listing(honestly(said, evidence.ledger, evidence.words)),) if len(said) else ()
    own = claims if counted is None else counted
    chosen = ", ".join(dict.fromkeys(name for name in own["among"].fillna("") if name))
    among = [Sentence(f"Among {chosen}:")] if chosen else []
    cut = "Told here: those of the largest effect, and any that may not hold like for like."
    more = [stating(cut, held)] if len(said) < len(held) else []
    return (joined([*among, *summary(own, evidence.words, evidence.ledger), *more]), *listed)


def strongest(evidence: Evidence) -> list[Sentence]:
    """The largest effect that holds, like for like too; else one that does not, said so; else that nothing differs.

    How fields are recorded, and which of our own methods predicts better, is no finding about the market; nor is what
    all of a persona are, or none: a rule has it so.
    """
    ledger = evidence.ledger
    is_own = ledger["family"].str.endswith("recording") | (ledger["family"] == "duel")
    is_settled = (ledger["measure"] == "share") & ((ledger["estimate"] - 0.5).abs() > 0.5 - SETTLED)
    claims = ledger[~(is_own | is_settled)]
    compared = claims[claims["family"] != "none"]
    supported = compared[compared["verdict"] == "supported"]
    held = pd.concat([ranked(part) for part in (holding(compared, claims), supported)])
    if len(held):
        return honestly(held.head(1), evidence.ledger, evidence.words)
    return [] if compared.empty else summary(claims, evidence.words, claims)


def recording(evidence: Evidence) -> tuple[Piece, ...]:
    """Fields recorded more often for one outcome, with both shares, and those not compared; nothing without any."""
    held = where(evidence.of("recorded_share"), verdict="supported")
    lines = [recorded(claim, evidence.words) for claim in records(held)]
    lines += without_comparison(where(evidence.claims, unit="rate"), evidence.words)
    return (Listing(lines),) if lines else ()


def without_comparison(claims: pd.DataFrame, words: Words) -> list[Sentence]:
    """Levels of which something else than their number hinders a comparison, by measure, field and reason."""
    unfit = claims[(claims["family"] != "none") & (claims["reason"].fillna("") != "")]
    return [not_compared(part, words) for _, part in unfit.groupby(["measure", "field", "reason"])]


def status_bars(counts: pd.DataFrame, shares: pd.DataFrame, words: Words, title: str, caption: str) -> Picture:
    """Leads at each status as bars, each with its share and interval where one is stated."""
    known = {claim["level"]: claim for claim in records(shares)}

    def remark(claim: Mapping[str, Any]) -> str:
        share = known.get(claim["level"])
        return "" if share is None else f"{value(share, words)} ({ends(share, words)})"

    picture = bars_of(counts, title, "leads", level_of(words), remark, caption)
    return replace(picture, claims=claim_ids(counts, shares))


def level_of(words: Words) -> Callable[[Mapping[str, Any]], str]:
    """How a claim's level is named where the heading names the field."""
    return lambda claim: words.level(str(claim["field"]), claim["level"])


SAME_DAY = "Every deal ends on the day it is opened"
NO_LEADS = "No leads were known: collect `leads` with channel, hand-off and acceptance dates, and `spend` per channel."
NO_LEADS_CHOSEN = "No lead of the periods looked at is among those that were chosen."
NO_PERSONA_CHANNELS = (
    "Channels cannot be compared by persona: collect `leads.channel` and `leads.campaign`, and fields by which "
    "leads are told apart."
)


def no_deals(answer: Answer) -> bool:
    """Are there no deals to ask about? Then the answer says so."""
    if len(answer.rows):
        return False
    situation = answer.now.situation
    if not situation.view.has("deals"):
        answer.missing[answer.section] = "No deals are recorded: collect `deals` with dates and outcomes."
    elif situation.deals.empty:
        text = "No deals are recorded up to that day: collect `deals` with dates and outcomes."
        answer.missing[answer.section] = text
    else:
        answer.missing[answer.section] = (
            "No deal of the periods looked at was known on that day: nothing has ended yet, or nothing was chosen."
        )
    return True


def no_days(situation: Situation, deals: pd.DataFrame) -> str:
    """Why no deal of the market has an age in days; nothing where some have one."""
    clock = situation.definition.clock
    if clock != "day":
        kept = {"month": "only months", "order": "only the order of deals", "none": "no dates"}[clock]
        return f"The source records {kept}, so how many days a deal takes is unknown: collect the day of both its ends."
    if deals["age_days"].notna().any() or deals.empty:
        return ""
    lacking = [name for name in ("created_on", "closed_on") if deals[name].isna().all()]
    if lacking:
        return f"No deal records {' or '.join(lacking)}, so how many days a deal takes is unknown: collect it."
    return "No deal records both its days, created_on and not before it closed_on: collect both of every deal."


def no_leads(answer: Answer) -> bool:
    """Are there no leads to ask about? Then the answer says so; errors: ParameterError for rows that are no leads."""
    if len(answer.rows) and not answer.is_recorded:
        raise ParameterError(
            f"{answer.verb}: these {len(answer.rows):,} rows are no leads of the open period; "
            "pass now.leads(), or rows chosen from it that keep its index"
        )
    if not len(answer.rows):
        has_leads = len(answer.now.records.get("leads", ())) > 0
        answer.missing[answer.section] = NO_LEADS_CHOSEN if has_leads else NO_LEADS
    return answer.rows.empty
