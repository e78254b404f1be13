"""Periods that are opened as a notebook opens them, and a run folder in which persona sets are made once."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from closedloop import arms, call_list, channels, funnel, lead_card, score
from closedloop.personas.persona_set import Persona, PersonaSet
from closedloop.personas.signals import Refined
from closedloop.questions.refinement import signal_tests, splits
from closedloop.statistics.rules import Rule
from closedloop.workbench.cells import set_in_force
from closedloop.workbench.period import OpenPeriod, open_period

from tests.questions import periods

Opening = Callable[..., OpenPeriod]


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder that tests of questions share."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def spring(out: Path, tmp_path_factory: pytest.TempPathFactory) -> OpenPeriod:
    """06 of 2025-q1, in which the planted drift begins, as if there were no signals and splits had the whole rate.

    Then a split holds. In a run folder of its own, with the same sets before it.
    """
    folder = tmp_path_factory.mktemp("won")
    set_in_force("harbor", periods.DRIFTS_IN, out)
    (folder / "harbor").mkdir()
    for period in (out / "harbor").iterdir():
        if period.name < periods.DRIFTS_IN:
            (folder / "harbor" / period.name).symlink_to(period)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal_tests, "refine", lambda *of, **settings: Refined((), pd.DataFrame(), {}, 0.10 / 8))
        patch.setattr(splits, "split_rate", lambda situation: 0.10 / 8)
        return periods.run("06_refinement", periods.DRIFTS_IN, folder)


@pytest.fixture(scope="session")
def summer(spring: OpenPeriod) -> PersonaSet:
    """The set that its proposal became."""
    return set_in_force("harbor", periods.NEXT, spring.standing)


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


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The bundled market's leads as known on 2025-04-01, with one persona for all: answers by the names of verbs."""
    now = periods.planning("harbor", "2025-q2", periods.everyone(), tmp_path_factory.mktemp("planned"))
    leads, every_lead = now.leads(), now.leads(window=False)
    prospects = now.prospects()
    scored = score(prospects)
    card = lead_card(scored)
    found = SimpleNamespace(
        now=now,
        funnel=funnel(leads),
        channels=channels(every_lead, now.spend(), now.deals()),
        arms=arms(every_lead),
        score=scored,
        stage=score(prospects, beside="stage"),
        card=card,
        calls=call_list(card),
    )
    now.close(found.calls, found.arms)
    return found
