"""Honest dirt in the export of a simulated market: what truth.toml lists under [blemishes], no more."""

import numpy as np
import pandas as pd

from .draws import Draws
from .truth import Truth

Tables = dict[str, pd.DataFrame]


def stain(truth: Truth, tables: Tables) -> Tables:
    """Return the tables with the listed blemishes; the given tables stay as they are."""
    counts, draws = truth["blemishes"], Draws(truth["seed"], "blemishes")
    stained = dict(tables)
    stained["accounts"] = _select(tables["accounts"], counts["automation_select"], draws)
    stained["deals"] = _deals(truth, tables["deals"], draws)
    leads = _repeated(tables["leads"], counts["leads_repeated"], draws)
    stained["leads"] = _without_id(leads, tables["touches"]["Lead ID"], counts["leads_without_id"], draws)
    stained["touches"] = _about_nothing(tables["touches"], counts["touches_about_nothing"])
    return stained


def _deals(truth: Truth, deals: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    counts = truth["blemishes"]
    decided, lost = deals["Deal Status"].ne("Open"), deals["Deal Status"].eq("Closed Lost")
    early = deals.index[decided][draws.some(int(decided.sum()), counts["closed_before_created"])]
    odd = deals.index[lost][draws.some(int(lost.sum()), counts["loss_reason_not_in_list"])]
    opened = pd.to_datetime(deals.loc[early, "Create Date"]) - pd.Timedelta(days=5)
    stained = deals.copy()
    stained.loc[early, "Close Date"] = opened.dt.strftime("%Y-%m-%d").astype(object)
    stained.loc[odd, "Closed Reason"] = "Lost in transit"
    marked = draws.yes(counts["amounts_with_separators_rate"], len(deals))
    stained["Amount"] = np.where(marked, [f"{float(text):,.2f}" for text in deals["Amount"]], deals["Amount"])
    return _repeated(stained, counts["deals_repeated"], draws)


def _repeated(table: pd.DataFrame, n: int, draws: Draws) -> pd.DataFrame:
    again = table.iloc[draws.some(len(table), n)]
    return pd.concat([table, again]).sort_index(kind="stable").reset_index(drop=True)


def _without_id(leads: pd.DataFrame, touched: "pd.Series[str]", n: int, draws: Draws) -> pd.DataFrame:
    # Only leads that nothing else refers to lose their id: the dirt stays in one place.
    alone = leads["MQL Date"].eq("") & ~leads["Lead ID"].isin(touched) & ~leads["Lead ID"].duplicated(keep=False)
    places = leads.index[alone][draws.some(int(alone.sum()), n)]
    stained = leads.copy()
    stained.loc[places, "Lead ID"] = ""
    return stained


def _select(accounts: pd.DataFrame, n: int, draws: Draws) -> pd.DataFrame:
    stained = accounts.copy()
    stained.loc[draws.some(len(accounts), n), "Automation"] = "Select"
    return stained


def _about_nothing(touches: pd.DataFrame, n: int) -> pd.DataFrame:
    lonely = touches[touches["Team"] == "sales"].tail(1).assign(**{"Lead ID": "", "Deal ID": "", "Asset": ""})
    return pd.concat([touches, *[lonely] * n]).reset_index(drop=True)
