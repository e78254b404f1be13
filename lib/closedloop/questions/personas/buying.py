"""How each persona buys: what it weighs, who is met, how long stages take, and how often sales is in touch."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from closedloop.market.warehouse import fetched
from closedloop.period.counting import LEAST_SHOWN, rates, shares
from closedloop.period.records import won
from closedloop.personas.notes import about
from closedloop.presentation.blocks import Note, Piece, stating
from closedloop.presentation.findings import Label, backed, table_of
from closedloop.presentation.sentences import records
from closedloop.statistics.cumulative_incidence import quantile
from closedloop.terms import NO_DECISION
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import no_deals
from closedloop.workbench.period import opened

_MOST_ROWS = 40
_LATE = 0.9  # a deal is late in a stage when nine of ten had left it sooner
_TOUCH_COLUMNS = ["touched_on", "lead_id", "deal_id", "from_team", "material_id", "buying_role"]
Columns = dict[str, Any]


def buying(deals: pd.DataFrame, touches: pd.DataFrame, *, among: str | None = None) -> Answer:
    """What buyers of each persona weighed instead, how many decided nothing, and who was met in won and lost deals.

    Shares of the ``deals`` that record it; who was met is among the deals of which ``touches`` record any buying role.
    Shares have Wilson's interval, alternatives a multinomial one.
    """
    answer = opened().ask("buying", "buying", deals, "deals", _show_buying, among=among, others={"touches": touches})
    if no_deals(answer):
        return answer
    met = touches_in_window(answer)
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
    if answer.stated.empty:
        answer.missing["buying"] = (
            "What buyers weigh and who is met is recorded of fewer than ten deals of each persona: collect "
            "deals.competitor, and `touches` with their buying role."
        )
    return answer


def touches_in_window(answer: Answer) -> pd.DataFrame:
    """The answer's touches of the window, with every column that is read of them."""
    rows = answer.others["touches"].reindex(columns=_TOUCH_COLUMNS)
    rows = rows.assign(touched_on=pd.to_datetime(rows["touched_on"]))
    return answer.now.situation.in_window(rows, rows["touched_on"])


def _show_buying(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: Columns = {
        "weighed_share": ("weighed instead", "backed"),
        "no_decision_share": ("ended undecided", "backed"),
        "met_in_won_share": ("met in won deals", "backed"),
        "met_in_lost_share": ("met in lost deals", "backed"),
    }
    note = "Counted, not tested: who was met in a won deal may have been brought in when it went well."
    return tabulated(shown, "persona", columns, title, note, ("weighed_share", "First of what is weighed"))


def tabulated(
    shown: Evidence, heading: str, columns: Columns, title: str, note: str, top: tuple[str, str]
) -> Sequence[Piece]:
    """Claims of personas as a table, the largest one of a measure in a sentence, and a note; nothing without any.

    ``top``: the measure, and what its largest claim is called.
    """
    if shown.claims.empty:
        return ()
    label, (measure, text) = _named(shown), top
    listed = table_of(shown.claims, shown.words, heading, columns, label=label, caption=title, limit=_MOST_ROWS)
    largest = records(shown.of(measure).sort_values("estimate", ascending=False, kind="stable").head(1))
    said = [stating(f"{text}: {label(claim)}, {backed(claim, shown.words)}.", claim) for claim in largest]
    return listed, *said, Note(note)


def _named(shown: Evidence) -> Label:
    """How a row is called: its persona, and its level without the field."""
    words = shown.words

    def named(claim: Any) -> str:
        level = words.level(str(claim["field"]), claim["level"]) if claim["level"] else ""
        return ", ".join(part for part in (words.name(str(claim["subject"])), level) if part)

    return named


def stage_days(deals: pd.DataFrame, *, late: float = _LATE, among: str | None = None) -> Answer:
    """How long each persona's ``deals`` stayed in a stage that they left: median days, and those that ``late`` take.

    Quantiles with order-statistics intervals; stages that fewer than ten deals left are not shown.
    """
    now = opened()
    answer = now.ask("stage_days", "stages", deals, "deals", _show_stages, among=among, late=late)
    if no_deals(answer):
        return answer
    if not now.situation.view.has("stage_history") or now.definition.clock != "day":
        answer.missing["stages"] = (
            "How long deals stay in a stage is unknown: collect `stage_history` with the day of every change."
        )
        return answer
    history = fetched(now.situation.view.known("stage_history"))
    moves = history[history["deal_id"].isin(answer.rows["deal_id"])]
    moves = moves.sort_values(["deal_id", "change_no"], kind="stable")
    entered = moves[moves["stage"] != moves.groupby("deal_id")["stage"].shift()]
    left_on = entered.groupby("deal_id")["entered_on"].shift(-1)
    left = entered.assign(days=(left_on - entered["entered_on"]).dt.days).dropna(subset=["days"])
    for persona, part in answer.rows.groupby("persona"):
        mine = left[left["deal_id"].isin(part["deal_id"])]
        origin = answer.origin(part["closed_on"], table="stage_history")
        for share, measure in ((0.5, "stage_days"), (late, "stage_late_days")):
            rows = [
                {"field": "stage", "level": str(stage), **quantile(days, share)}
                for stage, days in mine.groupby("stage")["days"]
                if len(days) >= LEAST_SHOWN
            ]
            answer.estimate(rows, origin, measure, unit="days", subject=str(persona))
    return answer


def _show_stages(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: Columns = {"stage_days": ("half had left after", "backed"), "stage_late_days": ("late after", "backed")}
    note = "A deal is late on a day by which nearly all have left."
    return tabulated(shown, "persona and stage", columns, title, note, ("stage_days", "The longest stay"))


def cadence(deals: pd.DataFrame, touches: pd.DataFrame, *, among: str | None = None) -> Answer:
    """How often sales touched the leads of each persona's won ``deals``: the median, from ``touches`` of the window."""
    answer = opened().ask("cadence", "cadence", deals, "deals", _show_cadence, among=among, others={"touches": touches})
    if no_deals(answer):
        return answer
    met = touches_in_window(answer)
    for persona, part in answer.rows.groupby("persona") if "lead_id" in answer.rows else ():
        leads = part.loc[part["outcome"] == "won", "lead_id"].dropna()
        ours = met[(met["from_team"] == "sales") & met["lead_id"].isin(leads)]
        n = ours.groupby("lead_id").size()
        if len(n) >= LEAST_SHOWN:
            origin = answer.origin(ours["touched_on"], table="touches")
            answer.estimate([quantile(n)], origin, "won_touches", unit="count", subject=str(persona))
    if answer.stated.empty:
        answer.missing["cadence"] = (
            "How often sales was in touch is known of fewer than ten won leads of each persona: collect `touches`."
        )
    return answer


def _show_cadence(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: Columns = {"won_touches": ("touches of sales until a lead was won (median)", "backed")}
    note = "Counted among won leads: nothing follows from it for how to win."
    return tabulated(shown, "persona", columns, title, note, ("won_touches", "The highest median"))
