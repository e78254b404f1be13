"""How a comparison is made again on other outcomes: what the self-test needs of an answer."""

from collections.abc import Callable, Sequence
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


@dataclass(frozen=True)
class ShareRedraw:
    """Shares of the levels ``by`` in each of ``groups``: with nothing between them the rows of ``by`` are shuffled.

    ``group``: the only group that is compared; ``weights``: of a survey, one a row, which stay with ``by``.
    """

    by: pd.DataFrame
    groups: pd.Series
    measure: str
    weights: pd.Series | None = None
    group: str = ""


@dataclass(frozen=True)
class AssociationRedraw:
    """The strongest ``pairs`` of answers to different ``items``: with nothing in common each item is shuffled alone."""

    items: pd.DataFrame
    pairs: int


@dataclass(frozen=True)
class TargetRedraw:
    """Scores of segments by criteria, some of them made of deals: ``score(deals)`` gives the closed family's looks.

    ``ids``: of the deals that ended, whose outcomes, amounts and days are made again.
    """

    ids: pd.Series
    score: Callable[[pd.DataFrame], pd.DataFrame]
