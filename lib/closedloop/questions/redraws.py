"""How a comparison is made again on other outcomes: what the self-test needs of an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from closedloop.evidence.conversions import Followed
from closedloop.loop.comparisons import CONVERSION
from closedloop.loop.persona import PersonaSet
from closedloop.loop.situation import Situation


@dataclass(frozen=True)
class RateRedraw:
    """Rates of ``outcome`` by the levels ``by`` of the records with these ids, inside their ``strata``.

    ``least``: smaller groups are not compared. ``within``: a second stratum beside the period; ``gate``: the field
    whose spread beyond luck (p <= ``luck``) has to be shown first.
    """

    table: str
    ids: pd.Series
    by: pd.DataFrame
    days: pd.Series
    outcome: str
    measure: str
    threshold: float
    subject: str = "market"
    least: int = 10
    late: Sequence[str] = ()
    within: pd.Series | None = None
    gate: str = ""
    luck: float = 1.0


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
    """Scores of ``segments`` by criteria, some of them made of ``deals``, whose outcomes, amounts and days move.

    ``deals``: in the order of ``ids``, with their segment and day of closing; ``has_amounts``, ``has_days``: are they
    recorded? ``others``: the criteria made of anything else, each with estimate, low and high by segment. ``weights``:
    of the criteria, by axis.
    """

    ids: pd.Series
    deals: pd.DataFrame
    segments: Sequence[str]
    others: Mapping[str, Mapping[str, Sequence[float]]]
    weights: Mapping[str, Mapping[str, float]]
    has_amounts: bool
    has_days: bool


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

    ``ids``, ``personas``, ``days``: of all decided deals; ``promising``: the personas that promised, as they stand in
    their set.
    """

    ids: pd.Series
    personas: pd.Series
    days: pd.Series
    is_promised: pd.Series
    is_now: pd.Series
    promising: Sequence[str]
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


@dataclass(frozen=True)
class Learned:
    """What a score or a duel compared, kept without what it is learned from: it counts in the size of its family."""

    measure: str
    family: str = ""

    @classmethod
    def of(cls, redraw: ScoreRedraw | DuelRedraw) -> "Learned":
        """In the place of a redraw."""
        return cls("", "duel") if isinstance(redraw, DuelRedraw) else cls(redraw.measure)
