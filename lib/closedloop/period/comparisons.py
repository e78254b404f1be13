"""What is compared with what: the levels that outcomes are looked at by, and the looks made of their counts."""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import LOOK_COLUMNS, meta_of, stacked, typed
from closedloop.claims.ledger import Origin, rate_looks
from closedloop.market.definition import Definition
from closedloop.period.counting import LEAST_SHOWN, RARE, levels
from closedloop.period.records import ONLY_WON, came, column, deal_records, first_won, has_days, lead_frame
from closedloop.period.situation import Situation
from closedloop.statistics.recording import Followed, compare_conversions, recorded_shares, usual_days

REP_LUCK = 0.05  # reps are compared one by one only below this p value of any spread between them
LEAD_HITS = {"accepted_rate": "is_accepted", "won_rate": "is_won"}
CONVERSION, USUAL_DAYS = "usual_conversion_rate", "usual_days"  # of leads, where only won deals are recorded
MESSAGES = ("channel", "campaign")  # what a team chooses for a lead before anybody talks
# does a difference turn round once like is compared with like? -> the measure that states it, with a 95 % interval
TURNS: Mapping[str, str] = MappingProxyType(
    {
        "yes": "win_rate_reversed",
        "nothing": "win_rate_explained",
        "maybe": "win_rate_perhaps_reversed",
        "no": "win_rate_adjusted",
    }
)
UNLIKE = ("yes", "nothing", "maybe")  # what does not hold like for like, and so is nothing to act on
_DRAWN = ("experiment", "arm")


def known_before(situation: Situation, deals: pd.DataFrame) -> pd.Series | None:
    """Which of the deals that ended had done so a period ago; None where nothing was looked at then."""
    before = situation.previous
    return None if before is None else deals["closed_on"] < pd.Timestamp(before.on)


def decided_before(situation: Situation, leads: pd.DataFrame, hit: str) -> pd.Series | None:
    """Which of the leads were decided on a period ago; None where nothing was looked at then."""
    before = situation.previous
    if before is None:
        return None
    known = lead_frame(before)
    return leads["lead_id"].isin(known.loc[known[hit].notna(), "lead_id"])


def recording(
    situation: Situation, frame: pd.DataFrame, hit: pd.Series, days: pd.Series, origin: Origin
) -> pd.DataFrame:
    """Looks at whether each field is recorded as often when it ended otherwise.

    Where it is not, its gaps are no random ones: the field is compared among the cases that record it.
    """
    meta = {**origin._asdict(), "measure": "recorded_share", "unit": "rate", "kind": "descriptive"}
    named = {"subject": "market", "level": "", "within": ""}
    return typed(recorded_shares(frame, hit, situation.names_of(days)).assign(**meta, **named), LOOK_COLUMNS)


def handed_off(leads: pd.DataFrame) -> pd.Series:
    """The day that puts a lead into a period: its hand-off, else its creation."""
    return column(leads, "handed_off_on").fillna(column(leads, "created_on"))


def lead_window(situation: Situation, leads: pd.DataFrame) -> pd.DataFrame:
    """Leads handed off (else created) within the window."""
    return situation.in_window(leads, handed_off(leads))


def turning(claims: pd.DataFrame, ledger: pd.DataFrame, *answers: str) -> "pd.Series[bool]":
    """Which of these claims are win rates whose difference does not hold like for like (``UNLIKE``, or ``answers``)."""
    asked = ledger[ledger["measure"].isin([TURNS[answer] for answer in answers or UNLIKE])]
    found = set(zip(asked["field"], asked["level"], strict=True))
    is_met = [pair in found for pair in zip(claims["field"], claims["level"], strict=True)]
    is_whole = (claims["measure"] == "win_rate") & (claims["subject"] == "market")
    return pd.Series(is_met, index=claims.index, dtype=bool) & is_whole


def control_of(definition: Definition, experiment: str) -> str | None:
    """The arm that the others are compared with, where market.toml declares one."""
    declared = definition.experiments.get(experiment)
    return declared.control if declared else None


def shown_rates(
    counted: pd.DataFrame,
    origin: Origin,
    measure: str,
    threshold: float,
    persona: str = "",
    least: int = LEAST_SHOWN,
) -> pd.DataFrame:
    """Looks at the rates of all levels that are large enough to be shown; ``counted`` as of ``counting.counts``.

    ``persona``: whom alone the cases are, if anybody.
    """
    subject = persona or "market"
    return rate_looks(counted, origin, measure=measure, subject=subject, threshold=threshold, least=least)


NOT_FOLLOWED = (
    f"{ONLY_WON} Until then leads can be followed until they are won, where it is recorded when they came "
    "(leads.created_on), and which deal is of which lead (deals.lead_id)."
)
TOO_FEW = f"{ONLY_WON} Until then leads are followed until they are won; fewer than ten were so far."


class Cohorts(NamedTuple):
    """Leads that were followed from their coming, one row each; ``until``: the days by which they are compared."""

    rows: pd.DataFrame
    leads: Followed
    until: float

    def by(self, situation: Situation) -> pd.DataFrame:
        """The levels that they are compared by: the fields known when they came, and the persona."""
        fields = [f for f in situation.fields("leads") if f in self.rows and f not in _DRAWN]
        return levels(self.rows, fields, RARE).assign(persona=self.rows["persona"])


def cohorts(situation: Situation, frame: pd.DataFrame) -> Cohorts | None:
    """The leads of ``frame`` (as of ``lead_frame``, with the persona) that came in the window or just before it.

    Left out are those that came when no deals were recorded. None where it is not recorded when leads came and were
    won, or fewer than ten were won.
    """
    if not situation.view.has("deals") or not has_days(situation):
        return None
    deals, (_, ends) = situation.deals, deal_records(situation)
    if "lead_id" not in deals:
        return None
    last = min(pd.Timestamp(situation.last_day), ends)
    won_on = first_won(deals, frame)
    is_won = won_on <= last
    seen, days = (last - came(frame)).dt.days, (won_on.where(is_won, last) - came(frame)).dt.days
    is_in = frame["is_followed"] & (seen >= 0) & (days >= 0)
    every = _followed(situation, frame, is_won, days, seen, is_in)
    if every.is_won.sum() < LEAST_SHOWN:
        return None
    until = usual_days(every)
    is_in &= ~(came(frame) < situation.window_start - timedelta(days=until))
    leads = _followed(situation, frame, is_won, days, seen, is_in)
    return Cohorts(frame[is_in], leads, until) if leads.is_won.sum() >= LEAST_SHOWN else None


def _followed(situation: Situation, frame: pd.DataFrame, *parts: pd.Series) -> Followed:
    is_won, days, seen, is_in = parts
    cohort = pd.factorize(situation.names_of(came(frame)[is_in]))[0].astype(np.int64)
    numbers = (part[is_in].to_numpy(dtype=float) for part in (days, seen))
    return Followed(next(numbers), is_won[is_in].to_numpy(dtype=bool), next(numbers), cohort)


def looks(situation: Situation, found: Cohorts, by: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    """Each level of the columns ``by`` against all leads that came in the same periods."""
    threshold = situation.claims.practical_threshold
    known = came(found.rows) < pd.Timestamp(situation.previous.on) if situation.previous else None
    parts = []
    for name in by:
        table = compare_conversions(
            found.leads, by[name], found.until, least=LEAST_SHOWN, rare=RARE, threshold=threshold
        )
        before = table["level"].map(known.groupby(by[name]).sum()) if known is not None else None
        parts.append(table.assign(field=str(name), n_before=before))
    meta = meta_of(origin, CONVERSION, "rate", "descriptive") | {"subject": "market"}
    return stacked(typed(part.assign(**meta), LOOK_COLUMNS) for part in parts)
