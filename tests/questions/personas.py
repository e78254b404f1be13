"""Periods opened as 02 opens them, under a persona set of a test's own, so that none has to be made first."""

from pathlib import Path

from closedloop import open_period
from closedloop.personas.persona_set import Persona, PersonaSet
from closedloop.statistics.rules import Rule
from closedloop.workbench.period import OpenPeriod

EVERYONE = PersonaSet("harbor", "2025-q2", "research", Rule((), "everyone", ()), (Persona("everyone", "Everyone"),))


def planning(period: str, out: Path, personas: PersonaSet = EVERYONE, before: PersonaSet | None = None) -> OpenPeriod:
    """A period of the bundled market as known at its start, with these personas in force."""
    now = open_period("harbor", period, "start", notebook="02_personas", out=out)
    now.personas, now.personas_before = personas, before
    return now
