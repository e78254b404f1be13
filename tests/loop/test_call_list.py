"""The list to call: its drawn places, and the known probability of each record."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.loop import turn
from closedloop.loop.call_list import listed, to_log
from closedloop.market.definition import CallList


def ranked(n: int) -> pd.DataFrame:
    """Waiting records, the best first."""
    return pd.DataFrame({"lead_id": [f"L{place}" for place in range(n)]}, index=range(100, 100 + n))


def test_a_tenth_of_the_places_is_drawn_from_all_that_are_not_ranked_onto_the_list() -> None:
    found = listed(ranked(500), 0.10, np.random.default_rng(1), length=200)
    by_rank, drawn = (found[found["slot"] == slot] for slot in ("ranked", "random"))
    assert found["rank"].tolist() == list(range(1, 201))
    assert by_rank["lead_id"].tolist() == [f"L{place}" for place in range(180)], "the best, in their order"
    assert len(drawn) == 20
    assert drawn["lead_id"].is_unique
    assert not drawn["lead_id"].isin(by_rank["lead_id"]).any()
    assert by_rank["arm_rate"].eq(1).all()
    assert drawn["arm_rate"].tolist() == [20 / 320] * 20


def test_everybody_who_is_not_ranked_is_drawn_equally_often_and_to_any_place() -> None:
    n_times, places = np.zeros(30), []
    for seed in range(4000):
        found = listed(ranked(30), 0.2, np.random.default_rng(seed), length=10)
        drawn = found[found["slot"] == "random"]
        n_times[drawn["lead_id"].str[1:].astype(int)] += 1
        places += drawn["rank"].tolist()
    assert not n_times[:8].any()
    rate = 2 / 22
    error = np.sqrt(rate * (1 - rate) / 4000)
    assert np.abs(n_times[8:] / 4000 - rate).max() < 4 * error, "arm_rate is the share that was drawn"
    assert np.bincount(places)[1:].min() > 0.85 * len(places) / 10, "nobody is called last for being drawn"


@pytest.mark.parametrize(("n", "share"), [(50, 0.10), (200, 0.10), (500, 0.0), (0, 0.10)])
def test_nobody_is_drawn_where_all_are_called_or_no_share_is_set(n: int, share: float) -> None:
    found = listed(ranked(n), share, np.random.default_rng(1), length=200)
    assert found["lead_id"].tolist() == [f"L{place}" for place in range(min(n, 200))]
    assert set(found["slot"]) <= {"ranked"}
    assert found["arm_rate"].eq(1).all()


def test_the_file_for_the_crm_logs_the_draw(tmp_path: Path) -> None:
    folder = turn.plan("harbor", "2024-q3", tmp_path)
    table = pd.read_parquet(folder / "tables" / "leads.next_leads.parquet")
    file = pd.read_csv(folder / "call-list.csv")
    assert file["record_id"].tolist() == table["record_id"].tolist()
    assert set(file["experiment"]) == {"call-list"}
    assert file["arm"].tolist() == table["slot"].tolist() == to_log(table)["arm"].tolist()
    assert file["arm"].value_counts().to_dict() == {"ranked": 180, "random": 20}
    assert file.groupby("arm")["arm_rate"].nunique().tolist() == [1, 1]
    assert CallList().random_share == 0.10
