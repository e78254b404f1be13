"""What a won deal costs by channel: counted on leads that had time to be won, and on the money of the same days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import cost_looks
from closedloop.claims.ledger import COST, Origin
from closedloop.period.counting import LEAST_SHOWN, column, levels, won
from closedloop.period.lead_records import ALL_DAYS, MESSAGES, deal_records, first_won, handed_off, has_days, uncovered
from closedloop.period.situation import Situation
from closedloop.presentation import numbers
from closedloop.presentation.advice import advise
from closedloop.presentation.blocks import Listing, Note, Piece, stating
from closedloop.presentation.sentences import Claim, value, where
from closedloop.presentation.tables import Column, table_of
from closedloop.questions.deals.amounts import PER_DECIDED, per_decided
from closedloop.questions.leads.conversions import left_out
from closedloop.statistics.cumulative_incidence import days_to_most
from closedloop.statistics.proportions import wilson
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import NO_PERSONA_CHANNELS, level_of, no_leads
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import CostRedraw


@dataclass(frozen=True)
class Matured:
    """Leads that had time to be won, and the money of the same days.

    As many days as the window has, ended early enough that nine of ten won leads of the slowest channel had been won:
    so money without an outcome yet makes no channel look dear. ``leads`` bear the money of their channel and campaign
    evenly (``<field>_amount``): a lead of a channel is taken to cost the same whoever it is.
    """

    leads: pd.DataFrame
    days_to_win: float | None  # None where no dates tell; positions where they only give an order
    span: tuple[str, str]
    left_out: tuple[dict[str, object], ...] = ()  # leads that came when deals or spend were not recorded, as statements

    def totals(self, field: str, persona: str = "") -> pd.DataFrame:
        """Leads, accepted and won ones and money of every level, of all or of one persona; index: the level."""
        rows = self.of(persona)
        by = rows.groupby(rows[field].astype("str"))
        sums = {name: by[of].sum(min_count=1).astype("float64") for name, of in _SUMMED.items()}
        totals = pd.DataFrame({"n": by.size(), **sums, "spent": by[f"{field}_amount"].sum(min_count=1)})
        return totals.rename_axis("level").sort_values("n", ascending=False, kind="stable")

    def of(self, persona: str) -> pd.DataFrame:
        """The leads of one persona; of all without a name."""
        return self.leads[self.leads["persona"] == persona] if persona else self.leads

    @property
    def personas(self) -> list[str]:
        """The personas whose costs are told; one for everyone is the whole market."""
        sizes = self.leads["persona"].value_counts()
        return sorted(map(str, sizes[sizes >= LEAST_SHOWN].index)) if len(sizes) > 1 else []


_SUMMED = {"n_accepted": "is_accepted", "n_won": "is_won"}


def matured(situation: Situation, leads: pd.DataFrame, spend: pd.DataFrame) -> Matured:
    """The ``leads`` (of ``records.lead_frame``, with persona) that had time to be won, and their part of ``spend``."""
    born = column(leads, "created_on").fillna(handed_off(leads))
    wait = _days_to_win(situation, leads, born)
    shift = timedelta(days=wait or 0)
    first, until = situation.window_start - shift, pd.Timestamp(situation.on) - shift if wait is not None else None
    is_in = ~(born < first) & (True if until is None else ~(born >= until))
    left_out: list[dict[str, object]] = []
    spent_on = ALL_DAYS  # the first day that spend is recorded for, of any channel, and the last
    if len(spend) and has_days(situation):
        starts, stops = pd.to_datetime(spend["starts_on"]), pd.to_datetime(column(spend, "ends_on"))
        spent_on = starts.min(), stops.fillna(starts).clip(lower=starts).max()
    for table, (begins, ends) in (("deals", deal_records(situation)), ("spend", spent_on)):
        left_out += uncovered(born[is_in], begins, ends, table)
        is_in &= ~(born < begins) & ~(born > ends)
        first, until = max(first, begins), until if until is None else min(until, ends + timedelta(days=1))
    part = leads[is_in]
    for field in (name for name in MESSAGES if name in part):
        price = _spent(situation, spend, field, first, until) / part[field].value_counts()
        part = part.assign(**{f"{field}_amount": part[field].map(price).astype("float64")})
    return Matured(part, wait, situation.span(born[is_in]), tuple(left_out))


def _days_to_win(situation: Situation, leads: pd.DataFrame, born: pd.Series) -> float | None:
    """Days from a lead's coming within which nine of ten won ones were won, of the channel that takes longest."""
    if not situation.is_dated or not situation.view.has("deals") or "lead_id" not in situation.deals:
        return None
    won_on = first_won(situation.deals, leads)
    days = (won_on.fillna(pd.Timestamp(situation.on)) - born).dt.days
    known = days[(days >= 0) & leads["is_followed"]]
    outcome = pd.Series(np.where(won_on.notna(), "won", "open"), index=leads.index)[known.index]
    channel = column(leads, "channel").astype("str")[known.index]
    n_won = channel[outcome == "won"].value_counts()
    names = n_won[n_won >= LEAST_SHOWN].index
    waits = [days_to_most(known[channel == name], outcome[channel == name]) for name in names]
    longest = max(waits, default=days_to_most(known, outcome))
    return longest if np.isfinite(longest) else None


def _spent(
    situation: Situation, spend: pd.DataFrame, field: str, first: pd.Timestamp, until: pd.Timestamp | None
) -> pd.Series:
    """What every level of a field cost from the day ``first`` to the day before ``until``, day by day.

    Empty where spend is not recorded by that field; without ``until`` all that is known.
    """
    if field not in spend:
        return pd.Series(np.nan, index=[], dtype="float64")
    amount = spend["spent_amount"].astype("float64")
    if until is not None:
        starts = pd.to_datetime(spend["starts_on"])
        ends = pd.to_datetime(column(spend, "ends_on")).fillna(starts).clip(lower=starts) + timedelta(days=1)
        known, left = starts.to_numpy(), np.minimum(ends.to_numpy(), np.datetime64(situation.on))  # no later money
        inside = np.minimum(left, np.datetime64(until)) - np.maximum(known, np.datetime64(first))
        amount = amount * np.clip(inside / (left - known), 0.0, None)
    total: pd.Series = amount.groupby(spend[field]).sum()
    return total[total > 0]


def stated(totals: pd.DataFrame, field: str, **figures: pd.Series) -> pd.DataFrame:
    """A statement's rows, one a level of ten leads or more; what is not known is not stated."""
    rows = totals[["n"]].assign(**figures).reset_index().assign(field=field)
    return rows[rows["estimate"].notna() & (rows["n"] >= LEAST_SHOWN)]


def costs(totals: pd.DataFrame, field: str, hit: str) -> pd.DataFrame:
    """Spend over successes; its interval is that of the rate of success among the leads (Wilson), the spend given."""
    k, n, spent = totals[hit].fillna(0), totals["n"], totals["spent"].where(totals[hit] > 0)
    low, high = wilson(k, n)
    return stated(totals, field, estimate=spent / k, low=spent / (n * high), high=spent / (n * low))


_MOST_CELLS = 40  # personas by channels
_NO_CHANNEL = "The leads that had time to be won record fewer than two channels: collect `leads.channel`."
_TOO_FEW = "Fewer than two channels had ten leads that had time to be won: collect leads of earlier periods as well."
_NO_SPEND = (
    "No spend is recorded, so the cost of an accepted lead or a won deal is unknown. "
    "Collect `spend` per channel and month."
)
_BY_COST = (
    "Use or stop: a won deal costs less or more than over the other channels, by more than the luck of both. Keep: no "
    "such difference, though there were enough to show twice the cost. Test: too few, or a difference that leans. "
    "Costs are totals, not the price of one more deal."
)
_BY_RATE = (
    "Use or stop: more or fewer of its leads are won than of all, by more than luck. Keep: no such difference, though "
    "there were enough to show one. Test: too few, or a difference that leans."
)
_COLUMNS: Mapping[str, str | tuple[str, Column]] = {
    "n_leads": "leads",
    "n_accepted": "accepted",
    "n_won": "won deals",
    "spent_amount": "spent",
    "cost_per_accepted_amount": ("cost per accepted lead", "backed"),
    "cost_per_won_amount": ("cost per won deal", "backed"),
    "won_amount_per_decided": ("won per decided deal of the window, estimated", "backed"),
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
    origin, rows = Origin(now.notebook, section, "leads", *grown.span), grown.leads
    ended = now.rows(frames["deals"], "deals")[0]
    if by_persona:
        for persona, part in ended.groupby("persona") if len(ended) else ():
            _state_amounts(answer, part, str(persona))
        for persona in grown.personas:
            for field in (name for name in MESSAGES if name in rows):
                _state(answer, grown, field, origin, persona)
        if not grown.personas or not rows.columns.isin(MESSAGES).any():
            answer.missing[section] = NO_PERSONA_CHANNELS
        return answer
    _state_amounts(answer, ended, "market")
    if spend.empty:
        answer.missing["cost"] = _NO_SPEND
    if "channel" not in rows or (rows["channel"].value_counts() >= LEAST_SHOWN).sum() < 2:
        several = "channel" in rows and rows["channel"].nunique() > 1
        answer.missing[section] = _TOO_FEW if several else _NO_CHANNEL
        return answer
    if grown.days_to_win and now.definition.has_calendar:
        answer.count([{"estimate": grown.days_to_win, "n": len(rows)}], origin, "days_to_win", unit="days")
    for row in grown.left_out:
        answer.count([row], origin._replace(source_table=str(row["table"])), "n_uncounted")
    _state(answer, grown, "channel", origin)
    totals = grown.totals("channel")
    spent = stated(totals, "channel", estimate=totals["spent"])
    answer.count(spent, origin._replace(source_table="spend"), "spent_amount", unit="amount")
    return answer


def _state_amounts(answer: Answer, ended: pd.DataFrame, subject: str) -> None:
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
    words, own = shown.words, where(shown.cell("channels"), field="channel", subject="market")
    columns = {**_COLUMNS, "advice": ("what to do", _marks(shown))}
    listed = table_of(own, words, "channel", columns, label=level_of(words))
    lines = Listing([advice.line for advice in advise(_beside(shown), words)])
    said, wait = left_out(shown, "channels"), shown.first("days_to_win")
    if wait is not None:
        text = (
            f"Counted are {numbers.count(wait['n'])} leads that had {value(wait, words)} to be won, and the money of "
            "the same days: by then nine of ten won leads had been won, of the slowest channel too. Later leads, and "
            "what they cost, are left out."
        )
        said = [stating(text, wait), *said]
    return listed, lines, *said, Note(_BY_COST if len(shown.of("spent_amount")) else _BY_RATE)


def _show_personas(shown: Evidence, title: str) -> Sequence[Piece]:
    rows = where(_beside(shown), cell="persona_channels", field="channel")
    columns = {**_PERSONA_COLUMNS, "advice": ("what to do", _marks(shown))}
    note = (
        "A lead of a channel is taken to cost the same whoever it is. Leads, won deals and costs are of leads that had "
        "time to be won; acceptance is of the latest. Where a persona's own leads cannot tell, all personas decide."
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
