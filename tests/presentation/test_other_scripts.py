"""A market in other scripts and signs: its ids, names, pages and files, from raw rows to what people read."""

import html
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.workbench import cells
from closedloop.workbench.cells import set_in_force

from tests import pages
from tests.market.conftest import project_at, write_market

PERIOD = "2024-q2"
FIELDS = '[fields.accounts]\nresearch = ["業種", "規模"]\n'
RIVALS = ["C", "C++", "../../競合/x"]
INDUSTRY = ["卸売業", "製造業", "物流業"]
PRODUCTS = ["C", "C++", "<b>C</b>", "تجارة", "Everyone", "a\nb", "very long " * 30 + "1", "very long " * 30 + "2"]


def market() -> dict[str, str]:
    """Accounts of three industries, that go with three sizes, and deals on products that differ by signs alone."""
    rng, n = np.random.default_rng(3), 480
    born = pd.Timestamp("2024-01-02") + pd.to_timedelta(np.sort(rng.integers(0, 150, n)), unit="D")
    kind = rng.integers(0, 3, n)
    size = np.where(rng.random(n) < 0.9, kind, rng.integers(0, 3, n))
    won = rng.random(n) < np.array([0.25, 0.4, 0.75])[kind]
    keys, day = [f"A{i}" for i in range(n)], born.strftime("%Y-%m-%d")
    accounts = {"account_id": keys, "業種": np.array(INDUSTRY)[kind], "規模": np.array(["小", "中", "大"])[size]}
    deals = {"deal_id": keys, "account_id": keys, "created_on": day, "stage": "proposal"}
    deals |= {"outcome": np.where(won, "won", "lost")}
    deals |= {"closed_on": (born + pd.to_timedelta(rng.integers(1, 25, n), unit="D")).strftime("%Y-%m-%d")}
    deals |= {"product": np.array(PRODUCTS, dtype=object)[rng.integers(0, len(PRODUCTS), n)]}
    deals |= {"competitor": np.array([*RIVALS, "none"])[np.arange(n) % 4]}
    tables = {"accounts": accounts, "deals": deals}
    return {name: pd.DataFrame(table).to_csv(index=False) for name, table in tables.items()}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with project_at(tmp_path_factory.mktemp("scripts")) as root:
        write_market(pages.with_notebooks(root), market(), more=FIELDS)
        yield root / "runs"


def page(notebook: str, out: Path, chosen: str | None = None) -> str:
    """All that a document shows, as HTML; a warning on the way is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # such as a sign that a font lacks
        shown, _ = pages.document(notebook, "tiny", PERIOD, out, chosen)
        return "".join(piece._repr_html_() for piece in shown.pieces)


def test_every_persona_has_an_id_a_name_and_files_of_its_own(out: Path) -> None:
    personas = set_in_force("tiny", PERIOD, out)
    accounts = pd.read_csv(io.StringIO(market()["accounts"]))
    levels = {(name, level) for name in ("業種", "規模") for level in accounts[name]}
    assert len(set(personas.ids)) == 3
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", id_) for id_ in personas.ids)
    for persona in personas.personas:
        text = page("sales_playbook", out, persona.id)
        assert (persona.field, persona.level) in levels
        members = accounts[personas.assign(accounts) == persona.id]
        assert persona.share == pytest.approx((members[persona.field] == persona.level).mean(), abs=1e-6)
        assert persona.share >= 0.9, "it bears the level alone"
        assert f"<h2>{persona.field}: {persona.level}</h2>" in text
        assert (out / "tiny" / PERIOD / "documents" / f"sales_playbook-{persona.id}.csv").exists()


def test_no_page_warns_or_shows_a_segment_in_place_of_a_level(out: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for now in pages.notebooks("tiny", PERIOD, out):
            text = "".join(piece._repr_html_() for piece in pages.pieces_of(now))
            assert "Higher segment" not in text
            assert "<b>C</b>" not in text, "signs of markup are text"
    for notebook in pages.DOCUMENTS:
        assert "<b>C</b>" not in page(notebook, out)


def test_levels_that_differ_by_signs_are_told_apart(out: Path) -> None:
    path = pages.ROOT / "notebooks" / "05_deals.ipynb"
    now = cells.run_cells(path, {"market": "tiny", "period": PERIOD, "out": str(out)})
    found = now.claims
    assert set(found.loc[(found["field"] == "product") & (found["measure"] == "win_rate"), "level"]) == set(PRODUCTS)
    shown = [now.words.level("product", level) for level in PRODUCTS]
    assert shown[:6] == ["C", "C++", "<b>C</b>", "تجارة", "Everyone", "a↵b"]
    assert len(set(shown)) == len(PRODUCTS)
    assert max(map(len, shown)) == 60


def test_every_rival_has_a_card_and_a_file_that_stays_in_its_folder(out: Path) -> None:
    folder = out / "tiny" / PERIOD / "documents"
    page("battlecard", out, RIVALS[0])
    before = set(out.parent.rglob("*.csv")) - set(folder.glob("battlecard-*"))
    for rival in RIVALS:
        assert f"{rival} was met in " in html.unescape(page("battlecard", out, rival))
    written = set(out.parent.rglob("*.csv")) - before
    assert len(written) == len(RIVALS)
    assert {path.parent for path in written} == {folder}
