"""01 as its notebook asks it, for tests: every question of a period, with the personas that research alone suggests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from closedloop import explore, offer, open_period, profile, segments, targets
from closedloop import waves as ask_waves
from closedloop.personas.lineage import research_set
from closedloop.workbench.answer import Answer
from closedloop.workbench.period import OpenPeriod


@dataclass(frozen=True)
class Researched:
    """A period at its start, and the answers of 01."""

    now: OpenPeriod
    sample: pd.DataFrame
    size: Answer
    answers: Answer
    found: Answer
    shape: Answer
    apart: Answer
    waves: Answer
    choice: Answer
    plan: Answer


def opened_at_start(market: str, period: str, out: Path) -> OpenPeriod:
    """The period with the set of its own research: no earlier period has to be computed for it."""
    now = open_period(market, period, "start", notebook="01_research", out=out)
    found = segments(now.sample(), now.items)
    now.answers.clear()
    now.personas = research_set(now.situation, *found.fitted)
    return now


def researched(market: str, period: str, out: Path, **asked: Any) -> Researched:
    """All questions of 01; ``asked``: criteria in place of the market's own."""
    now = opened_at_start(market, period, out)
    sample, by = now.sample(), now.items
    size, answers, found = explore(sample, by, "size"), explore(sample, by), segments(sample, by)
    shape, apart, last = profile(found), profile(found, apart=True), ask_waves(found)
    choice = targets(found, now.deals(), targets(**asked))
    return Researched(now, sample, size, answers, found, shape, apart, last, choice, offer(choice, shape))
