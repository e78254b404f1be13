"""What the tests of several verbs share."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from closedloop import arms, call_list, channels, funnel, score, score_over_stage, wake_up

from tests.questions.periods import everyone, planning


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder for the session: a persona set in force is made once."""
    return tmp_path_factory.mktemp("questions")


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The bundled market's leads as known on 2025-04-01, with one persona for all: answers by the names of verbs."""
    now = planning("harbor", "2025-q2", everyone(), tmp_path_factory.mktemp("planned"))
    leads, every_lead = now.leads(), now.leads(window=False)
    scored = score(now.prospects())
    found = SimpleNamespace(
        now=now,
        funnel=funnel(leads),
        channels=channels(every_lead, now.spend(), now.deals()),
        arms=arms(every_lead),
        score=scored,
        stage=score_over_stage(scored),
        calls=call_list(scored),
        old=wake_up(scored),
    )
    now.close(found.calls, found.arms)
    return found
