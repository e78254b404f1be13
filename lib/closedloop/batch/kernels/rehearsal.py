"""What every notebook does first, done once on made-up rows: for a process that others are forked from.

What is looked up, compiled or laid out at a first use is then there for all of them. No market is read, no database is
opened, no thread is started, and nothing of it can be seen later.
"""

import tomllib
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from closedloop.documents import battlecard, brief, charts, playbook
from closedloop.documents.dossier import Dossier
from closedloop.documents.persona_names import words_for
from closedloop.documents.rule_words import rule_sentences
from closedloop.documents.sections import catalogue
from closedloop.evidence.claims import CLAIM_COLUMNS, typed
from closedloop.evidence.rules import Rule
from closedloop.loop.persona import Persona, PersonaSet, read_set, write_set
from closedloop.loop.step import STEPS, Step, read_frame, read_step, write_frame, write_step
from closedloop.market.definition import Definition
from closedloop.market.fingerprint import computing_code, tables_code
from closedloop.market.periods import calendar

_NAME = "rehearsal"
_DEFINITION = """
title = "Made up"
licence = "none"
provenance = "Made up"
currency = "EUR"
clock = "day"
extracted_on = 2024-06-30
[periods]
first = "2024-q1"
length = "quarter"
[sources]
"""
_DOCUMENTS = ((brief, "persona"), (playbook, "persona"), (battlecard, "competitor"))


def rehearse() -> None:
    """Read, word, tabulate and draw one market's worth of nothing."""
    tables_code()
    computing_code()
    with TemporaryDirectory() as place:
        folder = Path(place)
        definition = Definition(name=_NAME, folder=folder, **tomllib.loads(_DEFINITION))
        period = calendar(definition, [date(2024, 2, 1)])[0]
        write_set(folder / "personas.yml", PersonaSet(_NAME, period.name, "research", Rule((), "a", ()), _personas()))
        personas = read_set(folder / "personas.yml")
        claims = _read_back(folder, _claims(period.name))
        words = words_for(definition, personas)
        rules = rule_sentences(personas.rule, words)
        steps = {name: _step(folder, name) for name in STEPS}
        for step in steps.values():
            evidence = catalogue.Evidence(words, period.name, step, claims, rules, claims)
            catalogue.bottom_line(evidence)._repr_html_()
        whose = {name: [None] for name in ("persona", "competitor", "topic")}
        texts = pd.DataFrame({"kind": ["proof"], "text": ["-"], **whose})
        dossier = Dossier(words, period, personas, steps, claims, claims, texts)
        for document, kind in _DOCUMENTS:
            page = dossier.about(kind, dossier.choices(kind)[0])
            document.bottom_line(page)
            for section in document.SECTIONS:
                document.render(page, section)._repr_html_()
    charts.draw_once()


def _personas() -> tuple[Persona, ...]:
    return (Persona("a", "A", win_rate=0.3, low=0.2, high=0.4, n=20, is_assumed=False), Persona("b", "B"))


def _claims(period: str) -> pd.DataFrame:
    row: dict[str, Any] = {
        "market": _NAME,
        "period": period,
        "first_period": period,
        "last_period": period,
        "family": "plan",
    }
    row |= {"subject": "a", "estimate": 0.4, "low": 0.3, "high": 0.5, "baseline": 0.3, "effect": 0.1, "n": 40}
    row |= {"q": 0.01, "verdict": "supported", "kind": "descriptive", "unit": "rate", "notebook": "02_personas"}
    measures = ("share", "win_rate", "persona_accepted_rate", "loss_reason_share")
    rows = [row | {"claim_id": measure, "measure": measure, "field": "size", "level": "large"} for measure in measures]
    return typed(rows, CLAIM_COLUMNS)


def _read_back(folder: Path, frame: pd.DataFrame) -> pd.DataFrame:
    write_frame(folder / "claims.parquet", frame)
    return read_frame(folder / "claims.parquet")


def _step(folder: Path, name: str) -> Step:
    write_step(folder, Step(name, {"texts": pd.DataFrame({"text": ["-"]})}, results={"n": 1}))
    return read_step(folder, name)
