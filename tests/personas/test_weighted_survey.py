"""A survey with weights: what pages and claims say of the market, recomputed from the raw answers with plain pandas."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from closedloop.market.definition import read_definition
from closedloop.period import store
from closedloop.presentation.sentences import sentence
from closedloop.presentation.words import Words
from closedloop.workbench.cells import run_cells
from closedloop.workbench.period import OpenPeriod

from tests import pages
from tests.documents.ledger import plain
from tests.market.conftest import project_at, write_market
from tests.questions.weighted import MORE, N_LOST, answers, files, select

PERIOD = "2024-q3"


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPeriod]:
    """02 of the coming period as its cells leave it."""
    with project_at(tmp_path_factory.mktemp("weighted")) as root:
        texts = files()
        selects = {"respondents": select(texts["respondents"])}
        write_market(pages.with_notebooks(root), texts, selects, MORE, deals="")
        given = {"market": "tiny", "period": PERIOD, "out": str(root / "out")}
        yield run_cells(store.notebook_path("02_personas"), given)


def weighed() -> pd.DataFrame:
    """The answers that have a weight."""
    return answers().iloc[N_LOST:]


def test_personas_are_told_from_the_market_by_weighted_shares(planned: OpenPeriod) -> None:
    rows, claims = weighed(), planned.claims
    shares = claims[(claims["measure"] == "share") & (claims["level"] == "1")]
    assert shares.groupby("subject")["field"].nunique().tolist() == [6, 6]
    for claim in shares.itertuples():
        assert claim.baseline == pytest.approx(np.average(rows[claim.field], weights=rows["weight"]))
    assert (shares["n_effective"] <= shares["n"] + 1e-9).all()
    supported = shares[(shares["verdict"] == "supported") & (shares["effect"] > 0)]
    assert len(supported)
    page = plain(next(list(one.pieces()) for one in planned.answers.values() if one.verb == "attributes"))
    told = supported.sort_values("effect").iloc[-1]
    assert f"▲ {round(100 * told.estimate)} % ({round(100 * told.low)}–{round(100 * told.high)} %)" in page
    sentence_of = sentence(told.to_dict(), Words(read_definition("tiny"))).text
    assert "of all that record it (" in sentence_of
    assert f"n = {told.n}, effective {round(told.n_effective)}, " in sentence_of
