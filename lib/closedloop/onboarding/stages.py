"""The order in which deals pass their open stages: as recorded changes show it, else a guess for people to confirm."""

from collections.abc import Mapping

import pandas as pd

from closedloop.market.staging.raw import long_id
from closedloop.onboarding.draft import Draft
from closedloop.onboarding.question import ORDER


def asked_as(pipeline: str) -> str:
    """What the question calls the order of a pipeline's stages, or of all."""
    return f"{ORDER} in {pipeline}" if pipeline else ORDER


def pipelines_kept(draft: Draft) -> list[str]:
    """The pipelines whose deals are of this market, where there are several."""
    column = draft.column("deals", "pipeline")
    kept = [row["value"] for row in draft.answers["deals"].rows if row["column"] == column and row["keep"]]
    return kept if len(kept) > 1 else []


def confirmed(draft: Draft, pipeline: str = "") -> list[str]:
    """The open stages, of one pipeline or of all, in their order; where it was asked, as it was answered."""
    rows = [row for row in draft.answers["values"].rows if row["column"] == asked_as(pipeline)]
    places = {row["written"]: int(row["meaning"]) for row in rows}
    return sorted(in_order(draft, pipeline)[0], key=lambda stage: places.get(stage, len(places) + 1))


def in_order(draft: Draft, pipeline: str = "") -> tuple[list[str], bool]:
    """The open stages, of one pipeline or of all, in the order in which deals pass them; and does a history show it?

    Without a history, where closed deals keep their last stage, those that are won more often come later, and where
    they do not, those in which open deals are older.
    """
    if not draft.column("deals", "stage"):
        return [], True
    deals = draft.deals.assign(stage=pd.Series(draft.texts("deals", "stage"), dtype=object))
    if pipeline:
        deals = deals[pd.Series(draft.texts("deals", "pipeline"), dtype=object) == pipeline]
    changes = _changes(draft, deals, pipeline)
    if len(changes):
        changes = changes.sort_values("on", kind="stable")
        places = changes.groupby("deal").cumcount().astype(float).groupby(changes["stage"]).mean()
    elif draft.said_by == "status":
        places = (deals["outcome"] == "won").astype(float).groupby(deals["stage"]).mean()
    else:
        ages = (deals["created_on"].max() - pd.to_datetime(deals["created_on"])).dt.days.astype(float)
        places = ages.groupby(deals["stage"]).mean()
    known = [str(stage) for stage in places.sort_values(kind="stable").index if draft.is_open(str(stage))]
    entered = [stage for stage, columns in draft.exports["deals"].entered.items() if _own(columns, pipeline)]
    current = dict.fromkeys(stage for stage in [*deals["stage"], *entered] if stage and draft.is_open(stage))
    rest = [stage for stage in current if stage not in known]
    return [*known, *rest], bool(len(changes)) and not rest


def _own(columns: Mapping[str, str], pipeline: str) -> list[str]:
    """Of the columns of a stage by pipeline those that tell of one, or of all."""
    return [column for own, column in columns.items() if not pipeline or own in ("", pipeline)]


def _changes(draft: Draft, deals: pd.DataFrame, pipeline: str) -> pd.DataFrame:
    """The recorded entries of a pipeline's deals into stages: deal, stage, on; none without a history."""
    if "stage_history" in draft.exports:
        names = {"deal": "deal_id", "stage": "stage"}
        found = pd.DataFrame({name: draft.texts("stage_history", role) for name, role in names.items()})
        found["on"] = draft.days("stage_history", "entered_on")
        found = found[found["stage"].isin(set(draft.texts("deals", "stage")))].dropna()  # it may tell of other columns
        ids = {long_id(text) for text in pd.Series(draft.texts("deals", "deal_id"), dtype=object)[deals.index] if text}
        return found[found["deal"].map(long_id).isin(ids)] if pipeline else found
    parts = [
        pd.DataFrame({"deal": deals.index, "stage": stage, "on": days[deals.index]})
        for stage, columns in draft.exports["deals"].entered.items()
        for days in (pd.Series(draft.days_of("deals", column)) for column in _own(columns, pipeline))
    ]
    return pd.concat(parts, ignore_index=True).dropna() if parts else pd.DataFrame()
