"""What a notebook compared, kept beside its claims: it can be made again on other outcomes without the notebook."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from closedloop.evidence.conversions import Followed
from closedloop.loop.step import read_frame, replace_file, write_frame
from closedloop.questions import redraws
from closedloop.questions.answer import Answer

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
    replace_file(folder / _FOLDER / f"{notebook}.json", json.dumps(dict(compared.left_out), indent=1).encode())


def read_compared(folder: Path, notebook: str) -> Compared:
    """What ``write_compared`` left; scores and duels have become ``redraws.Learned``."""
    paths = sorted((folder / _FOLDER).glob(f"{notebook}.*.parquet"))
    left_out = json.loads((folder / _FOLDER / f"{notebook}.json").read_text("utf-8"))
    return Compared([_redraw_of(read_frame(path)) for path in paths], left_out)


def _frame_of(redraw: Any) -> pd.DataFrame:
    """A redraw as a frame: its series and frames are columns, all else goes into the attributes."""
    if isinstance(redraw, redraws.ScoreRedraw | redraws.DuelRedraw):
        redraw = redraws.Learned.of(redraw)
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
    kind = getattr(redraws, given.pop("redraw"))
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
