"""Why a question about deals or leads cannot be answered: what was found, and what to collect."""

import pandas as pd

from closedloop.errors import ParameterError
from closedloop.period.situation import Situation
from closedloop.workbench.answer import Answer

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
    has_table = answer.now.situation.view.has("deals")
    answer.missing[answer.section] = (
        "No deal of the periods looked at was known on that day: nothing has ended yet, or nothing was chosen."
        if has_table and len(answer.now.situation.deals)
        else "No deals are recorded: collect `deals` with dates and outcomes."
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
