"""Periods that are opened as a notebook opens them, and a run folder in which persona sets are made once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from closedloop.evidence.rules import Rule
from closedloop.loop.persona import Persona, PersonaSet
from closedloop.questions.period import OpenPeriod, open_period

Opening = Callable[..., OpenPeriod]


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder that tests of questions share."""
    return tmp_path_factory.mktemp("runs")


def everyone(market: str, period: str) -> PersonaSet:
    """One persona for everybody, without rates."""
    return PersonaSet(market, period, "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))


@pytest.fixture
def opening(tmp_path: Path) -> Opening:
    """Open a period that has ended under a persona set of the test's own, one for everybody unless given."""

    def opened(market: str, period: str, notebook: str, personas: PersonaSet | None = None) -> OpenPeriod:
        now = open_period(market, period, "ended", notebook=notebook, out=tmp_path / "runs")
        now.personas = personas or everyone(market, now.period.name)
        return now

    return opened
