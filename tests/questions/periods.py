"""Open periods for tests of verbs: under a persona set that is given, so that none has to be made first."""

from pathlib import Path
from typing import Any

from closedloop import open_period
from closedloop.period import store
from closedloop.personas.persona_set import Persona, PersonaSet
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.workbench.cells import run_cells
from closedloop.workbench.period import OpenPeriod

DRIFTS_IN, NEXT = "2025-q1", "2025-q2"  # in which the bundled market's planted drift begins, and the period after
SITES = ("6-20", "over 20")
LARGE = Rule((Branch((Among("sites", SITES),), "large", 100, 1.0),), "small", ("sites",))


def everyone(market: str = "harbor") -> PersonaSet:
    """One persona for all."""
    rule = Rule((), "everyone", ())
    return PersonaSet(market, "2025-q2", "research", rule, (Persona("everyone", "Everyone"),))


def by_size(large: float | None = 0.4, small: float | None = 0.2) -> PersonaSet:
    """Large and small sites, with their promised win rates."""
    promised = [Persona(name, name.title(), win_rate=rate) for name, rate in (("large", large), ("small", small))]
    return PersonaSet("harbor", "2025-q2", "research", LARGE, tuple(promised), base_rate=0.3, fields=("sites",))


def planning(
    market: str, period: str, personas: PersonaSet, out: Path | None, notebook: str = "03_leads", **settings: Any
) -> OpenPeriod:
    """03 leads, or another planning notebook, opened at a period's start."""
    now = open_period(market, period, "start", notebook=notebook, out=out, **settings)
    now.personas = personas
    return now


def run(notebook: str, period: str, out: Path, **parameters: Any) -> OpenPeriod:
    """A period of the bundled market as the shipped notebook's cells leave it."""
    given = {"market": "harbor", "period": period, "out": str(out)}
    return run_cells(store.notebook_path(notebook), given | parameters)
