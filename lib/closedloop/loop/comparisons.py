"""What is compared with what: the levels that outcomes are looked at by, and the looks made of their counts."""

from collections.abc import Iterator

import pandas as pd

from closedloop.evidence.claims import Origin, rate_looks
from closedloop.loop.call_list import CALL_LIST
from closedloop.loop.counting import LEAST_SHOWN, levels
from closedloop.loop.records import column
from closedloop.loop.situation import Situation
from closedloop.market.definition import Definition
from closedloop.terms import Moment

REP_LUCK = 0.05  # reps are compared one by one only below this p value of any spread between them
LEAD_HITS = {"accepted_rate": "is_accepted", "won_rate": "is_won"}
MESSAGES = ("channel", "campaign")  # what a team chooses for a lead before anybody talks
_DRAWN = ("experiment", "arm", "arm_rate")


def deal_levels(situation: Situation, ended: pd.DataFrame) -> pd.DataFrame:
    """Every field of deals that is looked at, as levels: known by the stage, and personas and quarter ends."""
    fields = [f for f in situation.deal_fields(Moment.STAGE) if f in ended and f not in _DRAWN]
    extra = ["is_quarter_end", "persona"]
    return levels(ended, [*fields, *(f for f in extra if f in ended and ended[f].nunique() > 1)])


def handed_off(leads: pd.DataFrame) -> pd.Series:
    """The day that puts a lead into a period: its hand-off, else its creation."""
    return column(leads, "handed_off_on").fillna(column(leads, "created_on"))


def lead_window(situation: Situation, leads: pd.DataFrame) -> pd.DataFrame:
    """Leads handed off (else created) within the window."""
    return situation.in_window(leads, handed_off(leads))


def lead_levels(situation: Situation, leads: pd.DataFrame) -> pd.DataFrame:
    """Every field of leads that is looked at, as levels: known at creation, and the persona."""
    fields = [f for f in situation.view.inherited("leads", Moment.CREATION) if f in leads and f not in _DRAWN[:2]]
    return levels(leads, fields).assign(persona=leads["persona"])


def lead_measures(by: pd.DataFrame) -> dict[str, list[str]]:
    """The fields that each measure of leads is compared by."""
    return {"accepted_rate": list(by.columns), "won_rate": ["channel"] if "channel" in by else []}


def persona_levels(by: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every persona's decided leads by channel and campaign, where there are enough to show.

    What reaches one persona need not reach another.
    """
    fields = [name for name in MESSAGES if name in by]
    if fields and by["persona"].nunique() > 1:
        for persona, part in by.groupby("persona"):
            if len(part) >= LEAST_SHOWN:
                yield str(persona), part[fields]


def experiments(leads: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The decided leads of every experiment whose arms were drawn; the list to call has places that were ranked."""
    if "experiment" in leads:
        drawn = leads.dropna(subset=["experiment", "arm", "is_accepted"])
        for name, part in drawn[drawn["experiment"] != CALL_LIST].groupby("experiment"):
            yield str(name), part


def control_of(definition: Definition, experiment: str) -> str | None:
    """The arm that the others are compared with, where market.toml declares one."""
    declared = definition.experiments.get(experiment)
    return declared.control if declared else None


def shown_rates(
    counted: pd.DataFrame, origin: Origin, measure: str, threshold: float, persona: str = ""
) -> pd.DataFrame:
    """Looks at the rates of all levels that are large enough to be shown; ``counted`` as of ``counting.counts``.

    ``persona``: whom alone the cases are, if anybody.
    """
    subject = persona or "market"
    return rate_looks(counted, origin, measure=measure, subject=subject, threshold=threshold, least=LEAST_SHOWN)
