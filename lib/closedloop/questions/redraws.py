"""How a comparison is made again on other outcomes: what the self-test needs of an answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from closedloop.loop.persona import PersonaSet
from closedloop.loop.situation import Situation


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
class SplitRedraw:
    """Edits of a persona set: the levels ``by`` of each persona's decided deals, inside their periods.

    ``gate``: a difference of rates worth a change; ``rate``: of error, with which a split is permanent.
    """

    ids: pd.Series
    personas: pd.Series
    by: pd.DataFrame
    days: pd.Series
    gate: float
    rate: float


@dataclass(frozen=True)
class PromiseRedraw:
    """Promised win rates: made again of the deals ``is_promised``, and judged by those of the period (``is_now``).

    ``ids``, ``personas``, ``days``: of all decided deals; ``in_force``: the set that promised.
    """

    ids: pd.Series
    personas: pd.Series
    days: pd.Series
    is_promised: "pd.Series[bool]"
    is_now: "pd.Series[bool]"
    in_force: PersonaSet
    gate: float


@dataclass(frozen=True)
class DuelRedraw:
    """The duel of ``champion_challenger.duel``: the ``closed`` deals with other outcomes, the same set in force."""

    ids: pd.Series
    closed: pd.DataFrame
    in_force: PersonaSet
    situation: Situation
    fields: Sequence[str] | None = None


@dataclass(frozen=True)
class DriftRedraw:
    """Rates or shares of personas in the last of the ``periods`` against the others (``drift.compared``).

    What a null world draws anew is the period of each deal.
    """

    ids: pd.Series
    personas: pd.Series
    period: pd.Series
    periods: Sequence[str]
    groups: Sequence[str]
    measure: str
    threshold: float


@dataclass(frozen=True)
class OrderRedraw:
    """Other orders of calling: logged leads, the probability with which each was drawn, and its persona's promise."""

    ids: pd.Series
    logged: pd.Series
    promise: pd.Series
    outcome: str = "is_won"
    measure: str = "order_won_rate"
