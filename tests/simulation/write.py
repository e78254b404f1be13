"""The export of a simulated market: tables with a CRM's column names, the same on every machine."""

from pathlib import Path

import numpy as np
import pandas as pd

from .blemishes import stain
from .contacts import draw_touches
from .demand import draw_leads, draw_spend
from .draws import Texts
from .materials import list_materials
from .population import draw_accounts, draw_respondents
from .remarks import draw_notes
from .sales import draw_changes, draw_deals
from .truth import Truth, read_truth

_ACCOUNT = {
    "account_id": "Account ID",
    "created": "Created Date",
    "site_type": "Site Type",
    "sites": "Number of Sites",
    "region": "Region",
    "automation": "Automation",
    "throughput": "Throughput",
    "is_integrated": "Integration in Place",
}
_ANSWER = {
    "respondent_id": "Response ID",
    "answered": "Submitted",
    "account_id": "Account ID",
    "role": "Job Function",
    "site_type": "Site Type",
    "sites": "Number of Sites",
    "region": "Region",
    "automation": "Automation",
    "throughput": "Throughput",
}
_LEAD = {
    "lead_id": "Lead ID",
    "created": "Create Date",
    "known_account": "Account ID",
    "channel": "Original Source",
    "campaign": "Campaign",
    "test": "Test",
    "arm": "Test Arm",
    "share": "Test Share",
    "role": "Job Function",
    "qualified": "MQL Date",
    "handed_off": "Hand-off Date",
    "accepted": "SAL Date",
    "sales_qualified": "SQL Date",
    "recycled": "Recycled Date",
    "disqualified": "Disqualified Date",
    "rejection_reason": "Rejected Because",
    "rep_id": "Owner",
}
_DEAL = {
    "deal_id": "Deal ID",
    "opened": "Create Date",
    "lead_id": "Lead ID",
    "account_id": "Account ID",
    "product": "Product",
    "stage": "Deal Stage",
    "amount": "Amount",
    "close": "Expected Close",
    "competitor": "Competitor",
    "rep_id": "Owner",
    "status": "Deal Status",
    "ends": "Close Date",
    "won_amount": "Won Amount",
    "loss_reason": "Closed Reason",
}
_CHANGE = {
    "deal_id": "Deal ID",
    "change_no": "Change",
    "changed": "Changed On",
    "stage": "Deal Stage",
    "amount": "Amount",
    "close": "Expected Close",
    "competitor": "Competitor",
}
_TOUCH = {
    "touched": "Date",
    "lead_id": "Lead ID",
    "deal_id": "Deal ID",
    "from_team": "Team",
    "direction": "Direction",
    "channel": "Type",
    "material_id": "Asset",
    "buying_role": "Role",
}
_NOTE = {
    "written": "Date",
    "from_team": "From",
    "kind": "Kind",
    "topic": "Topic",
    "lead_id": "Lead ID",
    "deal_id": "Deal ID",
    "text": "Remark",
}
_MATERIAL = {
    "material_id": "ID",
    "added": "Added",
    "kind": "Kind",
    "title": "Title",
    "text": "Text",
    "buying_role": "Role",
    "stage": "Stage",
    "competitor": "Competitor",
    "topic": "Topic",
    "retired": "Retired",
}
_STATUS = {"won": "Closed Won", "lost": "Closed Lost", "no_decision": "No Decision", "open": "Open"}


def write_market(market_folder: Path, out: Path) -> None:
    """Write the raw files of the market that truth.toml in market_folder describes into the folder `out`."""
    tables = raw_tables(read_truth(market_folder))
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        text = table.to_csv(index=False, lineterminator="\n")
        (out / f"{name}.csv").write_bytes(text.encode("utf-8"))


def raw_tables(truth: Truth) -> dict[str, pd.DataFrame]:
    """Return the exported tables by file name; every cell is text."""
    accounts = draw_accounts(truth)
    leads = draw_leads(truth, accounts)
    deals = draw_deals(truth, leads)
    changes = draw_changes(truth, deals)
    materials = list_materials()
    tables = {
        "accounts": _accounts(accounts),
        "leads": _leads(truth, leads),
        "survey": _answers(truth, draw_respondents(truth, accounts)),
        "deals": _deals(deals, changes),
        "deal_changes": _changes(changes),
        "reps": _reps(truth),
        "materials": _materials(materials),
        "touches": _touches(draw_touches(truth, leads, deals, materials)),
        "notes": _notes(draw_notes(truth, leads, deals)),
        "spend": _spend(draw_spend(truth, leads)),
    }
    return stain(truth, tables)


def _named(frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    return frame[list(names)].rename(columns=names).astype(object)


def _dates(days: "pd.Series[float]") -> Texts:
    stamps = pd.to_datetime(days, unit="D").dt.strftime("%Y-%m-%d")
    return stamps.astype(object).where(days.notna(), "").to_numpy()


def _money(amounts: "pd.Series[float]", decimals: int = 0) -> list[str]:
    return [f"{amount:.{decimals}f}" for amount in amounts]


def _accounts(accounts: pd.DataFrame) -> pd.DataFrame:
    return _named(accounts.assign(created=_dates(accounts["created_day"])), _ACCOUNT)


def _answers(truth: Truth, respondents: pd.DataFrame) -> pd.DataFrame:
    needs = list(next(iter(truth["segments"].values()))["needs"])
    questions = {need: f"Q{number}" for number, need in enumerate(needs, start=1)}
    return _named(respondents.assign(answered=_dates(respondents["answered_day"])), {**_ANSWER, **questions})


def _leads(truth: Truth, leads: pd.DataFrame) -> pd.DataFrame:
    experiment = truth["experiment"]
    drawn = leads["arm"].ne("")
    dates = {column[:-4]: _dates(leads[column]) for column in leads.columns if column.endswith("_day")}
    return _named(
        leads.assign(
            known_account=leads["account_id"].where(leads["is_account_known"], ""),
            test=np.where(drawn, experiment["name"], ""),
            share=leads["arm"].map(experiment["arms"]).map("{:.2f}".format).where(drawn, ""),
            **dates,
        ),
        _LEAD,
    )


def _deals(deals: pd.DataFrame, changes: pd.DataFrame) -> pd.DataFrame:
    latest = changes.groupby("deal_id").last()[["stage", "amount", "close_day", "competitor"]]
    deals = deals.join(latest, on="deal_id", validate="one_to_one")
    is_won = deals["outcome"] == "won"
    return _named(
        deals.assign(
            opened=_dates(deals["opened_day"]),
            ends=_dates(deals["ends_day"].where(deals["outcome"] != "open")),
            close=_dates(deals["close_day"]),
            amount=_money(deals["amount"]),
            status=deals["outcome"].map(_STATUS),
            # As CRMs do: what was not won is worth 0 in the export, and the select knows better.
            won_amount=_money(deals["final_amount"].where(is_won, 0.0)),
        ),
        _DEAL,
    )


def _changes(changes: pd.DataFrame) -> pd.DataFrame:
    return _named(
        changes.assign(
            changed=_dates(changes["day"]),
            close=_dates(changes["close_day"]),
            amount=_money(changes["amount"]),
        ),
        _CHANGE,
    )


def _reps(truth: Truth) -> pd.DataFrame:
    return pd.DataFrame([{"Owner": rep, "Team": entry["team"]} for rep, entry in truth["reps"].items()])


def _materials(materials: pd.DataFrame) -> pd.DataFrame:
    dates = {"added": _dates(materials["added_day"]), "retired": _dates(materials["retired_day"])}
    return _named(materials.assign(**dates), _MATERIAL)


def _touches(touches: pd.DataFrame) -> pd.DataFrame:
    return _named(touches.assign(touched=_dates(touches["day"])), _TOUCH)


def _notes(notes: pd.DataFrame) -> pd.DataFrame:
    return _named(notes.assign(written=_dates(notes["day"])), _NOTE)


def _spend(spend: pd.DataFrame) -> pd.DataFrame:
    names = {"month": "Month", "channel": "Channel", "campaign": "Campaign", "cost": "Cost"}
    return _named(spend.assign(cost=_money(spend["spent"], 2)), names)
