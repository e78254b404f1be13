"""What the records known at the period's start say for documents: counted per persona, small groups left out."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from closedloop.evidence.rates import wilson
from closedloop.loop.persona import PersonaSet
from closedloop.market.view import View
from closedloop.terms import MATERIAL_KINDS, NO_RIVAL

LEAST_SHOWN = 10  # smaller groups are not shown with attributes (privacy, k = 10)
NO_DECISION = "no_decision"
_MATERIAL_COLUMNS = (
    "material_id", "added_on", "kind", "title", "text", "persona", "buying_role", "stage", "competitor", "topic",
    "retired_on",
)  # fmt: skip


def materials(view: View) -> pd.DataFrame:
    """The team's texts in force on the day, with every column of the contract; newest first within a kind."""
    known = view.known("materials").execute() if view.has("materials") else pd.DataFrame()
    frame = known.reindex(columns=list(_MATERIAL_COLUMNS))
    current = frame[frame["retired_on"].isna() & frame["text"].notna() & frame["kind"].isin(MATERIAL_KINDS)]
    return current.sort_values(["added_on", "material_id"], ascending=[False, True], ignore_index=True)


def deals(view: View, personas: PersonaSet) -> pd.DataFrame:
    """Deals as known on the day, each with its persona; without deals no rows."""
    if not view.has("deals"):
        return pd.DataFrame(columns=["deal_id", "lead_id", "persona", "outcome", "competitor"])
    frame = view.with_fields("deals").execute().sort_values("deal_id", ignore_index=True)
    return _with(frame.assign(persona=personas.assign(frame).to_numpy()), ("lead_id", "competitor"))


def _with(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """``frame`` with missing values in the columns that it lacks."""
    return frame.assign(**{name: None for name in columns if name not in frame})


def remarks(view: View, personas: PersonaSet, known_deals: pd.DataFrame) -> pd.DataFrame:
    """Remarks without their text: from_team, kind, topic, deal_id, and the persona of the deal or lead meant."""
    columns = ["from_team", "kind", "topic", "deal_id", "lead_id"]
    if not view.has("notes"):
        return pd.DataFrame(columns=[*columns, "persona"])
    notes = _with(view.known("notes").execute(), ("topic", "deal_id", "lead_id"))[columns]
    by_deal = notes["deal_id"].map(known_deals.set_index("deal_id")["persona"])
    return notes.assign(persona=by_deal.fillna(notes["lead_id"].map(_lead_personas(view, personas))))


def _lead_personas(view: View, personas: PersonaSet) -> Mapping[str, str]:
    if not view.has("leads"):
        return {}
    leads = view.with_fields("leads").execute()
    return dict(zip(leads["lead_id"], personas.assign(leads), strict=True))


def touches(view: View) -> pd.DataFrame:
    """Contacts with every column that documents count by."""
    wanted = ("touched_on", "lead_id", "deal_id", "from_team", "channel", "material_id", "buying_role")
    known = view.known("touches").execute() if view.has("touches") else pd.DataFrame()
    return known.reindex(columns=list(wanted))


def heard(notes: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Topics of remarks of one kind that were heard ten times or more, most frequent first: topic, n, share."""
    said = notes.loc[notes["kind"] == kind, "topic"].dropna()
    counted = said.value_counts().rename_axis("topic").reset_index(name="n")
    shown = counted[counted["n"] >= LEAST_SHOWN]
    ordered = shown.sort_values(["n", "topic"], ascending=[False, True], ignore_index=True)
    return ordered.assign(share=ordered["n"] / max(len(said), 1))


def rate_of(known_deals: pd.DataFrame) -> dict[str, float]:
    """Won of won and lost with its 90 % Wilson interval: estimate, low, high, n; missing below ten deals."""
    ended = known_deals[known_deals["outcome"].isin(["won", "lost"])]
    n = len(ended)
    if n < LEAST_SHOWN:
        return {"estimate": np.nan, "low": np.nan, "high": np.nan, "n": n}
    k = int((ended["outcome"] == "won").sum())
    low, high = wilson(k, n)
    return {"estimate": k / n, "low": float(np.asarray(low)), "high": float(np.asarray(high)), "n": n}


def rates_by(known_deals: pd.DataFrame, column: str) -> pd.DataFrame:
    """``rate_of`` for every value of ``column`` with ten decided deals: label, estimate, low, high, n."""
    rows = [{"label": str(value), **rate_of(part)} for value, part in known_deals.groupby(column)]
    frame = pd.DataFrame(rows, columns=["label", "estimate", "low", "high", "n"])
    return frame[frame["estimate"].notna()].reset_index(drop=True)


def when_raised(notes: pd.DataFrame, known_deals: pd.DataFrame, topic: str) -> dict[str, float]:
    """``rate_of`` the deals in which this objection was raised."""
    raised = notes[(notes["kind"] == "objection") & (notes["topic"] == topic)]
    is_meant = known_deals["deal_id"].isin(raised["deal_id"].dropna())
    return rate_of(known_deals[is_meant | known_deals["lead_id"].isin(raised["lead_id"].dropna())])


def committee(contacts: pd.DataFrame, known_deals: pd.DataFrame) -> pd.DataFrame:
    """Who was met in won and lost deals: buying_role, won_share, lost_share, n; of deals with any role recorded."""
    met = contacts.dropna(subset=["deal_id", "buying_role"])[["deal_id", "buying_role"]].drop_duplicates()
    ended = known_deals[known_deals["outcome"].isin(["won", "lost"]) & known_deals["deal_id"].isin(met["deal_id"])]
    sizes = ended["outcome"].value_counts()
    if sizes.min() < LEAST_SHOWN or len(sizes) < 2:
        return pd.DataFrame(columns=["buying_role", "won_share", "lost_share", "n"])
    joined = met.merge(ended[["deal_id", "outcome"]], on="deal_id")
    table = pd.crosstab(joined["buying_role"], joined["outcome"]).reindex(columns=["won", "lost"], fill_value=0)
    shares = {f"{outcome}_share": table[outcome] / sizes[outcome] for outcome in ("won", "lost")}
    return table.assign(**shares, n=table.sum(axis=1)).reset_index()[["buying_role", "won_share", "lost_share", "n"]]


def stage_days(view: View, known_deals: pd.DataFrame) -> pd.DataFrame:
    """Days that deals stayed in each stage they left: stage, n, median_days, late_days (nine of ten were faster)."""
    columns = ["stage", "n", "median_days", "late_days"]
    if not view.has("stage_history") or view.definition.clock != "day":
        return pd.DataFrame(columns=columns)
    history = view.known("stage_history").execute().merge(known_deals[["deal_id"]], on="deal_id")
    moves = history.sort_values(["deal_id", "change_no"], kind="stable")
    changed = moves[moves["stage"] != moves.groupby("deal_id")["stage"].shift()]
    entered = pd.to_datetime(changed["entered_on"])
    days = (entered.groupby(changed["deal_id"]).shift(-1) - entered).dt.days
    grouped = days.dropna().groupby(changed["stage"])
    table = pd.DataFrame({"n": grouped.size(), "median_days": grouped.median(), "late_days": grouped.quantile(0.9)})
    order = {stage: place for place, stage in enumerate(view.definition.deals.stages if view.definition.deals else ())}
    shown = table[table["n"] >= LEAST_SHOWN].rename_axis("stage").reset_index()
    return shown.sort_values("stage", key=lambda names: names.map(order), ignore_index=True)[columns]


def material_use(contacts: pd.DataFrame, known_deals: pd.DataFrame) -> pd.DataFrame:
    """Where a text was used: material_id, n_touches, last_on, and won of decided deals: estimate, low, high, n."""
    used = contacts.dropna(subset=["material_id"])
    rows = []
    for material, part in used.groupby("material_id"):
        meant = known_deals["deal_id"].isin(part["deal_id"].dropna()) | known_deals["lead_id"].isin(
            part["lead_id"].dropna()
        )
        last = pd.to_datetime(part["touched_on"]).max()
        rows.append({"material_id": material, "n_touches": len(part), "last_on": last, **rate_of(known_deals[meant])})
    return pd.DataFrame(rows, columns=["material_id", "n_touches", "last_on", "estimate", "low", "high", "n"])


def rivals(known_deals: pd.DataFrame) -> pd.DataFrame:
    """Alternatives that buyers weighed: competitor, n deals, share of deals in which it is recorded."""
    named = known_deals["competitor"].dropna()
    counted = named[~named.isin(["unknown"])].value_counts().rename_axis("competitor").reset_index(name="n")
    shown = counted[counted["n"] >= LEAST_SHOWN].sort_values(["n", "competitor"], ascending=[False, True])
    return shown.assign(share=shown["n"] / max(len(named), 1)).reset_index(drop=True)


def against(known_deals: pd.DataFrame, competitor: str) -> pd.DataFrame:
    """The deals of one battlecard: those with this rival, or those that ended without a decision."""
    if competitor == NO_DECISION:
        return known_deals[known_deals["outcome"] == NO_DECISION]
    return known_deals[known_deals["competitor"] == competitor]


def is_rival(name: str) -> bool:
    """Is it a named competitor, not the absence of one?"""
    return name not in (*NO_RIVAL, "unknown", NO_DECISION)
