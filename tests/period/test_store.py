"""What a step leaves behind is read back as it was."""

from pathlib import Path

import pandas as pd
import pytest
from closedloop.claims.ledger import CLAIM_COLUMNS, typed
from closedloop.period.store import Step, read_frame, read_step, write_frame, write_step


@pytest.mark.usefixtures("python_texts")
def test_a_frame_is_read_back_with_its_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "text": pd.Series(["a", None, "ü"], dtype="str"),
            "n": pd.Series([1, None, 3], dtype="Int64"),
            "rate": [0.1, None, 0.3],
            "flag": pd.Series([True, None, False], dtype="boolean"),
            "day": pd.to_datetime(["2024-01-01", None, "2024-02-29"]),
        }
    )
    for number, kept in enumerate((frame, frame.head(0), typed([{"claim_id": "c", "n": 3}], CLAIM_COLUMNS))):
        path = tmp_path / f"{number}.parquet"
        write_frame(path, kept)
        pd.testing.assert_frame_equal(read_frame(path), pd.read_parquet(path), check_exact=True)
        pd.testing.assert_frame_equal(read_frame(path), kept, check_exact=True)


@pytest.mark.usefixtures("python_texts")
def test_a_step_is_read_back(tmp_path: Path) -> None:
    tables = {"texts": pd.DataFrame({"text": ["one", "two"]})}
    write_step(tmp_path, Step("leads", tables, results={"n": 2, "rate": float("nan")}, missing={"won": "no deals"}))
    found = read_step(tmp_path, "leads")
    assert (found.results, found.missing) == ({"n": 2, "rate": None}, {"won": "no deals"})
    assert list(found.tables) == ["texts"]
    pd.testing.assert_frame_equal(found.tables["texts"], tables["texts"])
