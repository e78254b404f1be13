"""How a comparison is made again on other outcomes: what the self-test needs of an answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class RateRedraw:
    """Rates of ``outcome`` by the levels ``by`` of the records with these ids, inside their ``strata``.

    ``within``: a second stratum beside the period; ``gate``: the field whose spread beyond luck has to be shown first.
    """

    table: str
    ids: pd.Series
    by: pd.DataFrame
    days: pd.Series
    outcome: str
    measure: str
    threshold: float
    subject: str = "market"
    late: Sequence[str] = ()
    within: pd.Series | None = None
    gate: str = ""


@dataclass(frozen=True)
class SizeRedraw:
    """Amounts or days of won deals by ``groups``; ``is_per_decided``: of decided ones, lost ones as nothing."""

    table: str
    ids: pd.Series
    groups: pd.Series
    size: str
    measure: str
    is_per_decided: bool = False
