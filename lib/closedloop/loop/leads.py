"""03 Leads: which channels and messages bring leads that fit, and which leads come first?"""

import numpy as np
import pandas as pd

from closedloop.evidence.claims import rate_looks
from closedloop.evidence.rates import wilson
from closedloop.loop.counting import LEAST_SHOWN, counts, levels
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import column, lead_frame
from closedloop.loop.scoring import score_step
from closedloop.loop.situation import Situation, fetched
from closedloop.loop.step import Draft, Step
from closedloop.terms import Moment

_FUNNEL = (
    ("marketing_qualified", "marketing_qualified_on"),
    ("handed_off", "handed_off_on"),
    ("sales_accepted", "sales_accepted_on"),
    ("sales_qualified", "sales_qualified_on"),
)


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
        _channels(draft, situation, frame)
        _compare(draft, situation, frame)
        _experiments(draft, situation, frame)
    score_step(draft, situation, frame, in_force)
    return draft.done()


def _window(situation: Situation, frame: pd.DataFrame) -> pd.DataFrame:
    """Leads handed off (else created) within the window."""
    day = column(frame, "handed_off_on").fillna(column(frame, "created_on"))
    return situation.in_window(frame, day)


def _funnel(draft: Draft, situation: Situation, frame: pd.DataFrame) -> None:
    part = _window(situation, frame)
    steps = [("inquiry", len(part))]
    steps += [(name, int(part[day].notna().sum())) for name, day in _FUNNEL if day in part]
    steps.append(("won", int(part["is_won"].fillna(False).sum())))
    n_before = np.array([steps[0][1], *(n for _, n in steps[:-1])])
    n = np.array([count for _, count in steps])
    low, high = wilson(np.minimum(n, n_before), n_before)
    rate = np.divide(n, n_before, out=np.full(len(n), np.nan), where=n_before > 0)
    draft.tables["funnel"] = pd.DataFrame(
        {"status": [s for s, _ in steps], "n": n, "rate": rate, "low": low, "high": high}
    )
    draft.results["n_leads"] = len(part)


def _channels(draft: Draft, situation: Situation, frame: pd.DataFrame) -> None:
    part = _window(situation, frame)
    if "channel" not in part or part["channel"].nunique() < 2:
        draft.missing["channels"] = "Fewer than two channels are recorded: collect `leads.channel`."
        return
    grouped = part.groupby("channel")
    table = pd.DataFrame(
        {
            "n_leads": grouped.size(),
            "n_accepted": grouped["is_accepted"].sum(),
            "n_won": grouped["is_won"].sum(),
        }
    ).astype("int64")
    table["spent_amount"] = _spent(situation).reindex(table.index) if situation.view.has("spend") else np.nan
    for name, count in (("cost_per_accepted_amount", "n_accepted"), ("cost_per_won_amount", "n_won")):
        table[name] = table["spent_amount"] / table[count].where(table[count] > 0)
    draft.tables["channels"] = table.reset_index().sort_values("n_leads", ascending=False, ignore_index=True)
    if not situation.view.has("spend"):
        draft.missing["cost"] = (
            "No spend is recorded, so the cost of an accepted lead or a won deal is unknown. "
            "Collect `spend` per channel and month."
        )


def _spent(situation: Situation) -> pd.Series:
    spend = fetched(situation.view.known("spend"))
    spend = situation.in_window(spend, pd.to_datetime(spend["starts_on"]))
    total: pd.Series = spend.groupby("channel")["spent_amount"].sum()
    return total


def _compare(draft: Draft, situation: Situation, frame: pd.DataFrame) -> None:
    part = _window(situation, frame)
    fields = [
        name
        for name in situation.view.inherited("leads", Moment.CREATION)
        if name in part and name not in ("experiment", "arm")
    ]
    by = levels(part, fields).assign(persona=part["persona"])
    first, last = situation.span(column(part, "handed_off_on").fillna(column(part, "created_on")))
    for measure, hit in (("accepted_rate", part["is_accepted"]), ("won_rate", part["is_won"])):
        compared = [*fields, "persona"] if measure == "accepted_rate" else ["channel"] if "channel" in by else []
        if hit.notna().sum() < LEAST_SHOWN or not compared:
            draft.missing[measure] = (
                f"No {measure.replace('_', ' ')} can be given. "
                "Collect the dates of sales acceptance and the deals of leads."
            )
            continue
        table = counts(by, compared, hit)
        draft.looks.append(
            rate_looks(
                table[table["n"] >= LEAST_SHOWN],
                measure=measure,
                notebook="03_leads",
                source_table="leads",
                first_period=first,
                last_period=last,
                threshold=situation.definition.claims.practical_threshold,
            )
        )


def _experiments(draft: Draft, situation: Situation, frame: pd.DataFrame) -> None:
    if "experiment" not in frame or frame["experiment"].isna().all():
        draft.missing["experiments"] = (
            "No randomised comparison of messages is recorded. Collect `leads.experiment`, `arm` and `arm_rate`: "
            "only drawn arms can show causes."
        )
        return
    drawn = frame.dropna(subset=["experiment", "arm", "is_accepted"])
    table = (
        drawn.groupby(["experiment", "arm"])["is_accepted"]
        .agg(["sum", "size"])
        .reset_index()
        .rename(columns={"sum": "k", "size": "n"})
    )
    low, high = wilson(table["k"].astype(float), table["n"])
    draft.tables["experiments"] = table.assign(
        k=table["k"].astype("int64"), rate=table["k"].astype(float) / table["n"], low=low, high=high
    )
    for name, part in drawn.groupby("experiment"):
        first, last = situation.span(part["created_on"])
        draft.looks.append(
            rate_looks(
                counts(part, ["arm"], part["is_accepted"]),
                measure="accepted_rate",
                notebook="03_leads",
                source_table="leads",
                subject=str(name),
                first_period=first,
                last_period=last,
                kind="causal",
                threshold=situation.definition.claims.practical_threshold,
            )
        )
