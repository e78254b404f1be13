"""What every test may ask for, and the rule for tests that need more than Python packages.

A test that needs raw files of real markets (marker ``real`` or fixture ``mirror``) or a system package
(marker ``system`` or fixtures ``chromium``, ``postgresql``) is left out where these are missing, and the
summary says how to get them. ``--fail-on-skip`` turns a test that was left out into a failure of the whole
run. Slow tests run when CLOSEDLOOP_FULL is set; then, or with ``--validity``, the summary ends with the table
of measured figures (tests/bench/validity.py), which ``--validity-file`` also writes.
"""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import settings

from tests.bench import validity as figures

ROOT = Path(__file__).resolve().parents[1]
GET_REAL = (
    "needs the raw files of real markets: set CLOSEDLOOP_MIRROR to a folder (relative to the project's root) "
    "that holds <market>/<file name>; data/README.md names each file and where its publisher offers it"
)
GET_SYSTEM = "needs {0}: install it with .ci/system-packages (Debian, Ubuntu) or with your system's package manager"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")
os.environ.setdefault("MPLBACKEND", "agg")


def mirror_folder() -> Path | None:
    """The folder that CLOSEDLOOP_MIRROR names; None when it is unset, an error when it does not exist."""
    named = os.environ.get("CLOSEDLOOP_MIRROR")
    if not named:
        return None
    folder = (ROOT / named).resolve()
    if not folder.is_dir():
        raise pytest.UsageError(f"CLOSEDLOOP_MIRROR = {named!r}: no such folder below the project's root")
    return folder


def find_chromium() -> Path | None:
    """The browser's executable, if there is one."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return Path(found) if found else None


def find_postgresql() -> Path | None:
    """The folder of PostgreSQL's server programs (initdb, postgres, pg_ctl), if there is one."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if installed:
        return installed[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


SYSTEM = {"chromium": find_chromium, "postgresql": find_postgresql}


def require(package: str) -> Path:
    """Where a system package is; leaves the test out when it is missing."""
    found = SYSTEM[package]()
    if found is None:
        pytest.skip(GET_SYSTEM.format(package))
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fail-on-skip", action="store_true", help="fail when a test was left out")
    parser.addoption("--validity", action="store_true", help="print the table of measured figures")
    parser.addoption("--validity-file", metavar="FILE", help="write the table of measured figures there too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect slow tests unless CLOSEDLOOP_FULL is set: they are chosen, not missing."""
    if os.environ.get("CLOSEDLOOP_FULL"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("real") and mirror_folder() is None:
        pytest.skip(GET_REAL)
    for marker in item.iter_markers("system"):
        for package in marker.args:
            require(package)


def left_out(config: pytest.Config) -> list[pytest.TestReport]:
    """The reports of the tests that were left out so far; empty in a worker process."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return list(reporter.stats.get("skipped", [])) if reporter else []


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--fail-on-skip") and left_out(session.config) and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A test that measured figures fails at its end if one misses its bar, so that all of them are measured."""
    result = yield
    misses = [figures.missed(record) for name, record in pyfuncitem.user_properties if name == figures.PROPERTY]
    if any(misses):
        pytest.fail("\n".join(filter(None, misses)), pytrace=False)
    return result


@pytest.fixture
def validity(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Record a measured figure of the catalogue; the test fails at its end if the figure misses its bar.

    ``validity(key, values, n=None)``: one number, or what each run of a simulation gave, of which the mean is the
    figure. ``n`` is the number of cases behind one number.
    """

    def record(key: str, values: Any, n: int | None = None) -> None:
        found = figures.measured(key, values, n=n, is_full=bool(os.environ.get("CLOSEDLOOP_FULL")))
        request.node.user_properties.append((figures.PROPERTY, found))

    return record


def measured_figures(reporter: pytest.TerminalReporter) -> list[dict[str, Any]]:
    """What the tests recorded, those that failed too."""
    reports = [report for outcome in ("passed", "failed") for report in reporter.stats.get(outcome, [])]
    return [value for report in reports for name, value in report.user_properties if name == figures.PROPERTY]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """List what was left out, and why, once per reason; then the measured figures, if they are asked for."""
    reasons: dict[str, list[str]] = {}
    for report in left_out(config):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid)
    for reason, tests in reasons.items():
        terminalreporter.section(f"left out: {len(tests)}")
        terminalreporter.write_line(reason)
        for name in sorted(tests):
            terminalreporter.write_line(f"  {name}")
    if os.environ.get("CLOSEDLOOP_FULL") or config.getoption("--validity"):
        show_figures(terminalreporter, config.getoption("--validity-file"))


def show_figures(reporter: pytest.TerminalReporter, to_file: str | None) -> None:
    """Print the table of figures, and write it where asked."""
    lines = figures.table(measured_figures(reporter))
    reporter.section("validity")
    for line in lines:
        reporter.write_line(line)
    if to_file:
        Path(to_file).parent.mkdir(parents=True, exist_ok=True)
        Path(to_file).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def python_texts() -> Iterator[None]:
    """Texts are Python's own, as those of claims are."""
    with pd.option_context("mode.string_storage", "python"):
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder with the raw files of real markets, ``<market>/<file name>``."""
    folder = mirror_folder()
    if folder is None:
        pytest.skip(GET_REAL)
    return folder


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The executable of the system's Chromium."""
    return require("chromium")


@pytest.fixture(scope="session")
def postgresql() -> Path:
    """The folder of PostgreSQL's server programs."""
    return require("postgresql")
