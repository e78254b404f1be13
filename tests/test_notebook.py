"""What a notebook's calls do: check parameters, find or compute the moment, show, save and record."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from closedloop import notebook
from closedloop.errors import ParameterError
from closedloop.evidence.rules import Rule
from closedloop.loop import turn
from closedloop.loop.basis import basis, written_on
from closedloop.loop.persona import Persona, PersonaSet, write_set
from closedloop.loop.step import Step, write_frame, write_step
from closedloop.loop.texts import COLUMNS
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse
from closedloop.notebook import RESULTS, open_run

from tests.documents.ledger import claims
from tests.market.conftest import HEAD, project_at, write_market

MARKET, BACK = "harbor", "2025-q3"
EVERYONE = PersonaSet(MARKET, BACK, "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))
RECORDS = pd.DataFrame({"n": [30, 60]})
FIGURES = {"n_won": 30, "n_lost": 60, "n_open": 10, "win_rate": 0.33, "sales_cycle_days": None}


def noted(out: Path, period: str, moment: str) -> None:
    """Note that what the moment left has today's basis."""
    warehouse = open_warehouse(MARKET)
    found = find_period(warehouse.periods, period)
    day = found.planned_on if moment == turn.PLAN else found.looked_back_on(warehouse.extracted_on)
    folder = turn.period_folder(MARKET, period, out)
    with written_on(folder, moment, basis(warehouse.definition, period, moment, warehouse.fingerprint(day))):
        pass


def written(out: Path) -> Path:
    """A period's folder with the outcome step of deals, its claims and the set in force."""
    folder = turn.period_folder(MARKET, BACK, out)
    noted(out, BACK, turn.OUTCOME)
    write_step(folder, Step("deals", {"records": RECORDS}, results=FIGURES, missing={"cycle": "No days."}))
    told = {"family": "none", "field": "", "verdict": "estimated"}
    ledger = claims(
        told, {"notebook": "04_handoff", "measure": "accepted_rate"}, {"level": "=1+1", "verdict": "refused"}
    )
    write_frame(folder / "claims-outcome.parquet", ledger)
    write_set(folder / "personas.yml", EVERYONE)
    return folder


@pytest.fixture
def nothing_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything needed is there: computing anything is a mistake."""

    def refuse(*_: Any) -> Path:
        raise AssertionError("a moment was computed although its tables are there")

    monkeypatch.setattr(turn, "plan", refuse)
    monkeypatch.setattr(turn, "look_back", refuse)


@pytest.mark.usefixtures("nothing_computes")
def test_a_run_reads_the_tables_and_only_its_own_claims(tmp_path: Path) -> None:
    written(tmp_path)
    run = open_run("05_deals", MARKET, BACK, tmp_path)
    assert run.tables["records"]["n"].tolist() == [30, 60]
    assert run.claims["notebook"].tolist() == ["05_deals", "05_deals"]
    assert run.computed == ()
    assert "44 % of decided deals are won" in repr(run.bottom_line()).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.usefixtures("nothing_computes")
def test_the_file_of_claims_cannot_start_a_formula(tmp_path: Path) -> None:
    folder = written(tmp_path)
    note = open_run("05_deals", MARKET, BACK, tmp_path).save()
    saved = pd.read_csv(folder / "documents" / "05_deals.csv")
    assert saved["level"].tolist() == ["over 20", "'=1+1"]
    assert saved["estimate"].tolist() == [0.44, 0.44]
    assert "2 claims written to documents/05_deals.csv" in repr(note)


@pytest.mark.usefixtures("nothing_computes")
def test_the_recorded_results_are_json_with_the_scope_and_undefined_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(notebook, "publish_display_data", shown.append)
    open_run("05_deals", MARKET, BACK, tmp_path).results()
    recorded = shown[0][RESULTS]
    assert json.loads(json.dumps(recorded)) == recorded
    assert recorded == {"market": MARKET, "period": BACK, **FIGURES, "n_claims": 2, "n_missing": 1}
    assert "win_rate: 0.33" in shown[0]["text/plain"]


def test_missing_tables_are_computed_and_the_notebook_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def look_back(market: str, period: str, out: Path) -> Path:
        asked.append((market, period))
        return written(out)

    monkeypatch.setattr(turn, "look_back", look_back)
    run = open_run("05_deals", MARKET, BACK, tmp_path)
    assert asked == [(MARKET, BACK)]
    assert f"Computed now, because they were missing or out of date: outcomes of {BACK}." in repr(run)
    again = open_run("05_deals", MARKET, BACK, tmp_path)
    assert asked == [(MARKET, BACK)]
    assert "Computed now" not in repr(again)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"notebook": "08_party"}, r"notebook = '08_party' does not exist; allowed: 01_research"),
        ({"market": "atlantis"}, r"market = 'atlantis' does not exist; allowed: b2b, bank, harbor, maven"),
        ({"market": "../harbor"}, r"market = '../harbor' is no name"),
        ({"period": "2031-q1"}, r"period = '2031-q1' does not exist; allowed: latest, 2024-q1"),
        ({"period": 2031}, r"period = '2031' does not exist; allowed: latest, 2024-q1"),
        ({"period": ["2025-q3"]}, r"period = \['2025-q3'\] is of type list; allowed: text"),
        (
            {"period": "2026-q1"},
            r"period = '2026-q1' has not begun, so it has no outcomes yet; allowed: latest",
        ),
    ],
)
def test_wrong_parameters_are_refused_with_what_is_allowed(
    changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    asked = {"notebook": "05_deals", "market": MARKET, "period": BACK, **changed}
    with pytest.raises(ParameterError, match=message):
        open_run(asked["notebook"], asked["market"], asked["period"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_year_that_papermill_typed_as_a_number_is_the_period_of_that_name(tmp_path: Path) -> None:
    """`papermill ... -p period 2024` hands over the number 2024."""
    head = HEAD.replace("2024-q1", "2023").replace('"quarter"', '"year"')
    text = "deal_id,created_on,outcome,closed_on\nD1,2023-02-01,won,2023-03-01\nD2,2024-02-01,lost,2024-03-01"
    with project_at(tmp_path):
        write_market(tmp_path, {"deals": text}, head=head)
        period: Any = 2023
        run = open_run("05_deals", "tiny", period, tmp_path / "runs")
        assert run.period.name == "2023" and "period 2023" in repr(run)
    assert run.step.results["n_won"] == 1


def test_latest_is_the_running_period_for_plans_and_the_last_complete_one_for_looking_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def stop(market: str, period: str, out: Path) -> Path:
        seen.append(period)
        raise InterruptedError(market, out)

    monkeypatch.setattr(turn, "plan", stop)
    monkeypatch.setattr(turn, "look_back", stop)
    for name in ("01_research", "sales_playbook", "05_deals"):
        with pytest.raises(InterruptedError):
            open_run(name, MARKET, "latest", tmp_path)
    assert seen == ["2026-q1", "2026-q1", "2025-q4"]


@pytest.mark.usefixtures("nothing_computes")
def test_an_unknown_persona_or_competitor_is_refused_with_the_ones_there_are(tmp_path: Path) -> None:
    folder = written(tmp_path)
    for name in ("handoff", "refinement", "review"):
        write_step(folder, Step(name))
    planned = turn.period_folder(MARKET, "2025-q4", tmp_path)
    noted(tmp_path, "2025-q4", turn.PLAN)
    write_set(planned / "personas.yml", EVERYONE)
    write_frame(planned / "claims-plan.parquet", claims())
    for name in turn.PLAN_STEPS:
        texts = {"texts": pd.DataFrame(columns=list(COLUMNS), dtype="str")}
        write_step(planned, Step(name, texts, results={"competitors": ["rival-anchor", "no_decision"]}))
    with pytest.raises(ParameterError, match=r"persona = 'nobody' is unknown in this period; allowed: everyone"):
        open_run("sales_playbook", MARKET, "2025-q4", tmp_path, persona="nobody")
    with pytest.raises(ParameterError, match=r"competitor = 'x' is unknown .* allowed: rival-anchor, no_decision"):
        open_run("battlecard", MARKET, "2025-q4", tmp_path, competitor="x")
    card = open_run("battlecard", MARKET, "2025-q4", tmp_path)
    assert card.chosen == {"competitor": "rival-anchor"}
    assert "rival-anchor was met in" in repr(card.bottom_line())
    assert open_run("campaign_brief", MARKET, "2025-q4", tmp_path, persona="first").chosen == {"persona": "everyone"}
