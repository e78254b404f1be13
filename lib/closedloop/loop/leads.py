"""03 Leads: which channels and messages bring leads that fit, and which leads come first?"""

from itertools import pairwise

import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.loop.arms import arms
from closedloop.loop.channels import channels, matured, within_personas
from closedloop.loop.comparisons import (
    LEAD_HITS,
    decided_before,
    handed_off,
    lead_levels,
    lead_measures,
    lead_window,
    recording,
    shown_rates,
)
from closedloop.loop.conversions import compare as compare_conversions
from closedloop.loop.counting import LEAST_SHOWN, counts, rates
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import lead_frame
from closedloop.loop.scoring import score_step
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft, Step
from closedloop.loop.worth import state_by_channel

_FUNNEL = (
    ("marketing_qualified", "marketing_qualified_on"),
    ("handed_off", "handed_off_on"),
    ("sales_accepted", "sales_accepted_on"),
    ("sales_qualified", "sales_qualified_on"),
)
_COLLECT = {
    "accepted_rate": "Collect the dates of sales acceptance and of leads that were given back.",
    "won_rate": "Collect the deals of leads, with outcomes.",
}


def leads(situation: Situation, in_force: PersonaSet) -> Step:
    """Channels, funnel, tests and the lead score, from what was known when the period was planned."""
    draft = Draft("leads")
    frame = lead_frame(situation) if situation.view.has("leads") else None
    if frame is None or frame.empty:
        text = (
            "No leads were known: collect `leads` with channel, hand-off and acceptance dates, and `spend` per channel."
        )
        draft.missing |= dict.fromkeys(("funnel", "channels", "experiments"), text)
    else:
        frame = frame.assign(persona=in_force.assign(frame))
        _funnel(draft, situation, frame)
        if situation.view.has("deals"):
            state_by_channel(draft, situation, in_force.assign(situation.deals))
        _compared(draft, situation, frame)
    score_step(draft, situation, frame, in_force)
    return draft.done()


def comparisons(situation: Situation, in_force: PersonaSet) -> Step:
    """All that 03 compares, and nothing else."""
    draft = Draft("leads")
    if situation.view.has("leads"):
        frame = lead_frame(situation)
        _compared(draft, situation, frame.assign(persona=in_force.assign(frame)))
    return draft.done()


def _compared(draft: Draft, situation: Situation, frame: pd.DataFrame) -> None:
    if len(frame):
        grown = matured(situation, frame)
        channels(draft, situation, grown)
        _compare(draft, situation, frame)
        within_personas(draft, situation, frame, grown)
        arms(draft, situation, frame)


def _funnel(draft: Draft, situation: Situation, frame: pd.DataFrame) -> None:
    """How many leads reached each status, and which share of those at the status before it."""
    part = lead_window(situation, frame)
    draft.results["n_leads"] = len(part)
    if len(part) < LEAST_SHOWN:
        draft.missing["funnel"] = (
            f"{len(part)} leads of the last periods were known, fewer than {LEAST_SHOWN}: collect `leads` of earlier "
            "periods as well."
        )
        return
    reached = {"inquiry": pd.Series(True, index=part.index)}
    reached |= {name: part[day].notna() for name, day in _FUNNEL if day in part}
    if part["is_won"].notna().any() and not situation.has_only_won:
        reached["won"] = part["is_won"].fillna(False).astype(bool)
    origin = Origin("03_leads", "funnel", "leads", *situation.span(handed_off(part)))
    totals = [
        {"field": "status", "level": name, "estimate": hit.sum(), "n": len(part)} for name, hit in reached.items()
    ]
    draft.count(totals, origin, "n_reached")
    known = {"won": part["is_followed"]}  # who came before deals were recorded may have been won
    steps = [
        (name, (hit & before).sum(), (before & known.get(name, True)).sum())
        for (_, before), (name, hit) in pairwise(reached.items())
    ]
    draft.estimate(rates(steps, "status"), origin, "conversion_rate")


def _compare(draft: Draft, situation: Situation, frame: pd.DataFrame) -> None:
    part = lead_window(situation, frame)
    by = lead_levels(situation, part)
    first, last = situation.span(handed_off(part))
    if situation.has_only_won:
        compare_conversions(
            draft, situation, frame, ("03_leads", "won"), [str(name) for name in by if name != "persona"]
        )
    for measure, compared in lead_measures(situation, by).items():
        hit = part[LEAD_HITS[measure]]
        if hit.notna().sum() < LEAST_SHOWN or not compared:
            found = f"it is known of {hit.notna().sum()} of {len(part)} leads, and {LEAST_SHOWN} are needed"
            draft.missing[measure] = f"No {measure.replace('_', ' ')} can be compared: " + (
                f"{found}. {_COLLECT[measure]}" if compared else "no field of leads is recorded to compare it by."
            )
            continue
        before = decided_before(situation, part, LEAD_HITS[measure])
        table = counts(by, compared, hit, situation.names_of(handed_off(part)), is_before=before)
        origin = Origin("03_leads", "accepted" if measure == "accepted_rate" else "won", "leads", first, last)
        if measure == "accepted_rate":
            draft.looks.append(recording(situation, part[compared], hit, handed_off(part), origin))
        draft.looks.append(shown_rates(table, origin, measure, situation.claims.practical_threshold))
