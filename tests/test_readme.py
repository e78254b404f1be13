"""What the README tells people to type works."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import closedloop
import pytest
from closedloop.workbench.notebooks import notebooks

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BENCHES = (ROOT / "notebooks" / "README.md").read_text("utf-8")
BIN = Path(sys.executable).parent


def test_every_make_target_exists() -> None:
    named = set(re.findall(r"\bmake (run|test|lab|[a-z-]+)(?=[ `\n])", README)) - {"are"}
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {"run", "test", "lab"} <= named <= targets


def test_every_command_exists() -> None:
    named = set(re.findall(r"`closedloop ([a-z-]+)", README))
    assert {"run", "list", "describe", "check"} <= named
    for command in sorted(named):
        ran = subprocess.run([BIN / "closedloop", command, "--help"], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"closedloop {command}: {ran.stderr}"
        assert command in ran.stdout


def test_the_papermill_line_runs(tmp_path: Path) -> None:
    line = next(line.strip() for line in README.splitlines() if line.strip().startswith("papermill "))
    words = line.replace("out.ipynb", str(tmp_path / "out.ipynb")).split()[1:]
    command = [str(BIN / "papermill"), *words, "-p", "out", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert (tmp_path / "harbor" / "2025-q3" / "claims" / "05_deals.parquet").exists()


def test_the_python_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it opens and what it adds are one session; what is added joins the family, on the records that it names."""
    monkeypatch.setattr("closedloop.workbench.period.runs_folder", lambda: tmp_path)
    opened, added = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {}
    exec(textwrap.dedent(opened) + textwrap.dedent(added), names)
    claims = names["now"].claims
    by_region = claims[(claims["field"] == "region") & (claims["family"] == "how they end")]
    assert set(by_region["among"]) == {"deals by a partner"} and by_region["q"].notna().all()
    deals = names["deals"]
    decided = deals[(deals["channel"] == "partner") & deals["outcome"].isin(["won", "lost"])]
    assert by_region.set_index("level")["n"].to_dict() == {
        level: n for level, n in decided["region"].value_counts().items() if n >= 10
    }


def test_the_notebooks_page_names_the_parameters_of_each() -> None:
    rows = [line.split("|")[1:-1] for line in BENCHES.splitlines() if line.startswith(("| [", "| `")) and "?" in line]
    told = {re.findall(r"\w+", row[0])[0]: re.findall(r"`(\w+)`", row[-1]) for row in rows}
    common = ["market", "period", "out"]
    loop = {name: found for name, found in notebooks().items() if name != "tutorial"}  # which is of no period
    declared = {name: [one.name for one in found.parameters] for name, found in loop.items()}
    assert {name: [*common, *names] for name, names in told.items()} == declared


def test_the_notebooks_page_names_every_verb_where_it_is_called() -> None:
    rows = re.findall(r"^\| (0\d) \| (`.*) \|$", BENCHES, re.MULTILINE)
    told = {number: set(re.findall(r"`(\w+)`", names)) for number, names in rows}
    called = {}
    for name, found in notebooks().items():
        source = found.path.read_text("utf-8")
        imported = re.findall(r"from closedloop import ([\w, ]+)", source)
        called[name[:2]] = {verb for names in imported for verb in names.split(", ")} - {"open_period"}
    assert told == {number: called[number] for number in told} and len(told) == 7
    openers = {verb for verb in closedloop.__all__ if verb.startswith("open_")}
    assert set.union(*told.values()) == set(closedloop.__all__) - openers


def test_every_link_leads_somewhere() -> None:
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_option_of_the_unattended_page_exists() -> None:
    page = (ROOT / "lib/closedloop/batch/README.md").read_text("utf-8")
    ran = subprocess.run([BIN / "closedloop", "run", "--help"], capture_output=True, text=True, check=True)
    commands = [line.partition("closedloop run")[2] for line in page.splitlines() if "closedloop run" in line]
    options = {option for line in commands for option in re.findall(r"--[a-z-]+", line)}
    assert {"--json", "--scheduler", "--workers", "--since-failure"} <= options
    assert [option for option in sorted(options) if option not in ran.stdout] == []
