"""What a researcher does in one notebook, and nothing else: each task on a copy of a shipped notebook."""

from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from closedloop.period.store import notebook_path, read_claims
from closedloop.validation.market import null_market
from closedloop.workbench.cells import run_cells
from closedloop.workbench.period import OpenPeriod

GIVEN = {"market": "harbor", "period": "2024-q2"}


def copy_of(notebook: str, folder: Path, *cells: str, **replaced: str) -> Path:
    """A copy of a shipped notebook with ``cells`` put before its closing, and text of its cells ``replaced``."""
    source = nbformat.read(notebook_path(notebook), as_version=4)
    for cell in source.cells:
        for before, after in replaced.items():
            cell.source = cell.source.replace(before, after)
    closing = next(n for n, cell in enumerate(source.cells) if cell.source.startswith("now.close("))
    source.cells[closing:closing] = [nbformat.v4.new_code_cell(cell) for cell in cells]
    path = folder / f"{notebook}.ipynb"
    nbformat.write(source, path)
    return path


def run(path: Path, out: Path, **settings: Any) -> OpenPeriod:
    return run_cells(path, {**GIVEN, "out": str(out), **settings})


def outcomes_compared(now: OpenPeriod) -> pd.DataFrame:
    return now.claims[now.claims["family"] == "how they end"]


def test_another_field_by_parameter(out: Path) -> None:
    now = run(notebook_path("05_deals"), out, by=["region"])
    rates = now.claims[(now.claims["measure"] == "win_rate") & (now.claims["family"] != "none")]
    assert set(rates["field"]) == {"persona", "region"}


def test_a_filter_in_a_cell_and_by_parameter(out: Path, tmp_path: Path) -> None:
    by_parameter = run(notebook_path("05_deals"), out, where='channel == "partner"')
    cell = 'few = win_rates(deals[deals["channel"] == "partner"], by="region", among="deals by a partner")'
    by_cell = run(copy_of("05_deals", tmp_path, cell), out)
    own = by_cell.claims[by_cell.claims["among"] == "deals by a partner"]
    mine = by_parameter.claims[(by_parameter.claims["field"] == "region") & (by_parameter.claims["among"] == "")]
    mine = mine[mine["measure"] == "win_rate"].set_index("level")
    own = own[own["measure"] == "win_rate"].set_index("level")
    assert len(own) >= 2
    pd.testing.assert_series_equal(own["estimate"], mine["estimate"].reindex(own.index), check_names=False)


def test_a_chart_of_ones_own_from_the_table(out: Path, tmp_path: Path) -> None:
    cell = 'bars = personas.table.plot.barh(x="group", y="estimate")'
    now = run(copy_of("05_deals", tmp_path, f"{cell}\nnow.bars = bars"), out)
    drawn = sorted(bar.get_width() for bar in now.bars.patches)  # type: ignore[attr-defined]
    rates = now.claims[(now.claims["measure"] == "win_rate") & (now.claims["field"] == "persona")]
    assert drawn == pytest.approx(sorted(rates[rates["within"] == ""]["estimate"]))


def test_a_comparison_of_ones_own_reaches_claims_page_and_self_test(out: Path, tmp_path: Path) -> None:
    cells = (
        'deals = deals.assign(is_long=deals["age_days"] > 60)\nmine = win_rates(deals, by="is_long")',
        'mine.figure("Are long deals won less often?")',
    )
    shipped, path = run(notebook_path("05_deals"), out), copy_of("05_deals", tmp_path, *cells)
    now = run(path, tmp_path / "runs")
    written = read_claims(now.folder, "05_deals")
    own = written[written["field"] == "is_long"]
    assert set(own.loc[own["measure"] == "win_rate", "level"]) == {"yes", "no"}
    assert own["is_retrospective"].all()
    before, after = outcomes_compared(shipped), outcomes_compared(now)
    assert set(after["family_size"]) == {len(before) + 2}
    both = after.merge(before, on=["measure", "field", "level", "within"], suffixes=("", "_before"))
    assert (both["estimate"] == both["estimate_before"]).all()
    assert (both["q"] != both["q_before"]).any()
    decided = now.deals()[now.deals()["outcome"].isin(["won", "lost"])]
    long = decided[decided["age_days"] > 60]
    row = own[(own["measure"] == "win_rate") & (own["level"] == "yes")].iloc[0]
    assert row["n"] == len(long)
    assert abs(row["estimate"] - (long["outcome"] == "won").mean()) < 0.05, "shrunk a little"


@pytest.mark.slow
def test_the_self_test_repeats_what_a_changed_notebook_compares(tmp_path: Path) -> None:
    path = copy_of("05_deals", tmp_path, 'mine = win_rates(deals.assign(is_long=deals["age_days"] > 60), by="is_long")')
    own = null_market("harbor", tmp_path / "runs", [path], ["2024-q2"])
    assert not list((tmp_path / "runs").rglob("05_deals.*")), "the standing folder is only read"
    shipped = null_market("harbor", tmp_path / "runs", [notebook_path("05_deals")], ["2024-q2"])
    (mine,), (theirs,) = own.families, shipped.families
    assert mine.n_compared(own.world) - theirs.n_compared(shipped.world) == 2
    made = [mine.n_claims(own.null_world(number)) > 0 for number in range(40)]
    assert sum(made) <= 0.15 * len(made)
