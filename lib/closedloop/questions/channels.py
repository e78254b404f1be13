"""What channels and campaigns cost and brought, and what to do with each: over all, and for every persona."""

from collections.abc import Mapping, Sequence

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.channel_advice import advise
from closedloop.documents.findings import Claim, Column, table_of, value, where
from closedloop.documents.pieces import Listing, Note, Piece, Sentence, stating
from closedloop.evidence.claims import COST, Origin
from closedloop.evidence.money_looks import cost_looks
from closedloop.loop.comparisons import MESSAGES
from closedloop.loop.counting import LEAST_SHOWN, levels
from closedloop.loop.records import won
from closedloop.questions.amounts import PER_DECIDED, per_decided
from closedloop.questions.answer import Answer
from closedloop.questions.comparison import level_of
from closedloop.questions.conversions import left_out
from closedloop.questions.evidence import Evidence
from closedloop.questions.gaps import NO_PERSONA_CHANNELS, no_leads
from closedloop.questions.matured_leads import Matured, costs, matured, stated
from closedloop.questions.period import opened
from closedloop.questions.redraws import CostRedraw

_MOST_CELLS = 40  # personas by channels
_NO_CHANNEL = "The leads that had time to be won record fewer than two channels: collect `leads.channel`."
_TOO_FEW = "Fewer than two channels had ten leads that had time to be won: collect leads of earlier periods as well."
_NO_SPEND = (
    "No spend is recorded, so the cost of an accepted lead or a won deal is unknown. "
    "Collect `spend` per channel and month."
)
_COLUMNS: Mapping[str, str | tuple[str, Column]] = {
    "n_leads": "leads",
    "n_accepted": "accepted",
    "n_won": "won deals",
    "spent_amount": "spent",
    "cost_per_accepted_amount": ("cost per accepted lead", "backed"),
    "cost_per_won_amount": ("cost per won deal", "backed"),
    "won_amount_per_decided": ("won per decided deal of the window", "backed"),
}
_PERSONA_COLUMNS: Mapping[str, str | tuple[str, Column]] = {
    "n_leads": "leads",
    "n_won": "won deals",
    "persona_accepted_rate": ("accepted (90 % interval)", "backed"),
    "cost_per_accepted_amount": ("cost per accepted lead", "backed"),
    "cost_per_won_amount": ("cost per won deal", "backed"),
}


def channels(
    leads: pd.DataFrame,
    spend: pd.DataFrame,
    deals: pd.DataFrame | None = None,
    *,
    by_persona: bool = False,
    among: str | None = None,
) -> Answer:
    """What a won deal costs by each channel against all others together, and what to do with the channel.

    Counted are ``leads`` (all that are known) that had time to be won, and the money of the same days. The two costs
    are compared by the exact binomial of their won deals, the money given (METHODS 5). ``deals``: ended ones, for what
    a decided one brings. ``by_persona``: the same for every persona's leads, which bear their part of the money.
    """
    now, frames = opened(), {"spend": spend, "deals": pd.DataFrame() if deals is None else deals}
    section, show = ("persona_channels", _show_personas) if by_persona else ("channels", _show_market)
    answer = now.ask("channels", section, leads, "leads", show, among=among, others=frames, by_persona=by_persona)
    if no_leads(answer):
        return answer
    grown = matured(now.situation, answer.rows, spend)
    ended = now.rows(frames["deals"], "deals")[0]
    if by_persona:
        _of_personas(answer, grown, ended)
    else:
        _of_market(answer, grown, ended, has_spend=len(spend) > 0)
    return answer


def _of_market(answer: Answer, grown: Matured, ended: pd.DataFrame, *, has_spend: bool) -> None:
    """State leads, costs and amounts of every channel, and compare what a won deal costs."""
    _state_amounts(answer, ended)
    if not has_spend:
        answer.missing["cost"] = _NO_SPEND
    if "channel" not in grown.leads or (grown.leads["channel"].value_counts() >= LEAST_SHOWN).sum() < 2:
        several = "channel" in grown.leads and grown.leads["channel"].nunique() > 1
        answer.missing["channels"] = _TOO_FEW if several else _NO_CHANNEL
        return
    origin = Origin(answer.now.notebook, answer.section, "leads", *grown.span)
    has_days = grown.days_to_win is not None and answer.now.definition.has_calendar
    if has_days and grown.leads["is_won"].sum() >= LEAST_SHOWN:
        answer.count([{"estimate": grown.days_to_win, "n": len(grown.leads)}], origin, "days_to_win", unit="days")
    for row in grown.left_out:
        answer.count([row], origin._replace(source_table=str(row["table"])), "n_uncounted")
    _state(answer, grown, "channel", origin)
    totals = grown.totals("channel")
    spent = stated(totals, "channel", estimate=totals["spent"])
    answer.count(spent, origin._replace(source_table="spend"), "spent_amount", unit="amount")


def _of_personas(answer: Answer, grown: Matured, ended: pd.DataFrame) -> None:
    """State and compare the same within every persona's leads."""
    for persona, part in ended.groupby("persona") if len(ended) else ():
        _state_amounts(answer, part, str(persona))
    origin = Origin(answer.now.notebook, answer.section, "leads", *grown.span)
    for persona in grown.personas:
        for field in (name for name in MESSAGES if name in grown.leads):
            _state(answer, grown, field, origin, persona)
    if not grown.personas or not grown.leads.columns.isin(MESSAGES).any():
        answer.missing["persona_channels"] = NO_PERSONA_CHANNELS


def _state_amounts(answer: Answer, ended: pd.DataFrame, subject: str = "market") -> None:
    """What a decided deal of each channel brings, of the deals that ended."""
    if answer.now.situation.has_only_won or not {"channel", "won_amount"} <= set(ended):
        return
    decided = ended[won(ended).notna()]
    sold = decided.assign(is_won=decided["outcome"] == "won", amount=decided["won_amount"].astype("float64"))
    rows = per_decided(sold, levels(sold, ["channel"])["channel"], "channel")
    origin = answer.origin(sold["closed_on"], section="channels", table="deals")
    answer.estimate(rows, origin, PER_DECIDED, unit="amount", subject=subject)


def _state(answer: Answer, grown: Matured, field: str, origin: Origin, persona: str = "") -> None:
    """Leads, accepted and won ones, and costs of every level; what a won deal costs is compared between channels."""
    totals, subject = grown.totals(field, persona), persona or "market"
    for measure in ("n_leads", "n_accepted", "n_won"):
        counted = totals["n" if measure == "n_leads" else measure]
        answer.count(stated(totals, field, estimate=counted), origin, measure, subject=subject)
    accepted = costs(totals, field, "n_accepted")
    answer.estimate(accepted, origin, "cost_per_accepted_amount", unit="amount", subject=subject)
    if field != "channel":
        answer.estimate(costs(totals, field, "n_won"), origin, COST, unit="amount", subject=subject)
        return
    rows = totals.rename(columns={"n_won": "k"}).fillna({"k": 0.0}).reset_index().assign(field="channel")
    own = grown.of(persona)
    redraw = CostRedraw("leads", own["lead_id"], own["channel"], own["channel_amount"], COST, subject)
    answer.compare(cost_looks(rows, origin, measure=COST, subject=subject, least=LEAST_SHOWN), redraw)


def _show_market(shown: Evidence, title: str) -> Sequence[Piece]:
    own = where(shown.cell("channels"), field="channel", subject="market")
    columns = {**_COLUMNS, "advice": ("what to do", _marks(shown))}
    listed = table_of(own, shown.words, "channel", columns, label=level_of(shown.words))
    lines = Listing([advice.line for advice in advise(_beside(shown), shown.words)])
    note = (
        "Use or stop: a won deal costs less or more than over the other channels, by more than the luck of both. Keep: "
        "no such difference, though there were enough to show twice the cost. Test: too few. Costs are totals, not the "
        "price of one more deal."
    )
    return listed, lines, *_which_count(shown), Note(note)


def _show_personas(shown: Evidence, title: str) -> Sequence[Piece]:
    rows = where(_beside(shown), cell="persona_channels", field="channel")
    columns = {**_PERSONA_COLUMNS, "advice": ("what to do", _marks(shown))}
    note = (
        "A lead of a channel is taken to cost the same whoever it is. Leads, won deals and costs are of leads that had "
        "time to be won; acceptance is of the latest. Where a persona has too few won deals, all personas decide."
    )
    listed = table_of(rows, shown.words, "persona and channel", columns, limit=_MOST_CELLS)
    return listed, Note(note)


def _beside(shown: Evidence) -> pd.DataFrame:
    """What the notebook claims of the same cases, since advice needs more than costs."""
    among = shown.ledger["among"].fillna("")
    return shown.ledger[among.isin(shown.claims["among"].fillna("").unique())]


def _marks(shown: Evidence) -> Column:
    """What to do with a row's channel, for the row's persona or the market."""
    subjects = where(shown.of("n_leads"), field="channel")["subject"].unique()
    marks = {
        (subject, advice.channel): advice.mark
        for subject in map(str, subjects)
        for advice in advise(_beside(shown), shown.words, subject)
    }

    def mark(row: Mapping[str, Claim]) -> str:
        claim = next(iter(row.values()))
        return marks.get((str(claim["subject"]), str(claim["level"])), numbers.MISSING)

    return mark


def _which_count(shown: Evidence) -> list[Sentence]:
    """Which leads and which money count."""
    wait, others = shown.first("days_to_win"), left_out(shown, "channels")
    if wait is None:
        return others
    text = (
        f"Counted are {numbers.count(wait['n'])} leads that had {value(wait, shown.words)} to be won, and the money of "
        "the same days: by then nine of ten won leads had been won, of the slowest channel too. Later leads, and what "
        "they cost, are left out."
    )
    return [stating(text, wait), *others]
