"""What is compared with what: the levels that outcomes are looked at by, and the looks made of their counts."""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from closedloop.evidence.claims import Origin, rate_looks
from closedloop.evidence.looks import LOOK_COLUMNS, typed
from closedloop.evidence.recording import recorded_shares
from closedloop.loop.counting import LEAST_SHOWN, RARE, levels
from closedloop.loop.records import column, lead_frame
from closedloop.loop.situation import Situation
from closedloop.market.definition import Definition
from closedloop.terms import Moment

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
_DRAWN = ("experiment", "arm", "arm_rate")


def deal_levels(situation: Situation, ended: pd.DataFrame) -> pd.DataFrame:
    """Every field of deals that is looked at, as levels: known by the stage, and personas and quarter ends."""
    fields = [f for f in situation.deal_fields(Moment.STAGE) if f in ended and f not in _DRAWN]
    extra = ["is_quarter_end", "persona"]
    return levels(ended, [*fields, *(f for f in extra if f in ended and ended[f].nunique() > 1)], RARE)


def late_fields(situation: Situation) -> set[str]:
    """Fields of deals that are filled while selling, and so perhaps because of how it went."""
    return {"rep_id", *situation.deal_fields(Moment.STAGE)} - set(situation.deal_fields())


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


def lead_levels(situation: Situation, leads: pd.DataFrame) -> pd.DataFrame:
    """Every field of leads that is looked at, as levels: known at creation, and the persona."""
    fields = [f for f in situation.fields("leads") if f in leads and f not in _DRAWN[:2]]
    return levels(leads, fields, RARE).assign(persona=leads["persona"])


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
