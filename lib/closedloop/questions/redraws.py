"""How a comparison is made again on other outcomes: what the self-test needs of an answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from closedloop.evidence.conversions import Followed
from closedloop.loop.comparisons import CONVERSION


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
class ConversionRedraw:
    """Shares of leads won ``until`` the usual day by the levels ``by``; won, days and days seen move together.

    ``leads``: in the order of ``ids``, each with the period in which it came (``cohort``), inside which it moves.
    """

    table: str
    ids: pd.Series
    by: pd.DataFrame
    leads: Followed
    until: float
    threshold: float
    measure: str = CONVERSION


@dataclass(frozen=True)
class CostRedraw:
    """What a won lead of each of ``groups`` costs: the won ones fall on the money ``spent``, a share a lead."""

    table: str
    ids: pd.Series
    groups: pd.Series
    spent: pd.Series
    measure: str
    subject: str = "market"


@dataclass(frozen=True)
class ArmRedraw:
    """Drawn ``arms`` of one experiment by an outcome ``hit`` (1, 0 or missing), inside the periods of ``days``.

    Its leads change places with each other alone. ``amount``: of each lead, where what it brought is compared.
    ``control``: the arm that the others are compared with; without one two arms stand against each other.
    """

    table: str
    ids: pd.Series
    arms: pd.Series
    days: pd.Series
    hit: pd.Series
    measure: str
    threshold: float
    experiment: str
    control: str | None = None
    amount: pd.Series | None = None


@dataclass(frozen=True)
class ScoreRedraw:
    """A score learned anew from ``rows`` in the order of ``when`` (None: without dates), on other outcomes ``is_won``.

    ``learner``: the one that is tried beside base rates; None: all. ``asked``: rows that the score puts in order, with
    their outcomes ``asked_is_won`` and their places by the stage, ``asked_stage``; None where the score itself is
    judged on later rows.
    """

    table: str
    ids: pd.Series
    rows: pd.DataFrame
    is_won: pd.Series
    when: pd.Series | None
    measure: str
    learner: str | None = None
    asked: pd.DataFrame | None = None
    asked_is_won: pd.Series | None = None
    asked_stage: pd.Series | None = None
