"""07 reads what 01 to 06 left, makes what is missing, and says how much of it may be false."""

import pandas as pd
import pytest
from closedloop.period import store
from closedloop.questions.refinement.champion_challenger import duel_says
from closedloop.questions.refinement.review import Review
from closedloop.workbench import cells
from closedloop.workbench.cells import run_cells
from closedloop.workbench.period import OpenPeriod

from tests.questions.conftest import Opening

PERIOD = "2024-q2"
READ = ("01_research", "02_personas", "03_leads", "04_handoff", "05_deals", "06_refinement")


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> OpenPeriod:
    """07 in a run folder of its own: in that of other tests 05 may stand with what a test asked."""
    return run_cells(
        store.notebook_path("07_review"), {"period": PERIOD, "out": str(tmp_path_factory.mktemp("review"))}
    )


@pytest.fixture(scope="module")
def left(reviewed: OpenPeriod) -> pd.DataFrame:
    """The claims as they stand in the files of the notebooks that 07 reads."""
    return pd.concat([pd.read_parquet(reviewed.folder / "claims" / f"{name}.parquet") for name in READ])


def test_what_is_missing_is_made_and_what_is_there_is_read(
    reviewed: OpenPeriod, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all((reviewed.folder / "claims" / f"{name}.json").exists() for name in READ)
    monkeypatch.setattr(cells, "run_cells", lambda *of: pytest.fail(f"{of} is run again"))
    for name in READ:
        cells.ensure(name, "harbor", PERIOD, reviewed.standing)


def test_its_figures_are_those_of_the_others(reviewed: OpenPeriod, left: pd.DataFrame) -> None:
    ending = left[(left["notebook"] == "05_deals") & (left["family"] == "how they end")]
    results = reviewed.step.results
    assert results["n_looks"] == len(ending) > 20
    for verdict in ("supported", "leaning", "indistinguishable", "refused"):
        assert results[f"n_{verdict}"] == (ending["verdict"] == verdict).sum()
    assert results["duel_log_loss"] == duel_says(left)
    shown = {answer.verb: answer for answer in reviewed.answers.values()}
    assert set(shown) == {"goals", "findings", "changes", "first_third", "requests", "false_lines"}
    own = pd.read_parquet(reviewed.folder / "claims" / "07_review.parquet")
    thirds = {"first_third_win_rate", "research_third_win_rate", "decided_win_rate"}
    assert set(own["measure"]) == {"expected_false_lines", *thirds}, "what it shows of others is theirs"
    cited = set(shown["findings"].claims["claim_id"])
    assert cited == set(left.loc[left["notebook"].isin(["05_deals", "06_refinement"]), "claim_id"])


def test_the_expected_false_lines_are_bounded_by_each_familys_largest_q(
    reviewed: OpenPeriod, left: pd.DataFrame
) -> None:
    held = left[(left["verdict"] == "supported") & (left["family"] != "none")]
    bound = sum(len(part) * part["q"].max() for _, part in held.groupby(["notebook", "family"]))
    assert reviewed.step.results["expected_false_lines"] == pytest.approx(bound)
    assert 0 < bound < len(held)
    (answer,) = (one for one in reviewed.answers.values() if one.verb == "false_lines")
    assert f"Of {len(held)} supported lines" in repr(answer.sentence).replace("\N{NO-BREAK SPACE}", " ")


def test_the_sum_is_over_families_by_hand(opening: Opening) -> None:
    opening("harbor", PERIOD, "07_review")
    columns = ["notebook", "family", "verdict", "q"]
    rows = [
        ("05_deals", "how they end", "supported", 0.01),
        ("05_deals", "how they end", "supported", 0.08),
        ("05_deals", "how they end", "leaning", 0.15),
        ("05_deals", "recording", "supported", 0.005),
        ("06_refinement", "how they end", "supported", 0.04),
        ("06_refinement", "none", "estimated", float("nan")),
    ]
    found = Review(pd.DataFrame(rows, columns=columns)).false_lines().stated.set_index("level")
    assert found["estimate"].to_dict() == pytest.approx(
        {
            "05_deals, how they end": 2 * 0.08,
            "05_deals, recording": 0.005,
            "06_refinement, how they end": 0.04,
            "": 0.205,
        }
    )
    assert found["n"].to_dict()[""] == 4


def test_what_was_promised_is_missing_where_nothing_was(reviewed: OpenPeriod) -> None:
    assert PERIOD not in reviewed.definition.goals
    assert "No promises are recorded for this period." in reviewed.step.missing["promises"]
    assert "No promises are recorded" in repr(reviewed.gaps())


def test_the_page_begins_with_what_both_teams_have_to_hear(reviewed: OpenPeriod, left: pd.DataFrame) -> None:
    untouched = left[(left["measure"] == "n_disagreements") & left["level"].str.startswith("rejected without")]
    first = repr(reviewed.bottom_line()).splitlines()[0]
    assert first.startswith(f"- {untouched['estimate'].item():.0f} of {untouched['n'].item()} rejected leads")
