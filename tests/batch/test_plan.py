"""The graph: what depends on what, under which name, with which parameters."""

from pathlib import Path

import pytest
from closedloop.batch.plan import READS, PeriodPlan, Planner, chains, chosen_periods, in_order
from closedloop.errors import ParameterError
from closedloop.market.files import slug
from closedloop.workbench.notebooks import Notebook, Parameter

BASIC = tuple(Parameter(name, "str", False, "", "") for name in ("market", "period", "out"))
PERSONA, COMPETITOR = (Parameter(name, "str", False, "", "") for name in ("persona", "competitor"))
TOP = Parameter("top", "int", False, 5, "how many")
WINDOW, WHERE = Parameter("window", "int", True, None, "periods"), Parameter("where", "str", True, None, "which")
PERIODS = [
    PeriodPlan("2024-q1", True, {"start": "a", "ended": "b"}),
    PeriodPlan("2024-q2", True, {"start": "b", "ended": "c"}),
    PeriodPlan("2024-q3", False, {"start": "c"}),
]
SUBJECTS = {"campaign_brief": (PERSONA,), "sales_playbook": (PERSONA,), "battlecard": (COMPETITOR,)}


def _notebook(name: str, *more: Parameter) -> Notebook:
    return Notebook(name, Path(f"{name}.ipynb"), name, "", "", "", (*BASIC, *more))


NOTEBOOKS = {name: _notebook(name, *SUBJECTS.get(name, (TOP, WINDOW, WHERE))) for name in (*READS, "99_scratch")}
MAKES_SET = "q1/06_refinement"

REVIEWED = ("01_research", "02_personas", "03_leads", "04_handoff", "05_deals", "06_refinement")


def _short(ids: "tuple[str, ...] | dict[str, object]") -> list[str]:
    return [id_.removeprefix("m/2024-") for id_ in ids]


def test_every_notebook_needs_what_it_reads() -> None:
    jobs = {job.id: job for job in Planner(NOTEBOOKS).jobs("m", PERIODS[:2])}
    assert {id_.removeprefix("m/2024-"): _short(job.needs) for id_, job in jobs.items()} == {
        "q1/01_research": [],
        "q1/02_personas": ["q1/01_research"],
        "q1/03_leads": ["q1/02_personas"],
        "q1/04_handoff": [],
        "q1/05_deals": [],
        "q1/06_refinement": [],
        "q1/07_review": [f"q1/{name}" for name in REVIEWED],
        "q2/01_research": [MAKES_SET],
        "q2/02_personas": ["q2/01_research", MAKES_SET],
        "q2/03_leads": ["q2/02_personas", MAKES_SET],
        "q2/04_handoff": [MAKES_SET],
        "q2/05_deals": [MAKES_SET],
        "q2/06_refinement": [MAKES_SET],
        "q2/07_review": [f"q2/{name}" for name in REVIEWED],
    }
    assert [jobs[f"m/2024-q1/{name}"].data for name in ("01_research", "03_leads", "04_handoff")] == ["a", "a", "b"]


def test_a_period_that_has_not_begun_is_only_planned() -> None:
    last = [job.notebook for job in Planner(NOTEBOOKS).jobs("m", PERIODS) if job.period == "2024-q3"]
    assert last == ["01_research", "02_personas", "03_leads"]


def test_a_notebook_gets_its_market_period_and_subject() -> None:
    planner = Planner(NOTEBOOKS, out="/elsewhere", settings={"top": "7"})
    jobs = {job.id: job for job in planner.jobs("m", PERIODS)}
    documents = planner.documents(jobs["m/2024-q2/02_personas"], ["planner"], ["Acme, Inc."])
    assert [job.parameters["out"] for job in documents] == ["/elsewhere"] * 3
    assert [(job.notebook, job.parameters.get("persona"), job.parameters.get("competitor")) for job in documents] == [
        ("campaign_brief", "planner", None),
        ("sales_playbook", "planner", None),
        ("battlecard", None, "Acme, Inc."),
    ]
    own, taught = ("01_research", "02_personas", "03_leads"), ("04_handoff", "05_deals", "06_refinement")
    for job in documents:
        assert _short(job.needs) == [*(f"q2/{name}" for name in own), *(f"q1/{name}" for name in taught)]
        assert (job.data, job.is_document, job.moment) == ("b", True, "start")
    loop = {name: f"{name}.html" for name in READS if name[0] == "0"}
    per_persona = {name: f"{name}-planner.html" for name in ("campaign_brief", "sales_playbook")}
    assert documents[0].pages == loop | per_persona
    assert documents[2].pages == loop
    given = jobs["m/2024-q1/01_research"].parameters
    assert given == {"market": "m", "period": "2024-q1", "out": "/elsewhere", "top": 7}


def test_the_standing_folder_is_named_so_that_pages_are_the_same_on_every_machine() -> None:
    assert {job.parameters["out"] for job in Planner(NOTEBOOKS).jobs("m", PERIODS)} == {"runs"}


def test_the_longest_chain_comes_first() -> None:
    jobs = {job.id: job for job in Planner(NOTEBOOKS).jobs("m", PERIODS)}
    seconds = chains(jobs, lambda job: 5.0 if job.notebook == "06_refinement" else 1.0)
    found = {id_.removeprefix("m/2024-"): length for id_, length in seconds.items()}
    assert found[MAKES_SET] == 5 + 5 + 3  # itself, the next one, and three that follow one another in q3
    assert (found["q2/06_refinement"], found["q3/01_research"], found["q3/03_leads"]) == (5 + 3, 3, 1)
    assert (found["q1/05_deals"], found["q1/07_review"]) == (2, 1)


def test_every_job_comes_after_those_that_it_needs() -> None:
    jobs = {job.id: job for job in reversed(Planner(NOTEBOOKS).jobs("m", PERIODS))}
    order = [job.id for job in in_order(jobs)]
    assert sorted(order) == sorted(jobs)
    assert all(order.index(need) < order.index(job.id) for job in jobs.values() for need in job.needs)


def test_a_chosen_period_brings_what_its_set_and_documents_are_made_of_and_no_more() -> None:
    jobs = Planner(NOTEBOOKS).jobs("m", [PeriodPlan("2023-q4", True), *PERIODS], ["latest"])
    assert [job.id.removeprefix("m/20") for job in jobs] == [
        "23-q4/06_refinement",
        "24-q1/06_refinement",
        *(f"24-q2/{name}" for name in ("04_handoff", "05_deals", "06_refinement")),
        *(f"24-q3/{name}" for name in ("01_research", "02_personas", "03_leads")),
    ]


@pytest.mark.parametrize(
    ("only", "found"),
    [
        (["07_review"], [MAKES_SET, *(f"q2/{name}" for name in (*REVIEWED, "07_review"))]),
        (["01_research"], [MAKES_SET, "q2/01_research"]),
        (
            ["battlecard"],
            ["q1/04_handoff", "q1/05_deals", MAKES_SET, "q2/01_research", "q2/02_personas", "q2/03_leads"],
        ),
    ],
)
def test_chosen_notebooks_bring_what_they_need(only: list[str], found: list[str]) -> None:
    jobs = Planner(NOTEBOOKS).jobs("m", PERIODS, ["2024-q2"], only)
    assert _short(tuple(job.id for job in jobs)) == found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"topp": "7"}, "no notebook has a parameter 'topp' to set; allowed: top, where, window"),
        ({"market": "x"}, "'market' to set; allowed: top, where, window"),
        ({"top": "many"}, "top = 'many' is no int; allowed: a whole number"),
        ({"window": "0"}, r"--set \{'window': 0\}: Input should be greater than or equal to 1"),
        ({"where": "__import__('os')"}, r"where = .*a condition is column, sign, value"),
    ],
)
def test_settings_are_checked_before_anything_runs(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Planner(NOTEBOOKS, "/elsewhere", settings).check()


def test_other_settings_than_the_markets_own_need_a_run_folder_of_their_own() -> None:
    Planner(NOTEBOOKS, settings={"window": "none", "top": "5"}).check()  # as the notebooks have it
    Planner(NOTEBOOKS, "/elsewhere", {"window": "2"}).check()
    with pytest.raises(ParameterError, match=r"--set window: other settings .+ never feed .+; allowed: with --out"):
        Planner(NOTEBOOKS, settings={"window": "2"}).check()


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
        ([], ["2024-q1", "2024-q2", "2024-q3"]),
        (["2024-q2"], ["2024-q2"]),
        (["latest"], ["2024-q3"]),
        (["latest", "2024-q1"], ["2024-q1", "2024-q3"]),
    ],
)
def test_periods_are_chosen_by_name_in_their_own_order(names: list[str], chosen: list[str]) -> None:
    assert [period.name for period in chosen_periods("m", PERIODS, names)] == chosen


def test_an_unknown_period_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ParameterError, match="period = '2023-q4' does not exist in m; allowed: latest, 2024-q1, 2024-q2"
    ):
        chosen_periods("m", PERIODS, ["2023-q4"])
