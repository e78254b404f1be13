"""04 Hand-off: what did each team promise the other, and was it kept?"""

import numpy as np
import pandas as pd

from closedloop.evidence.rates import multinomial_intervals, wilson
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import lead_frame
from closedloop.loop.situation import Situation, fetched
from closedloop.loop.step import Draft, Step

_STEPS = ("sales_accepted_on", "sales_qualified_on", "recycled_on", "disqualified_on")


def handoff(situation: Situation, in_force: PersonaSet) -> Step:
    """The period's handed-off leads: how far they came, how soon they were touched, and where the teams disagree."""
    draft = Draft("handoff")
    if not situation.view.has("leads"):
        _nothing(draft, "No leads are recorded")
        return draft.done()
    frame = lead_frame(situation)
    if "handed_off_on" not in frame or "sales_accepted_on" not in frame:
        _nothing(draft, "The source records no dates of hand-off and sales acceptance")
        return draft.done()
    cohort = frame[situation.in_period(frame["handed_off_on"])]
    cohort = cohort.assign(persona=in_force.assign(cohort))
    cohort = cohort.assign(touch_days=_touch_days(situation, cohort))
    _waterfall(draft, cohort)
    _first_touch(draft, situation, cohort)
    _rejections(draft, cohort)
    _disagreements(draft, situation, frame, cohort)
    promises(draft, situation, cohort)
    _questions(draft, cohort)
    return draft.done()


def _nothing(draft: Draft, why: str) -> None:
    text = f"{why}. Collect `leads` with their hand-off, acceptance and rejection, and `touches`."
    draft.missing |= dict.fromkeys(
        ("waterfall", "first_touch", "rejections", "disagreements", "promises", "questions"), text
    )
    draft.results |= {
        "n_handed_off": None,
        "accepted_rate": None,
        "first_touch_median_days": None,
        "never_touched_share": None,
    }


def _waterfall(draft: Draft, cohort: pd.DataFrame) -> None:
    n = [len(cohort), *(int(cohort[day].notna().sum()) for day in _STEPS if day in cohort)]
    names = ["handed_off", *(day.removesuffix("_on") for day in _STEPS if day in cohort)]
    ended = cohort[[day for day in _STEPS if day in cohort]].notna().any(axis=1)
    table = pd.DataFrame({"status": [*names, "waiting"], "n": [*n, int((~ended).sum())]})
    low, high = wilson(table["n"], np.full(len(table), len(cohort)))
    share = table["n"] / len(cohort) if len(cohort) else np.nan
    draft.tables["waterfall"] = table.assign(share=share, low=low, high=high)
    decided = cohort["is_accepted"].dropna()
    draft.results |= {
        "n_handed_off": len(cohort),
        "accepted_rate": float(decided.mean()) if len(decided) else None,
        "n_decided": len(decided),
    }


def _touch_days(situation: Situation, cohort: pd.DataFrame) -> pd.Series:
    """Days from hand-off to the first sales touch; missing: never touched so far."""
    if not situation.view.has("touches"):
        return pd.Series(np.nan, index=cohort.index)
    touches = fetched(situation.view.known("touches"))
    if "from_team" not in touches or "lead_id" not in touches:
        return pd.Series(np.nan, index=cohort.index)
    sales = touches[touches["from_team"] == "sales"].assign(touched_on=lambda t: pd.to_datetime(t["touched_on"]))
    joined = cohort[["lead_id", "handed_off_on"]].reset_index().merge(sales[["lead_id", "touched_on"]], on="lead_id")
    after = joined[joined["touched_on"] >= joined["handed_off_on"]]
    first = after.groupby("index")["touched_on"].min().reindex(cohort.index)
    return (first - cohort["handed_off_on"]).dt.days


def _first_touch(draft: Draft, situation: Situation, cohort: pd.DataFrame) -> None:
    if not situation.view.has("touches"):
        draft.missing["first_touch"] = "No touches are recorded: collect `touches` with team, lead and date."
        draft.results |= {"first_touch_median_days": None, "never_touched_share": None}
        return
    groups = [name for name in ("channel", "persona", "rep_id") if name in cohort]
    rows = [_speed("all", "all", cohort)]
    rows += [
        _speed(g, str(level), part) for g in groups for level, part in cohort.groupby(g) if len(part) >= LEAST_SHOWN
    ]
    table = pd.DataFrame(rows, columns=["group", "level", "n", "median_days", "p90_days", "never_share"])
    draft.tables["first_touch"] = table
    whole = table.iloc[0]
    draft.results |= {
        "first_touch_median_days": whole["median_days"],
        "never_touched_share": whole["never_share"],
    }


def _speed(group: str, level: str, part: pd.DataFrame) -> list[object]:
    """Median and 90th percentile count never-touched leads as longer than any; infinite ones are missing."""
    days = part["touch_days"].fillna(np.inf)
    quantile = [float(np.quantile(days, q, method="inverted_cdf")) if len(days) else np.nan for q in (0.5, 0.9)]
    shown = [value if np.isfinite(value) else np.nan for value in quantile]
    never = float(part["touch_days"].isna().mean()) if len(part) else np.nan
    return [group, level, len(part), *shown, never]


def _rejections(draft: Draft, cohort: pd.DataFrame) -> None:
    refused = cohort[cohort["is_accepted"].eq(False).fillna(False)]
    if "rejection_reason" not in cohort or refused.empty:
        draft.missing["rejections"] = (
            "No rejected lead with a reason is recorded: collect `leads.rejection_reason` from a short closed list."
        )
        return
    table = (
        refused["rejection_reason"].fillna("(not recorded)").value_counts().rename_axis("reason").reset_index(name="n")
    )
    low, high = multinomial_intervals(table["n"])
    draft.tables["rejections"] = table.assign(share=table["n"] / table["n"].sum(), low=low, high=high)


def _disagreements(draft: Draft, situation: Situation, frame: pd.DataFrame, cohort: pd.DataFrame) -> None:
    accepted = cohort["is_accepted"].eq(True).fillna(False)
    returned = frame["recycled_on"].notna() if "recycled_on" in frame else pd.Series(False, index=frame.index)
    later_won = returned & frame["is_won"].eq(True).fillna(False)
    rows = [
        ["rejected or recycled, yet won later", int(later_won.sum()), int(returned.sum())],
        [
            "accepted, yet never touched by sales",
            int((accepted & cohort["touch_days"].isna()).sum()),
            int(accepted.sum()),
        ],
    ]
    if not situation.view.has("touches"):
        rows = rows[:1]
    draft.tables["disagreements"] = pd.DataFrame(rows, columns=["kind", "n", "n_of"])


def promises(draft: Draft, situation: Situation, cohort: pd.DataFrame) -> None:
    """Both teams' promises for the period against what happened."""
    goals = situation.definition.goals.get(situation.period.name)
    if goals is None:
        draft.missing["promises"] = (
            "No promises are recorded for this period. "
            f'Agree on them and write them under [goals."{situation.period.name}"] in market.toml.'
        )
        return
    won = situation.deals if situation.view.has("deals") else pd.DataFrame(columns=["closed_on", "won_amount"])
    amount = float(won.loc[situation.in_period(won["closed_on"]), "won_amount"].sum()) if "won_amount" in won else None
    observed = {
        "n_leads": ("marketing", len(cohort), 1),
        "accepted_rate": ("marketing", draft.results.get("accepted_rate"), 1),
        "first_touch_days": ("sales", draft.results.get("first_touch_median_days"), -1),
        "n_touches": ("sales", _touches_before_giving_up(situation, cohort), 1),
        "won_amount": ("sales", amount, 1),
    }
    rows = []
    for name, (team, value, sign) in observed.items():
        promised = getattr(goals, name)
        if promised is not None:
            kept = None if value is None or pd.isna(value) else sign * (value - promised) >= 0
            rows.append([name, team, float(promised), value, kept])
    table = pd.DataFrame(rows, columns=["promise", "team", "promised", "observed", "is_kept"])
    draft.tables["promises"] = table.astype({"observed": "float64", "is_kept": "boolean"})


def _touches_before_giving_up(situation: Situation, cohort: pd.DataFrame) -> float | None:
    """Median number of sales touches of leads that were touched and given up."""
    if not situation.view.has("touches") or "disqualified_on" not in cohort:
        return None
    touches = fetched(situation.view.known("touches"))
    n = touches.loc[touches["from_team"] == "sales", "lead_id"].value_counts()
    given_up = cohort.loc[cohort["disqualified_on"].notna() & cohort["touch_days"].notna(), "lead_id"]
    return float(given_up.map(n).fillna(0).median()) if len(given_up) else None


def _questions(draft: Draft, cohort: pd.DataFrame) -> None:
    """Three questions for the joint meeting, each from a figure of this page."""
    questions = []
    if "rejections" in draft.tables:
        top = draft.tables["rejections"].iloc[0]
        n, reason = int(top["n"]), str(top["reason"])
        asked = f'{n} rejected leads were given back as "{reason}": what should marketing ask before handing over?'
        questions.append(asked)
    for kind, n, n_of in draft.tables["disagreements"].to_numpy():
        if n:
            questions.append(f"{n} of {n_of} leads were {kind}: what happened to them?")
    never, n = draft.results.get("never_touched_share"), len(cohort)
    if never:
        questions.append(f"{round(never * n)} of {n} handed-off leads had no sales touch yet: who takes them?")
    draft.tables["questions"] = pd.DataFrame({"question": questions[:3]})
