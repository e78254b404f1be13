"""What is dear is made once for one and the same input: by whoever asks first, whole or not at all."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.market import kept as module
from closedloop.market.kept import Frames, fingerprint_of, kept

from tests.market.conftest import project_at

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with project_at(tmp_path) as place:
        yield place


class Maker:
    """Counts how often it is asked, in a file that all processes see."""

    def __init__(self, path: Path, seconds: float = 0.0) -> None:
        self.path, self.seconds = path, seconds

    def __call__(self) -> Frames:
        with self.path.open("a") as file:
            file.write("made\n")
        if self.seconds:
            FORK.Event().wait(self.seconds)
        return {"sizes": pd.DataFrame({"n": [3, 1], "share": [0.75, np.nan], "name": ["a", None]})}

    @property
    def times(self) -> int:
        return len(self.path.read_text().splitlines()) if self.path.exists() else 0


def test_it_is_made_once_and_read_as_it_was_made(root: Path) -> None:
    make = Maker(root / "times")
    first, again = kept("test", "rows", make), kept("test", "rows", make)
    assert make.times == 1
    assert again["sizes"]["n"].tolist() == first["sizes"]["n"].tolist() == [3, 1]
    assert again["sizes"]["share"].iloc[0] == 0.75 and again["sizes"]["share"].isna().iloc[1]
    assert again["sizes"]["name"].isna().tolist() == [False, True]


def test_another_input_kind_or_code_is_made_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Maker(root / "times")
    kept("test", "rows", make)
    kept("test", "other rows", make)
    kept("another kind", "rows", make)
    assert make.times == 3
    monkeypatch.setattr(module, "makers", lambda: "other code")
    kept("test", "rows", make)
    assert make.times == 4


def test_who_comes_second_waits_for_the_first(root: Path) -> None:
    make = Maker(root / "times", seconds=0.5)
    both = [FORK.Process(target=kept, args=("test", "rows", make)) for _ in range(3)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=30)
    assert [process.exitcode for process in both] == [0, 0, 0]
    assert make.times == 1


def test_what_fails_or_dies_leaves_nothing_and_holds_up_nobody(root: Path) -> None:
    def fails() -> Frames:
        raise ValueError("no rows")

    def dies() -> Frames:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    with pytest.raises(ValueError, match="no rows"):
        kept("test", "rows", fails)
    process = FORK.Process(target=kept, args=("test", "rows", dies))
    process.start()
    process.join(timeout=30)
    assert process.exitcode == -signal.SIGKILL
    assert not list((root / "runs" / ".kept").rglob("*.parquet"))
    make = Maker(root / "times")
    assert kept("test", "rows", make)["sizes"]["n"].sum() == 4


def test_a_fingerprint_is_of_values_names_types_and_order() -> None:
    rows = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    same = fingerprint_of(rows.set_axis([7, 9], axis=0))
    others = [rows.iloc[::-1], rows.rename(columns={"a": "c"}), rows.astype({"a": float}), rows.assign(b=["x", "z"])]
    assert same == fingerprint_of(rows)
    assert len({same, *map(fingerprint_of, others)}) == 5
    assert fingerprint_of(rows["a"]) == fingerprint_of(rows[["a"]])
