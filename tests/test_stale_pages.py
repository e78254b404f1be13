"""What a page shows when the market or the code has changed since its figures were computed: new figures, or a mark."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closedloop.loop import turn
from closedloop.market import fingerprint
from closedloop.notebook import open_run

from tests.market.conftest import project_at, write_market

MARKET = "tiny"
MARK = "out of date: closedloop run tiny"
FIELDS = '[fields.deals]\ncreation = ["sector", "region"]\n'
PERIODS = ("2024-q1", "2024-q2", "2024-q3")


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
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose market is computed in full: two periods looked back on, and the coming one planned."""
    with project_at(tmp_path_factory.mktemp("computed")) as root:
        write_market(root, {"deals": deals().to_csv(index=False)}, more=FIELDS)
        for period in PERIODS:
            turn.plan(MARKET, period, root / "runs")
            if turn.has_begun(MARKET, period):
                turn.look_back(MARKET, period, root / "runs")
        return root


@pytest.fixture
def place(computed: Path, tmp_path: Path) -> Iterator[Path]:
    """The computed project, for this test to change."""
    shutil.copytree(computed, tmp_path / "project")
    with project_at(tmp_path / "project") as root:
        yield root


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package, which a test may change, in the place of the code that has computed."""
    copy = tmp_path / "closedloop"
    shutil.copytree(fingerprint._PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "_PACKAGE", copy)
    forget_code()
    yield copy
    monkeypatch.undo()
    forget_code()


def forget_code() -> None:
    """Look at the code again, as another process would."""
    for known in (fingerprint.tables_code, fingerprint.computing_code, fingerprint.package_code):
        known.cache_clear()


@pytest.fixture
def nothing_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computing a moment is a mistake."""

    def refuse(*given: Any) -> Path:
        raise AssertionError(f"computed {given}")

    monkeypatch.setattr(turn, "plan", refuse)
    monkeypatch.setattr(turn, "look_back", refuse)


def replace(path: Path, old: str, new: str) -> None:
    """Change a text that stands in a file once."""
    text = path.read_text("utf-8")
    assert text.count(old) == 1, (old, text.count(old))
    path.write_text(text.replace(old, new), "utf-8")


def setting(root: Path, more: str) -> None:
    """Add a table to the market's definition."""
    with (root / "data" / MARKET / "market.toml").open("a") as file:
        file.write(more)


def files(root: Path, *, without: str = "no period") -> dict[str, tuple[bytes, int]]:
    """Bytes and time of every file that moments left, except of one period."""
    kept = [path for part in (MARKET, ".replayed") for path in (root / "runs" / part).rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in kept if without not in str(path)}


def plain(shown: object) -> str:
    """The text of what is shown, with ordinary spaces."""
    return repr(shown).replace("\N{NO-BREAK SPACE}", " ")


def won_percent(rows: pd.DataFrame, start: str, end: str) -> str:
    """How the share of won among the decided deals that closed in a period reads."""
    closed = rows[(rows["closed_on"] >= start) & (rows["closed_on"] < end) & rows["outcome"].isin(["won", "lost"])]
    return f"{100 * (closed['outcome'] == 'won').mean():.0f} % of decided deals are won"


@pytest.mark.usefixtures("nothing_computes")
@pytest.mark.parametrize("name", ["01_research", "02_personas", "03_leads", "05_deals", "07_review", "sales_playbook"])
def test_a_current_page_computes_and_says_nothing(place: Path, name: str) -> None:
    before = files(place)
    run = open_run(name, MARKET, "2024-q2")
    assert (run.computed, run.outdated) == ((), ())
    assert "out of date" not in plain(run)
    assert MARK not in run.bottom_line()._repr_html_()
    assert files(place) == before


def test_a_changed_setting_gives_new_figures_of_the_own_period_only(place: Path) -> None:
    old = open_run("05_deals", MARKET, "2024-q1")
    assert set(old.claims.query("measure == 'win_rate' and field == 'sector'")["verdict"]) == {"supported"}
    others = files(place, without="2024-q1")
    setting(place, "[claims]\npractical_threshold = 0.4\n")
    run = open_run("05_deals", MARKET, "2024-q1")
    assert (run.computed, run.outdated) == (("outcomes of 2024-q1",), ())
    assert "Computed now, because they were missing or out of date: outcomes of 2024-q1." in repr(run)
    told = run.claims.query("measure == 'win_rate' and field == 'sector'")
    assert len(told) == 2 and "supported" not in set(told["verdict"]), "no group differs by 40 points"
    assert MARK not in plain(run.show("findings"))
    assert files(place, without="2024-q1") == others
    assert open_run("05_deals", MARKET, "2024-q1").computed == ()


def test_a_changed_select_gives_the_figures_of_its_rows(place: Path) -> None:
    rows = deals()
    before = won_percent(rows, "2024-01-01", "2024-04-01")
    after = won_percent(rows[rows["sector"] == "retail"], "2024-01-01", "2024-04-01")
    assert before != after
    assert before in plain(open_run("05_deals", MARKET, "2024-q1").bottom_line())
    with (place / "data" / MARKET / "deals.sql").open("a") as file:
        file.write(" where sector = 'retail'")
    assert after in plain(open_run("05_deals", MARKET, "2024-q1").bottom_line())


def test_rows_that_earlier_periods_did_not_see_leave_their_persona_sets_current(place: Path) -> None:
    rows = deals()
    rows = rows[(rows["created_on"] < "2024-04-02") | (rows["region"] == "south")]
    others = files(place, without="2024-q2")
    with (place / "data" / MARKET / "deals.sql").open("a") as file:
        file.write(" where created_on < '2024-04-02' or region = 'south'")
    run = open_run("05_deals", MARKET, "2024-q2")
    assert (run.computed, run.outdated) == (("outcomes of 2024-q2",), ())
    assert won_percent(rows, "2024-04-01", "2024-07-01") in plain(run.bottom_line())
    assert files(place, without="2024-q2") == others
    assert open_run("05_deals", MARKET, "2024-q1").computed == ()


@pytest.mark.usefixtures("nothing_computes")
@pytest.mark.parametrize(
    ("name", "section", "old"),
    [
        ("03_leads", "funnel", "plan of 2024-q2"),
        ("05_deals", "findings", "outcomes of 2024-q2"),
        ("sales_playbook", "glance", "plan of 2024-q2 and outcomes of 2024-q1"),
    ],
)
def test_a_page_that_would_replay_earlier_periods_is_marked_and_writes_nothing(
    place: Path, name: str, section: str, old: str
) -> None:
    before, shown = files(place), plain(open_run(name, MARKET, "2024-q2").show(section))
    setting(place, "[claims]\npractical_threshold = 0.4\n")
    run = open_run(name, MARKET, "2024-q2")
    assert MARK in repr(run)
    assert f"data, definition or code have changed since: {old}." in repr(run)
    for part in (run, run.bottom_line(), run.show(section)):
        assert f'<p class="outdated"><strong>{MARK}</strong></p>' in part._repr_html_()
    assert plain(run.show(section)) == f"{MARK}\n{shown}", "the old figures, below a mark"
    assert repr(run.save()) == f"No claims were written: they are {MARK}."
    assert files(place) == before


@pytest.mark.usefixtures("nothing_computes")
def test_a_document_leaves_the_period_before_it_alone(place: Path) -> None:
    (place / "runs" / MARKET / "2024-q1" / "outcome.json").unlink()
    before = files(place)
    run = open_run("sales_playbook", MARKET, "2024-q2")
    assert run.outdated == ("outcomes of 2024-q1",)
    assert files(place) == before


def test_a_moment_that_was_killed_while_it_wrote_is_out_of_date(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when its files are of a basis that comes back."""
    setting(place, "[claims]\npractical_threshold = 0.4\n")

    def killed(*_: Any) -> None:
        raise InterruptedError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(turn, "write_frame", killed)
        with pytest.raises(InterruptedError):
            open_run("05_deals", MARKET, "2024-q1")
    replace(place / "data" / MARKET / "market.toml", "[claims]\npractical_threshold = 0.4\n", "")
    assert open_run("05_deals", MARKET, "2024-q1").computed == ("outcomes of 2024-q1",)


@pytest.mark.usefixtures("nothing_computes")
def test_other_words_are_shown_at_once_and_nothing_is_computed(place: Path) -> None:
    before = files(place)
    assert "sector: retail" in plain(open_run("05_deals", MARKET, "2024-q2").show("findings"))
    replace(place / "data" / MARKET / "market.toml", 'title = "Tiny"', 'title = "Small but fine"')
    setting(place, '[labels]\nsector = "line of business"\n"sector.retail" = "shops"\n')
    run = open_run("05_deals", MARKET, "2024-q2")
    assert (run.computed, run.outdated) == ((), ())
    assert plain(run).startswith("Small but fine (tiny), period 2024-q2.")
    assert "line of business: shops" in plain(run.show("findings"))
    assert files(place) == before


RENDERING = {
    "documents/page.css": ("line-height: 1.55", "line-height: 1.6"),
    "documents/templates/page.html": ("</body>", "\n</body>"),
    "loop/deals.py": ('"""Win rates, win curves', '"""Rates of winning, win curves'),
    "evidence/rates.py": ("\nimport ", "\n# a remark\nimport "),
}


@pytest.mark.usefixtures("nothing_computes")
@pytest.mark.parametrize("path", RENDERING)
def test_other_styles_templates_docstrings_and_comments_render_again_and_compute_nothing(
    place: Path, package: Path, path: str
) -> None:
    rendered = fingerprint.package_code()
    old, new = RENDERING[path]
    text = (package / path).read_text("utf-8")
    assert old in text
    (package / path).write_text(text.replace(old, new, 1), "utf-8")
    forget_code()
    assert fingerprint.package_code() != rendered
    for name in ("02_personas", "05_deals", "battlecard"):
        run = open_run(name, MARKET, "2024-q2")
        assert (run.computed, run.outdated) == ((), ())


def test_other_code_that_computes_makes_every_page_out_of_date(place: Path, package: Path) -> None:
    with (package / "loop" / "deals.py").open("a") as file:
        file.write("\n_MORE = 1\n")
    forget_code()
    assert open_run("05_deals", MARKET, "2024-q2").outdated == ("outcomes of 2024-q2",)
    assert open_run("05_deals", MARKET, "2024-q1").computed == ("outcomes of 2024-q1",)


def test_a_table_that_is_no_longer_made_does_not_stay(place: Path) -> None:
    left = place / "runs" / MARKET / "2024-q1" / "tables" / "deals.of_other_code.parquet"
    buffer = io.BytesIO()
    pd.DataFrame({"n": [1]}).to_parquet(buffer)
    left.write_bytes(buffer.getvalue())
    setting(place, "[claims]\nwindow = 3\n")
    assert "of_other_code" not in open_run("05_deals", MARKET, "2024-q1").tables
