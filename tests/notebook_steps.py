"""A notebook's own cells run on a situation and a persona set of the test's making."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from closedloop.claims.ledger import CLAIM_COLUMNS, LOOK_COLUMNS, STATEMENT_COLUMNS, stacked
from closedloop.period import store
from closedloop.period.situation import Situation
from closedloop.period.store import Step
from closedloop.personas.persona_set import PersonaSet
from closedloop.workbench import cells, period
from closedloop.workbench.period import OpenPeriod


@dataclass(frozen=True)
class Found(Step):
    """A step, its comparisons before their verdicts, its statements, and the claims that verbs closed themselves."""

    looks: pd.DataFrame = None
    statements: pd.DataFrame = None
    closed: pd.DataFrame = None


def now_of(notebook: str, situation: Situation, personas: PersonaSet, out: Path | None = None) -> OpenPeriod:
    """The period as the shipped notebook leaves it, with the situation and the set in place of those it would open."""
    place = out or Path(tempfile.mkdtemp())
    path, names = store.notebook_path(notebook), {}  # type: ignore[var-annotated]
    with period.silence():
        now = OpenPeriod(notebook, situation, place)
        vars(now)["personas"] = personas
        period._opened.append(now)
        for source, _ in cells._sources(path):
            exec(compile(source, path.name, "exec"), names)
            names["open_period"] = lambda *_, **__: now
        return now


def step_of(notebook: str, situation: Situation, personas: PersonaSet, **more: Any) -> Found:
    """All that the notebook found: comparisons before their verdicts, statements, tables, key figures, gaps."""
    now = now_of(notebook, situation, personas, **more)
    answers = list(now.answers.values())
    return Found(
        **vars(now.step),
        looks=stacked([answer.compared for answer in answers], LOOK_COLUMNS),
        statements=stacked([answer.stated for answer in answers], STATEMENT_COLUMNS),
        closed=stacked([claims for answer in answers for claims in answer.closed], CLAIM_COLUMNS),
    )
