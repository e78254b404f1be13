"""Hand-made claims and words that tests of pages share, and how a page shows them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from closedloop.claims.ledger import (
    CLAIM_COLUMNS,
    STATEMENT_COLUMNS,
    Origin,
    close_family,
    counted,
    estimated,
    outside,
    stacked,
    typed,
)
from closedloop.market.definition import Definition
from closedloop.presentation.blocks import Piece
from closedloop.presentation.words import Words
from closedloop.workbench.answer import Evidence

Show = Callable[[Evidence, str], Sequence[Piece]]
NAN = float("nan")
FIGURES = ("estimate", "low", "high", "n")

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


def rates(field: str, **levels: tuple[float, ...]) -> list[dict[str, Any]]:
    """Rows of statements: estimate, low, high, n of each level."""
    return [{"field": field, "level": level, **figures(*of)} for level, of in levels.items()]


def whole(*of: float) -> list[dict[str, Any]]:
    """Estimate, low, high, n of all together."""
    return rates("", **{"": of})


def totals(field: str, n: int, **levels: float) -> list[dict[str, Any]]:
    """Rows of statements: how many each level are, of ``n``."""
    return [{"field": field, "level": level, "estimate": total, "n": n} for level, total in levels.items()]


def figures(*of: float) -> dict[str, float]:
    """Estimate, low, high, n."""
    return dict(zip(FIGURES, of, strict=True))


def judged(looks: pd.DataFrame, family: str = "how they end") -> pd.DataFrame:
    """Claims of a family of the small market."""
    return close_family(looks, family=family, market="yard", period="2025-q1")


class Draft:
    """Claims of the small market in the making, as an answer collects them."""

    def __init__(self) -> None:
        self.statements: list[dict[str, Any]] = []
        self.closed: list[pd.DataFrame] = []

    def estimate(self, rows: Any, origin: Origin, measure: str, **about: str) -> None:
        self.statements += estimated(rows, origin, measure=measure, **about)

    def count(self, rows: Any, origin: Origin, measure: str, **about: str) -> None:
        self.statements += counted(rows, origin, measure=measure, **about)

    def claims(self) -> pd.DataFrame:
        stated = outside(typed(self.statements, STATEMENT_COLUMNS), market="yard", period="2025-q1")
        return stacked([stated, *self.closed], CLAIM_COLUMNS)


def seen(own: pd.DataFrame, **more: Any) -> Evidence:
    """What an answer sees whose claims are all there is, unless ``ledger`` says more; ``more``: tables and results."""
    return Evidence(words(fast="Fast start"), "2025-q1", own, more.pop("ledger", own), **more)


def plain(shown: object) -> str:
    """What is shown, as text with single, plain spaces; of several pieces one below the other."""
    parts = shown if isinstance(shown, list | tuple) else [shown]
    text = "\n".join(map(repr, parts)).replace("\N{NO-BREAK SPACE}", " ")
    return "\n".join(" ".join(line.split()) for line in text.splitlines())
