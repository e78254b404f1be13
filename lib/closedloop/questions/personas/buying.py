"""How each persona buys: what it weighs, who is met, how long stages take, and how sales is in touch."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from closedloop.errors import ParameterError, allowed
from closedloop.period.counting import LEAST_SHOWN, rates, shares, won
from closedloop.period.situation import has_ended
from closedloop.personas.notes import about
from closedloop.presentation.blocks import Note, Piece, stating
from closedloop.presentation.sentences import backed, records, where
from closedloop.presentation.tables import table_of
from closedloop.statistics.cumulative_incidence import quantile
from closedloop.terms import MATERIAL_KINDS, NO_DECISION
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import no_deals
from closedloop.workbench.period import opened

_MOST_ROWS = 40
_LATE = 0.9  # a deal is late in a stage when nine of ten had left it sooner
_TOUCH_COLUMNS = ["touched_on", "lead_id", "deal_id", "from_team", "material_id", "buying_role"]
_TEXT_COLUMNS = [
    "material_id", "added_on", "kind", "title", "text", "persona", "buying_role", "stage", "competitor", "topic",
    "retired_on",
]  # fmt: skip
_TABLES: dict[str, tuple[str, dict[str, Any], str, str, str]] = {
    # measure -> heading, columns, note, and of which claims the largest is told, with what it is called
    "weighed": (
        "persona",
        {
            "weighed_share": ("weighed instead", "backed"),
            "no_decision_share": ("ended undecided", "backed"),
            "met_in_won_share": ("met in won deals", "backed"),
            "met_in_lost_share": ("met in lost deals", "backed"),
        },
        "Counted, not tested: who was met in a won deal may have been brought in when it went well.",
        "weighed_share",
        "First of what is weighed",
    ),
    "stages": (
        "persona and stage",
        {"stage_days": ("half had left after", "backed"), "stage_late_days": ("late after", "backed")},
        "A deal is late on a day by which nearly all have left.",
        "stage_days",
        "The longest stay",
    ),
    "touches": (
        "persona",
        {"won_touches": ("touches of sales until a lead was won (median)", "backed")},
        "Counted among won leads: nothing follows from it for how to win.",
        "won_touches",
        "The highest median",
    ),
    "texts": (
        "persona and text",
        {"n_used": "times used", "win_rate_when_used": ("deals won in which it was used", "backed")},
        "Used: contacts of the periods looked at. What was used in won deals need not be why they were won.",
        "n_used",
        "First in use",
    ),
}
_NOT_RECORDED = {
    "weighed": "Of no persona was a competitor met in ten deals, nor whom we met recorded of ten won and ten lost: "
    "record deals.competitor, and `touches` with their buying role, of every deal.",
    "touches": "How often sales was in touch is known of fewer than ten won leads of each persona: collect `touches`.",
}


def buying(
    deals: pd.DataFrame,
    touches: pd.DataFrame | None = None,
    measure: str = "weighed",
    *,
    late: float = _LATE,
    among: str | None = None,
) -> Answer:
    """How buyers of each persona went through the ``deals``; counted, not tested.

    "weighed": what they weighed instead, how many decided nothing, and who was met in won and lost deals, of those of
    which ``touches`` record any buying role (Wilson's interval, alternatives a multinomial one). "stages": median days
    in a stage that deals left, and those that the share ``late`` takes (intervals from order statistics). "touches":
    how often sales touched the leads of won deals, the median. "texts": in how many touches of the window on the
    deals, open ones too, or on their leads each of the team's texts was used, when it last was, and how the deals
    ended that did so in the window; the texts in force go to the documents (table ``texts``). ``touches``: all that are
    known, also before the window; stages need none. Errors: ParameterError.
    """
    measures = {
        "weighed": ("buying", _weighed),
        "stages": ("stages", _stages),
        "touches": ("cadence", _touches),
        "texts": ("materials", _texts),
    }
    if measure not in measures or (touches is None and measure != "stages"):
        given = "" if touches is not None else " without touches"
        raise ParameterError(f"buying: measure = {measure!r}{given}; allowed: {allowed(measures)}, stages without them")
    section, state = measures[measure]
    others = {} if touches is None else {"touches": touches}
    answer = opened().ask("buying", section, deals, "deals", partial(_show, measure), among=among, others=others,
                          measure=measure, late=late)  # fmt: skip
    situation, met = answer.now.situation, pd.DataFrame()
    if measure == "texts":
        texts = situation.known("materials").reindex(columns=_TEXT_COLUMNS)
        texts = texts[texts["retired_on"].isna() & texts["text"].notna() & texts["kind"].isin(MATERIAL_KINDS)]
        newest = texts.sort_values(["added_on", "material_id"], ascending=[False, True], ignore_index=True)
        answer.tables["texts"] = newest
    if no_deals(answer):
        return answer
    if touches is not None:
        met = answer.others["touches"].reindex(columns=_TOUCH_COLUMNS)
        met = met.assign(touched_on=pd.to_datetime(met["touched_on"]))
    state(answer, met)
    if answer.stated.empty and measure in _NOT_RECORDED:
        answer.missing[section] = _NOT_RECORDED[measure]
    return answer


def _weighed(answer: Answer, met: pd.DataFrame) -> None:
    for persona, part in answer.rows.groupby("persona"):
        origin, who = answer.origin(part["closed_on"]), {"subject": str(persona)}
        if "competitor" in part:
            known = part.loc[part["competitor"] != "unknown", "competitor"]
            answer.estimate(shares(known, "competitor"), origin, "weighed_share", **who)
        undecided = int((part["outcome"] == NO_DECISION).sum())
        if undecided >= LEAST_SHOWN:
            answer.estimate(rates([("", undecided, len(part))], ""), origin, "no_decision_share", **who)
        roles = about(met, part).dropna(subset=["deal_id", "buying_role"])
        is_won = won(part).dropna().astype(bool).set_axis(part.loc[won(part).notna(), "deal_id"])
        known_deals = is_won[is_won.index.isin(roles["deal_id"])]
        if known_deals.value_counts().reindex([True, False], fill_value=0).min() < LEAST_SHOWN:
            continue
        for ended, measure in ((True, "met_in_won_share"), (False, "met_in_lost_share")):
            ids = known_deals.index[known_deals == ended]
            n_met = roles[roles["deal_id"].isin(ids)].groupby("buying_role")["deal_id"].nunique()
            rows = rates([(role, k, len(ids)) for role, k in n_met.items()], "buying_role")
            answer.estimate(rows, origin, measure, **who)


def _stages(answer: Answer, met: pd.DataFrame) -> None:
    now = answer.now
    if not now.situation.view.has("stage_history") or now.definition.clock != "day":
        answer.missing["stages"] = (
            "How long deals stay in a stage is unknown: collect `stage_history` with the day of every change."
        )
        return
    history = now.situation.known("stage_history")
    moves = history[history["deal_id"].isin(answer.rows["deal_id"])]
    moves = moves.sort_values(["deal_id", "change_no"], kind="stable")
    entered = moves[moves["stage"] != moves.groupby("deal_id")["stage"].shift()]
    left_on = entered.groupby("deal_id")["entered_on"].shift(-1)
    left = entered.assign(days=(left_on - entered["entered_on"]).dt.days).dropna(subset=["days"])
    for persona, part in answer.rows.groupby("persona"):
        mine = left[left["deal_id"].isin(part["deal_id"])]
        origin = answer.origin(part["closed_on"], table="stage_history")
        for share, measure in ((0.5, "stage_days"), (answer.arguments["late"], "stage_late_days")):
            rows = [
                {"field": "stage", "level": str(stage), **quantile(days, share)}
                for stage, days in mine.groupby("stage")["days"]
                if len(days) >= LEAST_SHOWN
            ]
            answer.estimate(rows, origin, measure, unit="days", subject=str(persona))


def _touches(answer: Answer, met: pd.DataFrame) -> None:
    for persona, part in answer.rows.groupby("persona") if "lead_id" in answer.rows else ():
        leads = part.loc[part["outcome"] == "won", "lead_id"].dropna()
        ours = met[(met["from_team"] == "sales") & met["lead_id"].isin(leads)]
        n = ours.groupby("lead_id").size()
        if len(n) >= LEAST_SHOWN:
            closed = part.loc[part["lead_id"].isin(n.index) & (part["outcome"] == "won"), "closed_on"]
            origin = answer.origin(closed, table="touches")
            answer.estimate([quantile(n)], origin, "won_touches", unit="count", subject=str(persona))


def _texts(answer: Answer, met: pd.DataFrame) -> None:
    situation, sent, uses = answer.now.situation, met.dropna(subset=["material_id"]), []
    lately = situation.in_window(sent, sent["touched_on"])
    touched = answer.origin(lately["touched_on"], table="touches")
    closed = answer.rows[has_ended(answer.rows)]
    closed = situation.in_window(closed, closed["closed_on"])
    for persona, part in answer.rows.groupby("persona"):
        used = about(lately, part)
        n = used["material_id"].value_counts().sort_index()
        often = {str(name): used[used["material_id"] == name] for name in n[n >= LEAST_SHOWN].index}
        rows = [{"field": "material_id", "level": name, "estimate": int(n[name])} for name in often]
        answer.count(rows, touched, "n_used", subject=str(persona))
        ended = closed[closed["persona"] == persona]
        is_won = won(ended).dropna().astype(bool)
        hits = [(name, is_won[on_records(ended.loc[is_won.index], some)]) for name, some in often.items()]
        shown = rates([(name, hit.sum(), len(hit)) for name, hit in hits], "material_id")
        answer.estimate(shown, answer.origin(ended["closed_on"]), "win_rate_when_used", subject=str(persona))
        last = about(sent, part).groupby("material_id")["touched_on"].max()
        uses += [(str(persona), str(name), day) for name, day in last.items()]
    answer.tables["materials"] = pd.DataFrame(uses, columns=["persona", "material_id", "last_on"])


def on_records(deals: pd.DataFrame, notes: pd.DataFrame) -> "pd.Series[bool]":
    """Which deals these notes or touches are on, or on the lead of."""
    is_met = deals["deal_id"].isin(notes["deal_id"].dropna())
    return is_met | deals["lead_id"].isin(notes["lead_id"].dropna()) if "lead_id" in deals else is_met


def _show(measure: str, shown: Evidence, title: str) -> Sequence[Piece]:
    """Claims of personas as a table, the largest one of a measure in a sentence, and a note; nothing without any."""
    heading, columns, note, largest, said = _TABLES[measure]
    claims, words = shown.claims, shown.words
    if measure == "texts":
        claims = claims.sort_values(["subject", "measure", "estimate"], ascending=[True, True, False], kind="stable")
    if claims.empty:
        return (Note("No text of the team was used ten times with a persona."),) if measure == "texts" else ()

    def label(claim: Any) -> str:
        level = words.level(str(claim["field"]), claim["level"]) if claim["level"] else ""
        return ", ".join(part for part in (words.name(str(claim["subject"])), level) if part)

    listed = table_of(claims, words, heading, columns, label=label, caption=title, limit=_MOST_ROWS)
    counted = where(claims, measure=largest)
    most = counted[counted["estimate"] == counted["estimate"].max()]  # several where they are equal
    told = "; ".join(f"{label(claim)}, {backed(claim, words)}" for claim in records(most))
    is_told = 0 < len(most) < max(len(counted), 2)  # where all are equal none is the highest
    return listed, *([stating(f"{said}: {told}.", most)] if is_told else []), Note(note)
