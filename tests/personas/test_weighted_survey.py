"""A survey with weights: what pages and claims say of the market, recomputed from the raw answers with plain pandas."""

from collections.abc import Iterator
from io import StringIO

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

ITEMS = ["wants_speed", "wants_price", "wants_care", "wants_choice", "wants_fame", "wants_calm"]
MORE = '[fields.leads]\ncreation = ["industry"]\n[fields.respondents]\nresearch = ["industry"]\n[items]\n' + "".join(
    f'{item} = "{item.replace("_", " ")}"\n' for item in ITEMS
)
N_LOST = 12
PERIOD = "2024-q3"


def answers() -> pd.DataFrame:
    """Farms were asked as often as shops, of which there are nine times as many; two in three want what is theirs."""
    rng = np.random.default_rng(75)
    n = 360
    industry = np.array(["shop", "farm"])[np.arange(n) % 2]
    liked = np.where(np.arange(6) < 3, (industry == "shop")[:, None], (industry == "farm")[:, None])
    wants = (rng.random((n, 6)) < np.where(liked, 0.9, 0.1)).astype(int)
    found = pd.DataFrame(wants, columns=ITEMS).assign(respondent_id=[f"r{i:03d}" for i in range(n)], industry=industry)
    found["answered_on"] = np.where(np.arange(n) % 3, "2024-01-10", "2023-05-10")
    return found.assign(weight=np.where(industry == "shop", 9.0, 1.0))


def files() -> dict[str, str]:
    told = answers()
    told["weight"] = told["weight"].mask(told.index < N_LOST)
    leads = pd.DataFrame({"lead_id": [f"L{i}" for i in range(80)], "created_on": "2024-02-01",
                          "industry": ["shop", "farm"] * 40})  # fmt: skip
    return {"respondents": told.to_csv(index=False), "leads": leads.to_csv(index=False)}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPeriod]:
    """02 of the coming period as its cells leave it."""
    with project_at(tmp_path_factory.mktemp("weighted")) as root:
        texts = files()
        selects = {"respondents": _select(texts["respondents"])}
        write_market(pages.with_notebooks(root), texts, selects, MORE, deals="")
        given = {"market": "tiny", "period": PERIOD, "out": str(root / "out")}
        yield run_cells(store.notebook_path("02_personas"), given)


def _select(text: str) -> str:
    names = pd.read_csv(StringIO(text)).columns
    kinds = {"weight": "double", "answered_on": "date"} | dict.fromkeys(ITEMS, "integer")
    cells = [f'nullif("{name}", \'\')::{kinds[name]} as "{name}"' if name in kinds else f'"{name}"' for name in names]
    return f"select {', '.join(cells)} from raw.respondents"


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
    assert "of the whole market (" in sentence_of
    assert f"n = {told.n}, effective {round(told.n_effective)}, " in sentence_of
