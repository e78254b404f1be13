"""Planned tests as sentences: what to draw, how many, how long, when to stop; or how long to wait."""

from collections.abc import Mapping

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, value
from closedloop.documents.measures import measure_of
from closedloop.documents.pieces import Sentence, stating
from closedloop.documents.wording import Words, about, records

_SOUGHT = "sought_"


def planned_tests(ledger: pd.DataFrame, words: Words) -> list[Sentence]:
    """One sentence for each open line: the tests that can be drawn first, the quickest on top."""
    planned = ledger[ledger["cell"] == "tests"]
    lines = [_figures(part) for _, part in planned.groupby(["subject", "field", "level"], sort=False)]
    drawn = sorted((line for line in lines if "test_weeks" in line), key=lambda line: _weeks(line, "test_weeks"))
    waits = sorted((line for line in lines if "wait_weeks" in line), key=lambda line: _weeks(line, "wait_weeks"))
    return [_draw(line, words) for line in drawn] + [_wait(line, words) for line in waits]


def _figures(part: pd.DataFrame) -> dict[str, Claim]:
    return {str(claim["measure"]): claim for claim in records(part)}


def _weeks(line: Mapping[str, Claim], name: str) -> float:
    return float(line[name]["estimate"])


def _question(line: Mapping[str, Claim], words: Words) -> str:
    """What is open: "Channel: fair – 48 % against 41 % of all leads, share accepted?"."""
    sought = next(claim for name, claim in line.items() if name.startswith(_SOUGHT))
    judged = measure_of(str(sought["measure"]).removeprefix(_SOUGHT))
    usual = numbers.written(sought["baseline"], str(sought["unit"]), words.currency)
    return f"{about(sought, words)}: is the {judged.name} {value(sought, words)}, not {usual}?"


def _draw(line: Mapping[str, Claim], words: Words) -> Sentence:
    leads, weeks, harm = (line[name] for name in ("test_arm_leads", "test_weeks", "test_harm_difference"))
    text = (
        f"{_question(line, words)} Two arms drawn by lot, this and what is usual, {value(leads, words)} leads each: "
        f"about {value(weeks, words)} weeks. Stop half-way only if it is more than {numbers.points(harm['estimate'])} "
        "behind; else judge once, at the end."
    )
    return stating(text, *line.values())


def _wait(line: Mapping[str, Claim], words: Words) -> Sentence:
    more, weeks = line["wait_records"], line["wait_weeks"]
    text = f"{_question(line, words)} Nobody can draw it: wait for about {value(more, words)} more"
    return stating(f"{text}, {value(weeks, words)} weeks at this pace.", *line.values())
