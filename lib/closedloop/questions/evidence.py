"""What the pieces of a page may render: claims, tables and key figures, and the market's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from closedloop.documents.findings import first
from closedloop.documents.wording import Words
from closedloop.loop.step import no_claims


@dataclass(frozen=True)
class Evidence:
    """``claims``: those of the answer; ``ledger``: all of the notebook, for what one finding says of another.

    ``rules``: the ways to recognise each persona, in the market's words.
    """

    words: Words
    period: str
    claims: pd.DataFrame = field(default_factory=no_claims)
    ledger: pd.DataFrame = field(default_factory=no_claims)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the answer; an empty frame when it is absent."""
        return self.tables.get(name, pd.DataFrame())

    def result(self, name: str) -> Any:
        """A key figure; None when it is undefined."""
        return self.results.get(name)

    def of(self, *measures: str) -> pd.DataFrame:
        """The claims on these measures."""
        return self.claims[self.claims["measure"].isin(measures)]

    def cell(self, name: str) -> pd.DataFrame:
        """The claims that the section ``name`` shows."""
        return self.claims[self.claims["cell"] == name]

    def first(self, measure: str, **wanted: str) -> Mapping[str, Any] | None:
        """The first claim on a measure with these values; None when there is none."""
        return first(self.claims, measure=measure, **wanted)
