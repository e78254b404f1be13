"""How a comparison is made again on other outcomes: what the self-test needs of an answer."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from closedloop.market.files import write_atomic
from closedloop.period.lead_records import CONVERSION
from closedloop.period.store import read_frame, write_frame
from closedloop.statistics.recording import Followed
from closedloop.workbench.answer import Answer


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

    ``deals``: in the order of ``ids``, with their segment, day and period of closing; ``has_amounts``, ``has_days``:
    are they recorded? ``others``: the criteria made of anything else, each with estimate, low and high by segment.
    ``weights``: of the criteria, by axis.
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
    threshold: float


@dataclass(frozen=True)
class SignalRedraw:
    """Signals sought anew on other outcomes, with none in force: the ``levels`` of decided deals, persona first.

    ``days``: on which they closed; the settings are those of ``personas.signals.refine``.
    """

    ids: pd.Series
    levels: pd.DataFrame
    days: pd.Series
    of_people: Sequence[str]
    window: int
    planned_periods: int


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
    """What was learned, kept without what it is learned from: it counts in the size of its family."""

    measure: str
    family: str = ""

    @classmethod
    def of(cls, redraw: ScoreRedraw | SignalRedraw) -> "Learned":
        """In the place of a redraw."""
        return cls("", "signal") if isinstance(redraw, SignalRedraw) else cls(redraw.measure)


_FOLDER = "comparisons"
_PART = "/"  # between a field and the column of its frame


@dataclass(frozen=True)
class Compared:
    """What a notebook compared; ``left_out``: verbs whose comparisons cannot be made again, and why."""

    redraws: list[Any]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, notebook: str, answers: Iterable[Answer]) -> "Compared":
        """Of the answers of a notebook."""
        asked = list(answers)
        left_out = {f"{notebook}: {one.verb}": _why(one) for one in asked if len(one.compared) and not one.redraws}
        return cls([redraw for one in asked for redraw in one.redraws], left_out)


def _why(answer: Answer) -> str:
    if not answer.is_recorded:
        return "its rows are no records of a table"
    is_recording = answer.compared["measure"].isin(["recorded_share", "arm_share"]).all()
    return "a test of the records" if is_recording else "it learns by a classifier that was handed in"


def write_compared(folder: Path, notebook: str, compared: Compared) -> None:
    """Keep what a notebook compared in a period's ``folder``, in place of what it had left there."""
    for path in (folder / _FOLDER).glob(f"{notebook}.*"):
        path.unlink()
    for number, redraw in enumerate(compared.redraws):
        write_frame(folder / _FOLDER / f"{notebook}.{number:03d}.parquet", _frame_of(redraw))
    write_atomic(folder / _FOLDER / f"{notebook}.json", json.dumps(dict(compared.left_out), indent=1).encode())


def read_compared(folder: Path, notebook: str) -> Compared:
    """What ``write_compared`` left; scores and signals have become ``redraws.Learned``."""
    paths = sorted((folder / _FOLDER).glob(f"{notebook}.*.parquet"))
    left_out = json.loads((folder / _FOLDER / f"{notebook}.json").read_text("utf-8"))
    return Compared([_redraw_of(read_frame(path)) for path in paths], left_out)


def _frame_of(redraw: Any) -> pd.DataFrame:
    """A redraw as a frame: its series and frames are columns, all else goes into the attributes."""
    if isinstance(redraw, ScoreRedraw | SignalRedraw):
        redraw = Learned.of(redraw)
    columns: dict[str, Any] = {}
    others: dict[str, Any] = {"redraw": type(redraw).__name__}
    for name in (one.name for one in fields(redraw)):
        value = getattr(redraw, name)
        if isinstance(value, pd.Series):
            columns[name] = value.array
        elif isinstance(value, pd.DataFrame):
            columns |= {f"{name}{_PART}{column}": value[column].array for column in value}
        elif isinstance(value, Followed):
            columns |= {f"{name}{_PART}{part}": of for part, of in value._asdict().items()}
        else:
            others[name] = sorted(value) if isinstance(value, set | frozenset) else value
    frame = pd.DataFrame(columns)
    frame.attrs.update(others)
    return frame


def _redraw_of(frame: pd.DataFrame) -> Any:
    given: dict[str, Any] = {str(name): value for name, value in frame.attrs.items()}
    kind = globals()[given.pop("redraw")]
    for one in fields(kind):
        columns = [str(name) for name in frame if str(name).startswith(f"{one.name}{_PART}")]
        own = {name.partition(_PART)[2]: frame[name] for name in columns}
        if one.type is Followed:
            given[one.name] = Followed(**{name: part.to_numpy() for name, part in own.items()})
        elif own or one.type is pd.DataFrame:
            given[one.name] = pd.DataFrame(own, index=frame.index)
        elif one.name in frame:
            given[one.name] = frame[one.name]
    return kind(**given)
