"""The command line: what it prints, where it writes, and how it refuses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from closedloop import cli
from closedloop.batch.ledger import locked
from closedloop.errors import ClosedLoopError, ParameterError
from closedloop.market.contract import dictionary
from closedloop.market.definition import read_definition
from closedloop.market.reference import reference
from closedloop.market.warehouse import open_warehouse, read_again
from closedloop.workbench.cells import set_in_force
from typer.testing import CliRunner, Result

ROOT = Path(__file__).parents[1]
TOML = """title = "Tiny market"
licence = "CC0"
currency = "EUR"
clock = "day"
extracted_on = 2024-06-30
[periods]
first = "2024-q1"
length = "quarter"
[sources.deals]
file = "deals.csv"
[deals]
stages = []
outcomes = ["won", "lost"]
"""
NOTEBOOK = """{"cells": [
 {"cell_type": "markdown", "id": "a", "metadata": {},
  "source": "# 05 Deals\\n\\nWhat was won?\\n\\nReads: deals\\n\\nWrites: claims"},
 {"cell_type": "code", "id": "b", "metadata": {"tags": ["parameters"]}, "execution_count": null, "outputs": [],
  "source": "market: str = \\"tiny\\"  # which market\\nn: int = 3  # how many"}],
 "metadata": {}, "nbformat": 4, "nbformat_minor": 5}"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one market and one notebook."""
    market = tmp_path / "data" / "tiny"
    market.mkdir(parents=True)
    (market / "market.toml").write_text(TOML)
    (market / "deals.csv").write_text("id,opened,result\nD1,2024-01-02,won\nD1,2024-01-03,lost\nD2,2024-05-02,\n")
    (market / "deals.sql").write_text(
        "select id as deal_id, cast(opened as date) as created_on, coalesce(nullif(result, ''), 'open') as outcome,\n"
        "  case when result <> '' then cast(opened as date) end as closed_on from raw.deals"
    )
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "05_deals.ipynb").write_text(NOTEBOOK)
    monkeypatch.setenv("CLOSEDLOOP_ROOT", str(tmp_path))
    read_definition.cache_clear()
    open_warehouse.cache_clear()
    return tmp_path


def _call(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def _refused(*arguments: str) -> str:
    result = _call(*arguments)
    assert isinstance(result.exception, ClosedLoopError), result.output
    return str(result.exception)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom closedloop import cli\nsys.argv = ['closedloop', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'pandas', 'numpy', 'ibis', 'papermill', 'matplotlib', 'pydantic'}\n"
        "print('loaded:', *sorted(heavy & set(sys.modules)))"
    )
    shown = _python("-c", code)
    assert shown.stdout.splitlines()[-1] == "loaded:"


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT / "lib"), *sys.path])
    whole = os.environ | {"PYTHONPATH": paths} | environment
    return subprocess.run([sys.executable, *arguments], env=whole, text=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere"], "closedloop: market = 'nowhere' does not exist; allowed: tiny"),
        (["run", "../tiny"], "closedloop: market = '../tiny' is no name; allowed: a-z"),
        (["run", "tiny", "--set", "n"], "closedloop: --set 'n' is no setting; allowed: NAME=VALUE"),
        (["run", "tiny", "--set", "colour=red"], "closedloop: no notebook has a parameter 'colour' to set; allowed: n"),
        (["run", "tiny", "--set", "n=many"], "closedloop: n = 'many' is no int; allowed: a whole number, like 3"),
        (["run", "tiny", "--set", "n=4"], "closedloop: --set n: other settings than the market's own never feed "),
        (["describe", "09"], "closedloop: notebook = '09' does not exist; allowed: 05_deals"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(project: Path, arguments: list[str], message: str) -> None:
    result = _python("-m", "closedloop.cli", *arguments, CLOSEDLOOP_ROOT=str(project))
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(message)
    assert result.stdout == ""


def test_an_unknown_option_is_exit_code_2(project: Path) -> None:
    assert _call("run", "--perod", "x").exit_code == 2


def test_a_folder_in_use_is_exit_code_75(project: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "out"):
        out = str(tmp_path / "out")
        result = _python("-m", "closedloop.cli", "run", "tiny", "--out", out, CLOSEDLOOP_ROOT=str(project))
    assert result.returncode == 75
    assert f"is in use by process {os.getpid()}" in result.stderr


def test_list_shows_markets_and_questions(project: Path) -> None:
    shown = _call("list").output
    for part in ("Tiny market", "from 2024-q1, by quarter", "CC0", "05_deals", "What was won?"):
        assert part in shown


def test_describe_shows_the_whole_interface(project: Path) -> None:
    assert _call("describe", "deals").output.splitlines() == [
        "05 Deals",
        "  question  What was won?",
        "  reads     deals",
        "  writes    claims",
        "  parameters",
        "    market: str = 'tiny'  # which market",
        "    n: int = 3  # how many",
    ]


def test_describe_without_a_name_shows_every_notebook(project: Path) -> None:
    again = NOTEBOOK.replace("05 Deals", "06 Refinement").replace("What was won?", "What should change?")
    (project / "notebooks" / "06_refinement.ipynb").write_text(again)
    shown = _call("describe").output
    assert [line.strip() for line in shown.splitlines() if "question" in line] == [
        "question  What was won?",
        "question  What should change?",
    ]
    assert shown.count("n: int = 3  # how many") == 2


def test_check_names_columns_that_know_the_answer(project: Path) -> None:
    folder = project / "data" / "tiny"
    rows = [f"D{i},2024-01-02,{'won' if i % 3 else 'lost'}" for i in range(300)]
    (folder / "deals.csv").write_text("\n".join(["id,opened,result", *rows]))
    select = (folder / "deals.sql").read_text()
    (folder / "deals.sql").write_text(select.replace(" from raw", ", upper(result) as verdict from raw"))
    (folder / "market.toml").write_text(TOML + '[fields.deals]\ncreation = ["verdict"]\n')
    shown = _call("check", "tiny").output
    assert "alarm: deals.verdict tells the outcome too well (AUC alone: 1.0)." in shown
    assert "No column looks like a leak." not in shown


def test_check_counts_what_the_contract_did(project: Path) -> None:
    shown = " ".join(_call("check", "tiny").output.split())
    assert "deals 2 1" in shown  # two rows kept, the second D1 set aside
    assert "set aside, 1 time: deals.deal_id repeated" in shown and "; found 'D1'; deals.csv, line 3" in shown
    assert "deals deals.csv 4 1 3 0 0" in shown  # lines: all, of the header, kept, blank, set aside
    assert "cannot tell: only won deals are recorded, so nobody can say which columns know the outcome." in shown
    assert "1 notebooks can be read." in shown


def test_check_tells_what_cannot_be_read_from_what_is_missing(project: Path) -> None:
    """Of three won deals one has an amount, one has none, and one has a letter in it."""
    folder = project / "data" / "tiny"
    (folder / "deals.csv").write_text(
        'id,opened,result,paid\nD1,2024-01-02,won,"5,120.00"\nD2,2024-01-03,won,\nD3,2024-01-04,won,"12,5o"\n'
    )
    select = (folder / "deals.sql").read_text()
    (folder / "deals.sql").write_text(select.replace(" from raw", ", as_amount(paid) as won_amount from raw"))
    shown = _call("check", "tiny").output.splitlines()
    assert (
        "empty the cell, 1 time: deals.won_amount unreadable as an amount; found '12,5o'; "
        "allowed: 12, 1,234.50, EUR 12; deals.csv, line 4; then it counts as missing; to mend: mend it in the source, "
        "or declare under the source how its values are written"
    ) in shown
    assert (
        "flag, 1 time: deals won without won_amount; deals.csv, line 3; then it counts as won, and in no mean amount; "
        "to mend: fill it in in the source"
    ) in shown


def test_check_names_the_values_that_are_not_in_a_list_and_the_list(project: Path) -> None:
    folder = project / "data" / "tiny"
    reasons = ["too dear", "price", "too dear", "other\nreasons"]
    rows = [f'D{i},2024-01-02,lost,"{reason}"' for i, reason in enumerate(reasons)]
    (folder / "deals.csv").write_text("\n".join(["id,opened,result,why", *rows, "D9,2024-01-02,lost,timimg"]))
    select = (folder / "deals.sql").read_text()
    (folder / "deals.sql").write_text(select.replace(" from raw", ", why as loss_reason from raw"))
    shown = _call("check", "tiny").output
    assert "read as other, 4 times: deals.loss_reason no meaning in values.csv; found 'too dear' (2 times), " in shown
    assert "; allowed: price, budget, timing, no_need, " in shown
    assert "; deals.csv, lines 2, 4, 5, 7; then " in shown  # the cell on line 5 holds a line break


def test_one_unfinished_market_does_not_hide_the_others(project: Path) -> None:
    for name, text in (("begun", 'title = "Begun"\n'), ("broken", "title = ")):
        (project / "data" / name).mkdir()
        (project / "data" / name / "market.toml").write_text(text)
    result = _call("list")
    shown = " ".join(result.output.split())
    assert result.exit_code == 0
    assert "Tiny market" in shown and "05_deals" in shown
    assert f"begun cannot be read: {project / 'data' / 'begun' / 'market.toml'}: currency: Field required" in shown
    assert "broken cannot be read" in shown and "cannot be read as TOML" in shown
    assert _call("check", "tiny").exit_code == 1  # it repeats a key
    refused = _call("check", "begun")
    assert refused.exit_code == 3
    assert "begun/market.toml: currency: Field required" in " ".join(refused.output.split())


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_a_terminal_cannot_show_is_a_question_mark(project: Path, encoding: str) -> None:
    toml = project / "data" / "tiny" / "market.toml"
    toml.write_text(TOML.replace("Tiny market", "Κίνα …"), "utf-8")
    environment = {"CLOSEDLOOP_ROOT": str(project), "PYTHONIOENCODING": encoding}
    shown = _python("-m", "closedloop.cli", "list", **environment)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "???? ?" in shown.stdout and "05_deals" in shown.stdout
    notebook = project / "notebooks" / "05_deals.ipynb"
    notebook.write_text(NOTEBOOK.replace("which market", "which market → or none"), "utf-8")
    shown = _python("-m", "closedloop.cli", "describe", "deals", **environment)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "# which market ? or none" in shown.stdout


def test_an_error_about_a_name_that_a_terminal_cannot_show_is_one_line(project: Path) -> None:
    environment = {"CLOSEDLOOP_ROOT": str(project), "PYTHONIOENCODING": "ascii"}
    shown = _python("-m", "closedloop.cli", "run", "tiny", "--set", "größe=1", **environment)
    assert shown.returncode == 2
    assert shown.stderr.startswith("closedloop: no notebook has a parameter 'gr??e' to set; allowed: ")
    assert len(shown.stderr.splitlines()) == 1


def test_check_names_a_damaged_notebook(project: Path) -> None:
    (project / "notebooks" / "05_deals.ipynb").write_bytes(b"\xef\xbb\xbf{}")
    assert "05_deals.ipynb: starts with a byte order mark" in _refused("check", "tiny")


def test_the_dictionary_keeps_the_text_above_its_marker(project: Path) -> None:
    path = project / "data" / "README.md"
    path.write_text("# Data\n\nWritten by people.\n\n<!-- generated: closedloop dictionary -->\nold\n")
    assert _call("dictionary", "--check").exit_code == 1
    assert _call("dictionary").exit_code == 0
    assert _call("dictionary", "--check").exit_code == 0
    marker = "<!-- generated: closedloop dictionary -->"
    generated = f"{dictionary().strip()}\n\n## market.toml\n\n{reference().strip()}"
    assert path.read_text() == f"# Data\n\nWritten by people.\n\n{marker}\n\n{generated}\n"
    assert _call("describe", "market").output.strip() == reference().strip()


def test_a_proposal_is_accepted_for_its_period(project: Path) -> None:
    folder = project / "runs" / "tiny" / "2024-q1"
    folder.mkdir(parents=True)
    (folder / "proposal.yml").write_text("period: 2024-q2\npersonas:\n- id: planner\n")
    assert _call("accept", "tiny", "2024-q1").exit_code == 0
    accepted = project / "data" / "tiny" / "personas" / "2024-q2.yml"
    assert accepted.read_text() == "period: 2024-q2\npersonas:\n- id: planner\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "proposal.yml does not exist; run the period first"),
        (
            '# none\n{"verdict": "no improvement shown", "reason": ""}\n',
            "holds no persona set to accept: no improvement shown",
        ),
        ("period: ../../x\npersonas: []\n", "is no name"),
    ],
)
def test_what_is_no_proposal_is_not_accepted(project: Path, content: str | None, message: str) -> None:
    folder = project / "runs" / "tiny" / "2024-q1"
    folder.mkdir(parents=True)
    if content:
        (folder / "proposal.yml").write_text(content)
    assert message in _refused("accept", "tiny", "2024-q1")
    assert not (project / "data" / "tiny" / "personas").exists()


def test_a_period_is_a_name_and_no_path(project: Path) -> None:
    with pytest.raises(ParameterError, match="is no name"):
        raise _call("accept", "tiny", "../tiny/2024-q1").exception or AssertionError("accepted")


@pytest.fixture
def shipped(project: Path) -> Path:
    """The project with the shipped notebooks in place of its one."""
    shutil.rmtree(project / "notebooks")
    for name in ("notebooks", "playbooks"):
        (project / name).symlink_to(ROOT / name)
    return project


def test_self_test_prints_one_json_document_and_keeps_it(shipped: Path) -> None:
    project = shipped
    rows = [f"D{i},2024-0{1 + i % 6}-0{1 + i % 9},{'won' if i % 3 else 'lost'}" for i in range(300)]
    (project / "data" / "tiny" / "deals.csv").write_text("\n".join(["id,opened,result", *rows]) + "\n")
    out = project / "elsewhere"
    shown = _call(
        "self-test", "tiny", "--worlds", "10", "--learned", "0", "--workers", "1", "--json", "--out", str(out)
    ).stdout
    report = json.loads(shown)
    assert set(report) == {"market", "worlds", "data", "null", "learned", "planted"}
    assert report == json.loads((out / "tiny" / "self-test.json").read_text())
    assert 0 <= report["null"]["any_claim_rate"] <= 1
    asked = ("self-test", "tiny", "--worlds", "10", "--learned", "0", "--workers", "1", "--out", str(out))
    assert "10 worlds" in _call(*asked).stdout


def test_self_test_needs_a_market_and_outcomes(shipped: Path) -> None:
    project = shipped
    assert "market = 'nowhere' does not exist; allowed: tiny" in _refused("self-test", "nowhere")
    (project / "data" / "tiny" / "deals.csv").write_text("id,opened,result\nD1,2024-01-02,\n")
    assert "has no outcome to shuffle" in _refused("self-test", "tiny", "--workers", "1")


def test_diff_names_the_sets_and_refuses_unknown_periods(project: Path, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"))
    set_in_force("tiny", "2024-q1", tmp_path / "out")
    same = _call("diff", "tiny", "2024-q1", "2024-q1", *out).output
    assert same == "tiny: personas of 2024-q1 (research) and of 2024-q1 (research): no difference\n"
    assert "period = '2031-q1' does not exist; allowed: latest, 2024-q1" in _refused(
        "diff", "tiny", "2024-q1", "2031-q1", *out
    )


def test_diff_tells_a_committed_set_from_researchs(project: Path, tmp_path: Path) -> None:
    folder = project / "data" / "tiny" / "personas"
    folder.mkdir()
    (folder / "2024-q2.yml").write_text(
        "market: tiny\nperiod: 2024-q2\norigin: refined\npersonas:\n"
        "- {id: everyone, name: Everyone, rule: [everyone else]}\n- {id: big, name: Big, rule: [size is big]}\n"
        "rule: {default: everyone, fields: [size], branches: "
        "[{label: big, n: 3, share_right: 1.0, when: [{field: size, among: [big], missing: false}]}]}\n"
    )
    set_in_force("tiny", "2024-q2", tmp_path / "out")
    set_in_force("tiny", "2024-q1", tmp_path / "out")
    told = _call("diff", "tiny", "2024-q1", "2024-q2", "--out", str(tmp_path / "out")).output
    assert "+ Big: was part of everyone\n    recognised by: size: big" in told
    assert "2024-q2  People put another set into force: a decision, not a finding" in told


def test_diff_makes_nothing_and_says_what_is_not_there_or_out_of_date(project: Path, tmp_path: Path) -> None:
    asked, out = ("diff", "tiny", "2024-q1", "2024-q1", "--out", str(tmp_path / "out")), tmp_path / "out"
    again = f"run closedloop run tiny --out {out}"
    assert _refused(*asked) == f"{out / 'tiny' / '2024-q1'} holds no personas; {again}"
    assert not out.exists()
    set_in_force("tiny", "2024-q1", out)
    left = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with (project / "data" / "tiny" / "deals.csv").open("a") as file:
        file.write("D0,2023-12-30,won\n")
    read_again()
    assert _call(*asked).output.splitlines()[0] == (
        f"the personas of 2024-q1 are out of date: data, settings or code have changed; {again}"
    )
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == left
