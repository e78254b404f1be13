"""The bundled market as three CRM systems would export it: their names of columns, their ids, their bad habits.

``Habits`` says how a country's office writes: delimiter, encoding, decimal mark, order of dates, words.
"""

import csv
import random
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

WORDS = {"won": "Closed Won", "lost": "Closed Lost", "no_decision": "No Decision"}
REASONS = {
    "price": "Price too high",
    "budget": "No budget",
    "timing": "Bad timing",
    "no_need": "No need",
    "product_gap": "Missing feature",
    "competitor": "Lost to competitor",
    "internal_solution": "Built in house",
    "trust": "References",
    "no_response": "Went dark",
    "other": "Other",
}
GERMAN = {
    **{"Closed Won": "Gewonnen", "Closed Lost": "Verloren", "No Decision": "Keine Entscheidung"},
    **{"Price too high": "Zu teuer", "No budget": "Kein Budget", "Bad timing": "Zeitpunkt", "No need": "Kein Bedarf"},
    **{"Missing feature": "Fehlende Funktion", "Lost to competitor": "Wettbewerber", "Built in house": "Eigene Lösung"},
    **{
        "References": "Vertrauen",
        "Went dark": "Keine Antwort",
        "Other": "Sonstiges",
        "Won": "Gewonnen",
        "Lost": "Verloren",
    },
    **{"Open": "Offen", "true": "wahr", "false": "falsch"},
}
_OWNERS = [f"Owner {letter}" for letter in string.ascii_uppercase]


@dataclass(frozen=True)
class Habits:
    """How an office writes its exports."""

    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    day: str = "%Y-%m-%d"
    words: Mapping[str, str] = field(default_factory=dict)
    breaks: bool = False  # line breaks in cells

    def write(
        self, path: Path, rows: Sequence[Mapping[str, object]], above: Sequence[str] = (), below: Sequence[str] = ()
    ) -> None:
        """Write the rows, every cell as this office does."""
        names = list(rows[0])
        with path.open("w", encoding=self.encoding, newline="") as file:
            for line in above:
                file.write(line + "\r\n")
            lines = csv.writer(file, delimiter=self.delimiter, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
            lines.writerow(names)
            lines.writerows([self.cell(row.get(name)) for name in names] for row in rows)
            for line in below:
                file.write(line + "\r\n")

    def cell(self, value: object) -> str:
        """One cell as text."""
        if value is None or value is pd.NaT or (isinstance(value, float) and pd.isna(value)):
            return ""
        if isinstance(value, pd.Timestamp):
            return value.strftime(self.day)
        if isinstance(value, bool):
            return self.words.get(str(value).lower(), str(value).lower())
        if isinstance(value, float):
            whole, part = f"{value:,.2f}".split(".")
            return whole.replace(",", "." if self.decimal == "," else ",") + self.decimal + part
        return self.words.get(str(value), str(value))


PLAIN = Habits()
GERMANY = Habits(";", "utf-16", ",", "%d.%m.%Y", GERMAN, breaks=True)


@dataclass(frozen=True)
class Market:
    """The truth: canonical frames of a market."""

    accounts: pd.DataFrame
    leads: pd.DataFrame
    deals: pd.DataFrame
    stage_history: pd.DataFrame

    def owner(self, code: object) -> str:
        """The name of a rep, as CRMs export it."""
        return "" if code is None or pd.isna(code) else _OWNERS[int(str(code).rpartition("-")[2])]


def _custom(rng: random.Random, n: int, is_open: Sequence[bool], is_won: Sequence[bool]) -> list[dict[str, object]]:
    """Columns that every grown CRM has: half empty ones, forecasts, things filled in at the end."""
    names = [f"Custom {i}" for i in range(n)]
    rows = []
    for opened, won in zip(is_open, is_won, strict=True):
        row: dict[str, object] = {name: rng.choice(["a", "b", "c"]) if rng.random() < 0.3 else None for name in names}
        row["Probability (%)"] = rng.choice([10, 20, 50, 75]) if opened else 100 if won else 0
        row["Forecast Category"] = "Pipeline" if opened else "Closed" if won else "Omitted"
        row["Last Activity"] = pd.Timestamp("2025-12-30")
        row["Implementation Contact Set"] = rng.choice(["yes", "no"]) if won and not opened else None
        rows.append(row)
    return rows


def salesforce(market: Market, folder: Path, habits: Habits = PLAIN, n_custom: int = 300) -> None:
    """Reports of opportunities, their history, leads and accounts; short ids here and long ones there."""
    from closedloop.market.staging.raw import long_id

    rng, deals = random.Random(1), market.deals
    outcome = deals["outcome"]
    custom = _custom(rng, n_custom, list(outcome == "open"), list(outcome == "won"))
    rows = []
    for (_, deal), more in zip(deals.iterrows(), custom, strict=True):
        is_open = deal["outcome"] == "open"
        end = deal["expected_close_on"] if is_open else deal["closed_on"]
        rows.append({
            "Opportunity ID": sf_id("006", deal["deal_id"]), "Opportunity Name": f"Deal {deal['deal_id']}",
            "Account ID": long_id(sf_id("001", deal["account_id"])) if deal["account_id"] else None,
            "Created Date": deal["created_on"], "Close Date": end,
            "Stage": deal["stage"].capitalize() if is_open else WORDS[deal["outcome"]],
            "Amount": float(deal["won_amount"]) if deal["outcome"] == "won" else _number(deal["expected_amount"]),
            "Product": deal["product"],
            "Main Competitor": deal["competitor"], "Opportunity Owner": market.owner(deal["rep_id"]),
            "Loss Reason": REASONS.get(str(deal["loss_reason"])), "Type": "New Business", "Deleted": False,
            "First Sales Touch": deal["first_touch"], **more,
        })  # fmt: skip
    for i in range(60):  # renewals are nearly always won, and no deals of this market
        rows.append({**rows[i], "Opportunity ID": sf_id("006", f"R{i:04d}"), "Type": "Renewal", "Stage": "Closed Won"})
    rows += [{**rows[i], "Opportunity ID": sf_id("006", f"X{i:04d}"), "Deleted": True} for i in range(25)]
    rng.shuffle(rows)
    habits.write(folder / "Opportunities.csv", rows)
    history = [
        {"Opportunity ID": long_id(sf_id("006", row["deal_id"])), "Edit Date": row["entered_on"],
         "To Stage": row["stage"].capitalize(), "Amount": _number(row["expected_amount"])}
        for _, row in market.stage_history.iterrows()
    ]  # fmt: skip
    history += [{"Opportunity ID": sf_id("006", d["deal_id"]), "Edit Date": d["closed_on"],
                 "To Stage": WORDS[d["outcome"]], "Amount": None}
                for _, d in deals[outcome != "open"].iterrows()]  # fmt: skip
    habits.write(folder / "OpportunityHistory.csv", history)
    habits.write(
        folder / "Accounts.csv", _accounts(market, "Account ID", lambda code: sf_id("001", code), "Created Date")
    )
    converted = deals.dropna(subset="lead_id").groupby("lead_id")["deal_id"].first()
    habits.write(folder / "Leads.csv", [
        {"Lead ID": sf_id("00Q", lead["lead_id"]), "Created Date": lead["created_on"], "Lead Source": lead["channel"],
         "Converted Opportunity ID": sf_id("006", converted[lead["lead_id"]]) if lead["lead_id"] in converted else None,
         "Converted Account ID": sf_id("001", lead["account_id"]) if lead["account_id"] else None,
         "Campaign": lead["campaign"], "Job Function": lead["role"], "Lead Owner": market.owner(lead["rep_id"]),
         "MQL Date": lead["marketing_qualified_on"], "Handoff Date": lead["handed_off_on"],
         "SAL Date": lead["sales_accepted_on"], "SQL Date": lead["sales_qualified_on"],
         "Recycled Date": lead["recycled_on"], "Disqualified Date": lead["disqualified_on"]}
        for _, lead in market.leads.iterrows()
    ])  # fmt: skip


def sf_id(prefix: str, code: object) -> str:
    """A short identifier of Salesforce for a code of the truth."""
    return f"{prefix}5g00000{code!s:>05}".replace(" ", "0")[:15] if code is not None else ""


def _number(value: object) -> float | None:
    return None if value is None or pd.isna(value) else float(value)  # type: ignore[arg-type]


def _accounts(market: Market, key: str, code: Callable[[str], str], created: str) -> list[dict[str, object]]:
    return [
        {key: code(row["account_id"]), "Name": f"Firm {row['account_id']}", created: row["created_on"],
         "Site Type": row["site_type"], "Number of Sites": row["sites"], "Region": row["region"],
         "Automation": row["automation"], "Throughput": row["throughput"],
         "Integrated": None if pd.isna(row["is_integrated"]) else bool(row["is_integrated"])}
        for _, row in market.accounts.iterrows()
    ]  # fmt: skip


def hubspot(market: Market, folder: Path, habits: Habits = PLAIN) -> None:
    """The export of the web pages: record ids, dates of entering each stage, companies and contacts as lists."""
    entered = market.stage_history.pivot_table(index="deal_id", columns="stage", values="entered_on", aggfunc="min")
    stages = ["discovery", "evaluation", "proposal", "negotiation"]
    rows = []
    for number, (_, deal) in enumerate(market.deals.iterrows()):
        is_open = deal["outcome"] == "open"
        own = entered.loc[deal["deal_id"]] if deal["deal_id"] in entered.index else pd.Series(dtype=object)
        company = f"77{deal['account_id'][1:]}" if deal["account_id"] else None
        merged = f"99{deal['account_id'][1:]}" if company and number % 50 == 0 else company
        rows.append({
            "Record ID": f"5{deal['deal_id'][1:]}",
            "Deal Name": f"Deal, {deal['deal_id']}" + ("\nsecond line" if habits.breaks else ""),
            "Pipeline": "Sales Pipeline",
            "Deal Stage": deal["stage"].capitalize() if is_open else WORDS[deal["outcome"]],
            "Create Date": deal["created_on"],
            "Close Date": deal["expected_close_on"] if is_open else deal["closed_on"],
            "Amount": float(deal["won_amount"]) if deal["outcome"] == "won" else _number(deal["expected_amount"]),
            "Deal owner": market.owner(deal["rep_id"]),
            "Product": deal["product"], "Competitor": deal["competitor"], "First Touch": deal["first_touch"],
            "Closed Lost Reason": REASONS.get(str(deal["loss_reason"])),
            "Associated Company IDs": f"{merged};770000" if merged and number % 7 == 0 else merged,
            "Associated Contact IDs": f"8{deal['lead_id'][1:]}" if deal["lead_id"] else None,
            **{f'Date entered "{stage.capitalize()} (Sales Pipeline)"': own.get(stage) for stage in stages},
        })  # fmt: skip
    rows += [
        {**rows[i], "Record ID": f"6{i:04d}", "Pipeline": "Renewals", "Deal Stage": "Closed Won"} for i in range(40)
    ]
    habits.write(folder / "hubspot-crm-exports-all-deals-2026-01-01.csv", rows)
    companies = _accounts(market, "Record ID", lambda code: f"77{code[1:]}", "Create Date")
    for row in companies:
        row["Merged IDs"] = f"99{str(row['Record ID'])[2:]}"
    habits.write(folder / "hubspot-crm-exports-all-companies-2026-01-01.csv", companies)
    habits.write(folder / "hubspot-crm-exports-all-contacts-2026-01-01.csv", [
        {"Record ID": f"8{lead['lead_id'][1:]}", "First Name": "A", "Last Name": f"B{n}", "Email": f"p{n}@example.com",
         "Create Date": lead["created_on"], "Original Source": lead["channel"], "Campaign": lead["campaign"],
         "Associated Company IDs": f"77{lead['account_id'][1:]}" if lead["account_id"] else None,
         "Job Function": lead["role"], "Contact owner": market.owner(lead["rep_id"]),
         "Became a Marketing Qualified Lead Date": lead["marketing_qualified_on"],
         "Handoff Date": lead["handed_off_on"],
         "SAL Date": lead["sales_accepted_on"], "Became a Sales Qualified Lead Date": lead["sales_qualified_on"],
         "Recycled Date": lead["recycled_on"], "Disqualified Date": lead["disqualified_on"]}
        for n, (_, lead) in enumerate(market.leads.iterrows())
    ])  # fmt: skip


def pipedrive(market: Market, folder: Path, habits: Habits = PLAIN) -> None:
    """The list export: a status beside the stage, times of winning and losing, organisations; nobody is recorded."""
    channel, rows = dict(zip(market.leads["lead_id"], market.leads["channel"], strict=True)), []
    for _, deal in market.deals.iterrows():
        how = {"won": "Won", "lost": "Lost", "no_decision": "Lost", "open": "Open"}[deal["outcome"]]
        rows.append({
            "Deal - ID": deal["deal_id"][1:], "Deal - Title": f"Deal {deal['deal_id']}", "Deal - Status": how,
            "Deal - Stage": (deal["stage"] or "").capitalize(), "Deal - Deal created": deal["created_on"],
            "Deal - Value": float(deal["won_amount"]) if deal["outcome"] == "won" else _number(deal["expected_amount"]),
            "Deal - Currency of Value": "EUR", "Deal - Owner": market.owner(deal["rep_id"]),
            "Deal - Won time": deal["closed_on"] if how == "Won" else None,
            "Deal - Lost time": deal["closed_on"] if how == "Lost" else None,
            "Deal - Expected close date": deal["expected_close_on"],
            "Deal - Lost reason": REASONS.get(str(deal["loss_reason"])),
            "Deal - Source channel": channel.get(deal["lead_id"]), "Deal - Product": deal["product"],
            "Deal - Competitor": deal["competitor"], "Deal - First touch": deal["first_touch"],
            "Deal - Organization ID": deal["account_id"][1:] if deal["account_id"] else None,
        })  # fmt: skip
    habits.write(folder / "deals-1234567-1.csv", rows)
    organisations = _accounts(market, "Organization - ID", lambda code: code[1:], "Organization - Organization created")
    habits.write(folder / "organizations-1234567-2.csv", organisations)
