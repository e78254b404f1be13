"""Hand-made claims, words and steps that the tests of documents share."""

from pathlib import Path
from typing import Any

import pandas as pd
from closedloop.documents.sections.section import Evidence
from closedloop.documents.wording import Words
from closedloop.evidence.claims import CLAIM_COLUMNS, typed
from closedloop.loop.step import Step
from closedloop.market.definition import Definition

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'

CLAIM: dict[str, Any] = {
    "claim_id": "win-rate-1",
    "market": "yard",
    "period": "2025-q1",
    "first_period": "2024-q2",
    "last_period": "2025-q1",
    "family": "how they end",
    "family_size": 4,
    "notebook": "05_deals",
    "cell": "findings",
    "within": "",
    "measure": "win_rate",
    "unit": "rate",
    "subject": "market",
    "field": "sites",
    "level": "over 20",
    "estimate": 0.44,
    "low": 0.38,
    "high": 0.50,
    "baseline": 0.33,
    "effect": 0.11,
    "n": 210,
    "verdict": "supported",
    "kind": "descriptive",
    "needed_n": 354,
    "visible_difference": 0.08,
    "source_table": "deals",
}


def claims(*changes: dict[str, Any]) -> pd.DataFrame:
    """A ledger with one row for each set of changes to ``CLAIM``."""
    rows = [{**CLAIM, "claim_id": f"claim-{i}", **change} for i, change in enumerate(changes)]
    return typed(rows, CLAIM_COLUMNS)


def definition(**changes: Any) -> Definition:
    """The definition of a small market without data."""
    values: dict[str, Any] = {
        "name": "yard",
        "folder": Path("data/yard"),
        "title": "Yard",
        "licence": "none",
        "currency": "EUR",
        "clock": "none",
        "sources": {},
        "items": {"wants_price": "Is the price first?"},
        "labels": {"sites": "number of sites", "product.plan": "Yard Plan"},
    }
    return Definition(**{**values, **changes})


def words(**names: str) -> Words:
    """The words of the small market; ``names`` are personas' display names."""
    return Words(definition(), names)


def evidence(step: str, tables: dict[str, pd.DataFrame], ledger: pd.DataFrame | None = None, **rest: Any) -> Evidence:
    """What a section of ``step`` sees; ``rest``: results and missing of the step."""
    found = Step(step, tables, results=rest.get("results", {}), missing=rest.get("missing", {}))
    return Evidence(words(fast="Fast start"), "2025-q1", found, claims() if ledger is None else ledger)
