"""A survey with weights: what 01 says of the market, recomputed from the raw answers with plain pandas."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from tests.market.conftest import project_at, write_market
from tests.questions.researched import Researched, researched
from tests.questions.weighted import ITEMS, MORE, N_LOST, answers, files, select


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Researched]:
    root = tmp_path_factory.mktemp("weighted")
    with project_at(root):
        texts = files()
        write_market(root, texts, {"respondents": select(texts["respondents"])}, MORE, deals="")
        found = researched("tiny", "2024-q3", root / "out")
        found.now.close(found.found)
        yield found


def weighed() -> pd.DataFrame:
    """The answers that have a weight."""
    return answers().iloc[N_LOST:]


def plain(shown: object) -> str:
    return repr(shown).replace("\N{NO-BREAK SPACE}", " ")


def test_the_page_tells_the_markets_shares_and_how_sure_they_are(planned: Researched) -> None:
    rows = weighed()
    kish = rows["weight"].sum() ** 2 / (rows["weight"] ** 2).sum()
    shares = planned.answers.claims.query("measure == 'profile_share'").set_index("field")
    for item in ITEMS:
        assert shares.loc[item, "estimate"] == pytest.approx(np.average(rows[item], weights=rows["weight"]))
        assert shares.loc[item, "n"] == len(rows)
        assert shares.loc[item, "n_effective"] <= kish + 1e-9
    share = shares.loc["wants_speed", "estimate"]
    assert share > rows["wants_speed"].mean() + 0.25
    page = plain(planned.answers)
    assert f"wants speed: {round(100 * share)} % (" in page
    assert f"n = {len(rows)}, effective {round(shares.loc['wants_speed', 'n_effective'])}" in page
    assert f"as sure as {round(kish)} of equal weight" in plain(planned.size)


def test_answers_without_a_weight_are_left_out_and_told(planned: Researched) -> None:
    page = plain(planned.size)
    assert f"{N_LOST} of 360 respondents have no weight and are left out" in page
    assert "Answers count by their weights" in page
    assert "348 rows of respondents" in page
    assert len(planned.sample) == 348


def test_segments_are_as_large_as_in_the_market(planned: Researched) -> None:
    sizes = planned.shape.claims.query("measure == 'segment_share'").sort_values("level")
    assert sizes["estimate"].tolist() == pytest.approx([0.9, 0.1], abs=0.04)
    assert (sizes["n"] == 348).all() and (sizes["n_effective"] < 250).all()
    known = planned.choice.claims.query("measure == 'criterion_size'").sort_values("level")
    assert known["estimate"].tolist() == pytest.approx(sizes["estimate"].tolist())
    assert known["n_effective"].tolist() == pytest.approx(sizes["n_effective"].tolist())
    assert "effective" in plain(planned.shape)


def test_the_waves_are_compared_by_weight(planned: Researched) -> None:
    rows = weighed().assign(is_last=lambda frame: frame["answered_on"] == "2024-01-10")
    gaps = planned.waves.claims.query("measure == 'wave_share_change'").sort_values("level")
    assert len(gaps) == 2
    shop = (rows["industry"] == "shop").to_numpy(float)
    last, before = (
        np.average(shop[part], weights=rows.loc[part, "weight"]) for part in (rows["is_last"], ~rows["is_last"])
    )
    assert gaps["estimate"].iloc[0] == pytest.approx(last - before, abs=0.05)
    assert gaps["n"].iloc[0] == rows["is_last"].sum()
    assert gaps["n_effective"].iloc[0] < gaps["n"].iloc[0]


def test_comparisons_that_are_made_again_keep_their_weights(planned: Researched) -> None:
    (redraw,) = planned.apart.redraws
    assert redraw.weights.tolist() == weighed()["weight"].tolist()
    assert set(redraw.groups) == {"0", "1"}
    assert redraw.by["industry"].tolist() == weighed()["industry"].tolist()
