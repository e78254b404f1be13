"""The graph: what depends on what, under which name, with which parameters."""

from pathlib import Path

import pytest
from closedloop.batch.notebooks import Notebook
from closedloop.batch.parameters import Parameter
from closedloop.batch.plan import PeriodPlan, Planner, chains, chosen_periods
from closedloop.errors import ParameterError
from closedloop.market.place import slug

BASIC = tuple(Parameter(name, ("str",), "", "") for name in ("market", "period", "out"))
PERSONA, COMPETITOR = (Parameter(name, ("str",), "", "") for name in ("persona", "competitor"))
TOP = Parameter("top", ("int",), 5, "how many")
PERIODS = [PeriodPlan("2024-q1", True, {"plan": "a", "outcome": "b"}), PeriodPlan("2024-q2", False, {"plan": "c"})]


def _notebook(name: str, *more: Parameter) -> Notebook:
    return Notebook(name, Path(f"{name}.ipynb"), name, "", "", "", (*BASIC, *more))


NOTEBOOKS = {
    notebook.name: notebook
    for notebook in (
        _notebook("01_research", TOP),
        _notebook("05_deals"),
        _notebook("sales_playbook", PERSONA),
        _notebook("campaign_brief", PERSONA),
        _notebook("battlecard", COMPETITOR),
        _notebook("99_scratch"),
    )
}


def test_moments_alternate_and_notebooks_hang_on_theirs() -> None:
    jobs = {job.id: job for job in Planner(NOTEBOOKS).jobs("m", PERIODS)}
    assert {id_: job.needs for id_, job in jobs.items()} == {
        "m/2024-q1/plan": (),
        "m/2024-q1/outcome": ("m/2024-q1/plan",),
        "m/2024-q2/plan": ("m/2024-q1/outcome",),
        "m/2024-q1/01_research": ("m/2024-q1/plan",),
        "m/2024-q1/05_deals": ("m/2024-q1/outcome",),
        "m/2024-q2/01_research": ("m/2024-q2/plan",),
    }
    data = {id_: jobs[id_].data for id_ in ("m/2024-q1/plan", "m/2024-q1/outcome", "m/2024-q2/plan")}
    assert list(data.values()) == ["a", "b", "c"]


def test_a_notebook_gets_its_market_period_and_subject() -> None:
    planner = Planner(NOTEBOOKS, out="elsewhere", settings={"top": "7"})
    plan, outcome, *_ = planner.jobs("m", PERIODS[:1])
    documents = planner.documents(plan, ["planner"], ["Acme, Inc."])
    assert [job.parameters["out"] for job in documents] == ["elsewhere"] * 3
    assert [(job.notebook, job.parameters.get("persona"), job.parameters.get("competitor")) for job in documents] == [
        ("campaign_brief", "planner", None),
        ("sales_playbook", "planner", None),
        ("battlecard", None, "Acme, Inc."),
    ]
    assert documents[0].pages == {
        "01_research": "01_research.html",
        "05_deals": "05_deals.html",
        "campaign_brief": "campaign_brief-planner.html",
        "sales_playbook": "sales_playbook-planner.html",
    }
    assert set(documents[2].pages) == {"01_research", "05_deals"}
    assert [job.is_document for job in documents] == [True] * 3
    research = next(job for job in planner.jobs("m", PERIODS) if job.notebook == "01_research")
    assert research.parameters == {"market": "m", "period": "2024-q1", "out": "elsewhere", "top": 7}
    assert outcome.is_turn and not research.is_turn


def test_the_longest_chain_comes_first() -> None:
    jobs = {job.id: job for job in Planner(NOTEBOOKS).jobs("m", PERIODS)}
    told = chains(jobs, lambda job: 5.0 if job.is_turn else 0.5)
    assert {id_.removeprefix("m/2024-"): seconds for id_, seconds in told.items()} == {
        "q1/plan": 15.5,  # itself, the outcome, the next plan, and a notebook that reads it
        "q1/outcome": 10.5,
        "q2/plan": 5.5,
        "q1/01_research": 0.5,
        "q1/05_deals": 0.5,
        "q2/01_research": 0.5,
    }


def test_a_chosen_period_brings_the_outcome_that_it_is_planned_from_and_no_more() -> None:
    before = [PeriodPlan("2023-q3", True), PeriodPlan("2023-q4", True)]
    jobs = Planner(NOTEBOOKS).jobs("m", [*before, *PERIODS], ["latest", "2023-q4"])
    assert {job.id.removeprefix("m/"): job.needs for job in jobs if job.is_turn} == {
        "2023-q3/outcome": (),
        "2023-q4/plan": ("m/2023-q3/outcome",),
        "2023-q4/outcome": ("m/2023-q4/plan",),
        "2024-q1/outcome": ("m/2023-q4/outcome",),
        "2024-q2/plan": ("m/2024-q1/outcome",),
    }
    assert {job.period for job in jobs if not job.is_turn} == {"2023-q4", "2024-q2"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"topp": "7"}, "no notebook has a parameter 'topp' to set; allowed: top"),
        ({"market": "x"}, "'market' to set; allowed: top"),
        ({"top": "many"}, "top = 'many' is no int"),
    ],
)
def test_settings_are_checked_before_anything_runs(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Planner(NOTEBOOKS, settings=settings).check()


def test_a_notebook_that_lacks_a_given_parameter_is_refused() -> None:
    broken = Notebook("01_research", Path("01_research.ipynb"), "", "", "", "", BASIC[:1])
    with pytest.raises(ParameterError, match=r"01_research.ipynb has no parameter 'period'; allowed: market"):
        Planner({"01_research": broken}).jobs("m", PERIODS)


@pytest.mark.parametrize(
    ("name", "safe"),
    [("planner", "planner"), ("no_decision", "no_decision"), ("../../etc", "etc-"), ("Ümläut", "ml-ut-"), ("株", "")],
)
def test_a_slug_is_safe_and_tells_a_changed_name(name: str, safe: str) -> None:
    found = slug(name)
    assert found.startswith(safe)
    assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(found) - len(safe) == (0 if name == safe else 6)


def test_different_names_get_different_slugs() -> None:
    assert len({slug(name) for name in ("acme", "Acme", "ACME", "acme ", "acme.", "a" * 60, "a" * 61)}) == 7


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], ["2024-q1", "2024-q2"]),
        (["2024-q2"], ["2024-q2"]),
        (["latest"], ["2024-q2"]),
        (["latest", "2024-q1"], ["2024-q1", "2024-q2"]),
    ],
)
def test_periods_are_chosen_by_name_in_their_own_order(names: list[str], chosen: list[str]) -> None:
    assert [period.name for period in chosen_periods("m", PERIODS, names)] == chosen


def test_an_unknown_period_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ParameterError, match="period = '2023-q4' does not exist in m; allowed: latest, 2024-q1, 2024-q2"
    ):
        chosen_periods("m", PERIODS, ["2023-q4"])
