"""What one notebook left is read by another as long as it is of today; else it is made again first."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.market import kept
from closedloop.market.warehouse import read_again
from closedloop.period import store
from closedloop.workbench import cells
from closedloop.workbench.cells import open_document

from tests import pages
from tests.market.conftest import project_at, write_market

MARKET, DEALS = "tiny", "05_deals"
FIELDS = '[fields.deals]\ncreation = ["sector", "region"]\n'
THRESHOLD = "[claims]\npractical_threshold = 0.4\n"


def deals() -> pd.DataFrame:
    """Half a year of deals, of which retail is won about twice as often as transport."""
    rng, n = np.random.default_rng(5), 240
    created = pd.Timestamp("2024-01-02") + pd.to_timedelta(rng.integers(0, 170, n), unit="D")
    closed = created + pd.to_timedelta(rng.integers(5, 40, n), unit="D")
    sector, region = rng.choice(["retail", "transport"], n), rng.choice(["north", "south"], n)
    ended = np.where(rng.random(n) < np.where(sector == "retail", 0.65, 0.35), "won", "lost")
    is_open = closed > pd.Timestamp("2024-06-30")
    return pd.DataFrame(
        {
            "deal_id": [f"D{number:03d}" for number in range(n)],
            "created_on": created.strftime("%Y-%m-%d"),
            "outcome": np.where(is_open, "open", ended),
            "stage": "proposal",
            "closed_on": np.where(is_open, "", closed.strftime("%Y-%m-%d")),
            "sector": sector,
            "region": region,
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of which 05 has left its claims of both periods that ended."""
    with project_at(tmp_path_factory.mktemp("made")) as root:
        write_market(pages.with_notebooks(root), {"deals": deals().to_csv(index=False)}, more=FIELDS)
        for period in ("2024-q1", "2024-q2"):
            cells.ensure(DEALS, MARKET, period, root / "runs")
        return root


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The project, for this test to change."""
    shutil.copytree(made, tmp_path / "project")
    with project_at(tmp_path / "project") as root:
        yield root


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package, which a test may change, in the place of the code that has computed."""
    copy = tmp_path / "closedloop"
    shutil.copytree(kept._PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kept, "_PACKAGE", copy)
    forget_code()
    yield copy
    monkeypatch.undo()
    forget_code()


def forget_code() -> None:
    """Look at the code again, as another process would."""
    for known in (kept.tables_code, kept.computing_code, kept.package_code):
        known.cache_clear()


def ask(root: Path, period: str = "2024-q1") -> tuple[list[str], pd.DataFrame]:
    """Have 05's claims of a period as another notebook does: what was made for it, and the claims."""
    made_now: list[str] = []
    run = cells.run_cells
    with pytest.MonkeyPatch.context() as patch:

        def run_cells(path: Path, parameters: dict[str, str]) -> object:
            made_now.append(f"{path.stem} {parameters['period']}")
            return run(path, parameters)

        patch.setattr(cells, "run_cells", run_cells)
        read_again()
        cells.ensure(DEALS, MARKET, period, root / "runs")
    return made_now, store.read_claims(root / "runs" / MARKET / period, DEALS)


def setting(root: Path, more: str) -> None:
    """Add a table to the market's definition."""
    with (root / "data" / MARKET / "market.toml").open("a") as file:
        file.write(more)


def left(root: Path, period: str) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of every file of a period."""
    kept = [path for path in (root / "runs" / MARKET / period).rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in kept}


def won_share(rows: pd.DataFrame) -> float:
    """The share of won among the decided deals that closed in the first quarter."""
    closed = rows[rows["closed_on"].between("2024-01-01", "2024-03-31") & rows["outcome"].isin(["won", "lost"])]
    return float((closed["outcome"] == "won").mean())


def rate_of(claims: pd.DataFrame) -> float:
    """The win rate of the period itself."""
    return float(
        claims.query("measure == 'win_rate' and family == 'none' and field.fillna('') == ''")["estimate"].item()
    )


@pytest.mark.parametrize("period", ["2024-q1", "2024-q2"])
def test_what_is_of_today_is_read_and_nothing_is_written(place: Path, period: str) -> None:
    before = left(place, period)
    made_now, claims = ask(place, period)
    assert made_now == [] and len(claims) > 10
    assert left(place, period) == before


def test_a_changed_setting_gives_new_claims_of_the_period_that_is_asked_for(place: Path) -> None:
    by_sector = "measure == 'win_rate' and field == 'sector'"
    assert set(ask(place)[1].query(by_sector)["verdict"]) == {"supported"}
    others = left(place, "2024-q2")
    setting(place, THRESHOLD)
    made_now, claims = ask(place)
    assert made_now == [f"{DEALS} 2024-q1"]
    told = claims.query(by_sector)["verdict"]
    assert len(told) == 2 and "supported" not in set(told), "no group differs by 40 points"
    assert left(place, "2024-q2") == others
    assert ask(place)[0] == []


def test_a_changed_select_gives_the_figures_of_its_rows(place: Path) -> None:
    rows = deals()
    assert rate_of(ask(place)[1]) == pytest.approx(won_share(rows), abs=1e-6)
    with (place / "data" / MARKET / "deals.sql").open("a") as file:
        file.write(" where sector = 'retail'")
    retail = won_share(rows[rows["sector"] == "retail"])
    assert abs(retail - won_share(rows)) > 0.05
    assert rate_of(ask(place)[1]) == pytest.approx(retail, abs=1e-6)


def test_rows_that_a_period_did_not_see_leave_it_as_it_is(place: Path) -> None:
    with (place / "data" / MARKET / "deals.sql").open("a") as file:
        file.write(" where created_on < '2024-04-02' or region = 'south'")
    assert ask(place, "2024-q2")[0] == [f"{DEALS} 2024-q2"]
    assert ask(place, "2024-q1")[0] == []


def test_a_changed_notebook_is_run_again(place: Path) -> None:
    path = place / "notebooks" / f"{DEALS}.ipynb"
    path.write_text(
        path.read_text("utf-8").replace("adjust(deals, [*fields, ", "adjust(deals, [*fields[:1], "), "utf-8"
    )
    assert ask(place)[0] == [f"{DEALS} 2024-q1"]


def test_half_of_what_a_notebook_left_is_made_again(place: Path) -> None:
    """A process that was killed while it wrote had not yet noted what it was made of."""
    (place / "runs" / MARKET / "2024-q1" / "claims" / f"{DEALS}.json").unlink()
    assert ask(place)[0] == [f"{DEALS} 2024-q1"]


def test_other_words_make_nothing_anew(place: Path) -> None:
    setting(place, '[labels]\nsector = "line of business"\n"sector.retail" = "shops"\n')
    assert ask(place)[0] == []


RENDERING = {
    "presentation/page.css": ("line-height: 1.55", "line-height: 1.6"),
    "presentation/templates/page.html": ("</body>", "\n</body>"),
    "statistics/proportions.py": ("\nimport ", "\n# a remark\nimport "),
}


@pytest.mark.parametrize("path", RENDERING)
def test_other_styles_templates_and_comments_make_nothing_anew(place: Path, package: Path, path: str) -> None:
    rendered = kept.package_code()
    old, new = RENDERING[path]
    text = (package / path).read_text("utf-8")
    assert old in text
    (package / path).write_text(text.replace(old, new, 1), "utf-8")
    forget_code()
    assert kept.package_code() != rendered
    assert ask(place)[0] == []


def test_other_code_that_computes_makes_it_anew(place: Path, package: Path) -> None:
    with (package / "statistics" / "proportions.py").open("a") as file:
        file.write("\n_MORE = 1\n")
    forget_code()
    assert ask(place)[0] == [f"{DEALS} 2024-q1"]


def test_a_table_that_is_no_longer_made_does_not_stay(place: Path) -> None:
    folder = place / "runs" / MARKET / "2024-q1"
    pd.DataFrame({"n": [1]}).to_parquet(folder / "tables" / "deals.of_other_code.parquet")
    setting(place, "[claims]\nwindow = 3\n")
    ask(place)
    assert "of_other_code" not in store.read_tables(folder, DEALS).tables


def test_a_document_shows_the_figures_of_today(place: Path) -> None:
    first = open_document(MARKET, "2024-q2", out=place / "runs").expected()
    with (place / "data" / MARKET / "deals.sql").open("a") as file:
        file.write(" where sector = 'retail'")
    again = open_document(MARKET, "2024-q2", out=place / "runs")
    rows = deals()
    n_decided = rows.query("sector == 'retail' and closed_on < '2024-04-01' and outcome in ['won', 'lost']").shape[0]
    assert repr(again.expected()) != repr(first)
    assert again.results["n_deals"] == n_decided
