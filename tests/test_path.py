"""The path of a raw deal row to a sentence of the sales playbook: how many modules does one have to read?

One finding is followed, a berth whose deals are won more often, with everything thrown away that was kept of its raw
file. Every module of which a function runs meanwhile is on the path, or stands beside it for a reason that is given:
on the path a function takes the finding in one form (cells, rows, counts, a comparison, a claim) and gives it in the
next, or in the same one somewhere else. Beside it are settings and names, what recognises that inputs are the same,
checks that a row passes unchanged, and what is found at the same time and is not part of the sentence.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from types import FrameType

import closedloop
from closedloop.market.files import root
from closedloop.market.warehouse import read_again

from tests.market.conftest import project_at, write_market

ALLOWED = 18  # the bar; 23 are reached
ON_THE_PATH = {
    # cells, rows, a frame
    "market.reading.containers": "the text of the raw file",
    "market.reading.lines": "the cells of its line",
    "market.staging.raw": "a row of the raw table",
    "market.staging.ladder": "a row of the canonical table",
    "market.staging.written": "that table, written",
    "market.warehouse": "that table, read: what of it was known on the day",
    "period.situation": "the deals of the situation",
    "workbench.frames": "the frame that the cell gets",
    # counts, a comparison, a claim
    "questions.deals.win_rates": "what is asked of it",
    "workbench.period": "an answer of the open period; at the end its families",
    "workbench.answer": "the records of the answer, its comparisons, and their family",
    "period.counting": "won or lost; won deals and all deals by berth",
    "statistics.segmentation.indicators": "the berth as text",
    "claims.comparisons": "a comparison of the berth with all deals",
    "statistics.proportions": "like compared with like inside the periods: estimate, interval, p",
    "claims.ledger": "its verdict: a claim",
    # the file, the sentence
    "period.store": "the claims of the notebook, written and read",
    "workbench.cells": "the dossier of the period",
    "documents.document": "the claims that a page may cite",
    "documents.playbook": "those of the section",
    "presentation.sentences": "those that hold, and the sentence",
    "presentation.numbers": "its numbers",
    "presentation.blocks": "the sentence with the claim that it cites",
}
BESIDE = {
    "market.building": "are the tables made already, and are they whole?",
    "market.staging.repeats": "is a row repeated? None is",
    "workbench.session": "which cell runs: none",
    "workbench.notebooks": "are the parameters texts? They are",
    "errors": "lists in words",
    "terms": "names",
    "market.definition": "settings",
    "market.contract": "names of columns, and which are compared by: no identifiers",
    "market.periods": "names of periods",
    "market.files": "where files lie, and how they are written",
    "market.kept": "are the inputs the same?",
    "market.where": "which deals count: all of them",
    "market.sources": "where the file lies, and whether it is the expected one",
    "market.reading.database": "snapshots of databases: there are none",
    "market.reading.values": "how text is read where a type is declared: none is",
    "market.staging.meanings": "what people's words mean, and other currencies: nothing is written down",
    "market.staging.days": "the days on which something happened",
    "market.staging.findings": "what looks wrong: nothing",
    "market.staging.losses": "does every record come through the select? It does",
    "market.staging.selects": "where a select reads text as something else: nowhere",
    "market.staging.unreadable": "could every cell be read? It could",
    "market.staging.checks": "is a value not allowed, or at odds with another? None is",
    "market.staging.audit": "what was done to rows: nothing",
    "personas.persona_set": "the persona of each deal",
    "documents.signals": "can the persona have that berth? Its rule does not ask for it",
    "personas.signals": "the signals of the set in force: none",
    "personas.points_card": "the points of the set in force: none, of so few deals",
    "statistics.rules": "the rule that tells it",
    "statistics.recording": "is the berth recorded as often of lost deals?",
    "workbench.comparison": "are there deals at all?",
    "workbench.redraws": "how the self-test compares again",
    "statistics.amounts": "differences of amounts that can be seen: it is none",
    "presentation.words": "what columns, levels and measures are called",
    "presentation.persona_words": "what fields and personas are called",
}


@contextmanager
def traced(ran: dict[str, None]) -> Iterator[None]:
    """The modules of closedloop of which a function is called within the block, in the order of their first call."""

    def note(frame: FrameType, event: str, _: object) -> None:
        name = frame.f_globals.get("__name__", "")
        is_function = frame.f_code.co_name != "<module>"  # an import reads no row
        if event == "call" and is_function and name.startswith("closedloop."):
            ran.setdefault(name.removeprefix("closedloop."))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


def deals() -> str:
    """240 deals that were decided in one quarter: of the quay 90 of 120 are won, of the river 30 of 120."""
    rows = ["deal_id,created_on,closed_on,outcome,berth"]
    for n in range(240):
        came, place = date(2024, 1, 1) + timedelta(days=n % 80), n // 2
        berth, is_won = ("quay", place % 4 > 0) if n % 2 else ("river", place % 4 == 0)
        rows.append(f"d{n:03d},{came},{came + timedelta(days=8)},{'won' if is_won else 'lost'},{berth}")
    return "\n".join(rows)


def test_a_row_goes_through_few_modules_until_it_is_a_sentence(tmp_path: Path) -> None:
    ran: dict[str, None] = {}
    for folder in ("notebooks", "playbooks"):
        shutil.copytree(root() / folder, tmp_path / folder)
    with project_at(tmp_path):
        write_market(tmp_path, {"deals": deals()}, more='[fields.deals]\ncreation = ["berth"]\n')
        out = tmp_path / "runs"
        closedloop.open_document("tiny", out=out)  # which computes what other notebooks leave for the page
        for made in (".warehouse", ".kept"):
            shutil.rmtree(out / made)
        read_again()
        with traced(ran):
            now = closedloop.open_period("tiny", "2024-q1", notebook="05_deals", out=out)
            closedloop.win_rates(now.deals(), by="berth")
            now.close()
            playbook = closedloop.open_document("tiny", out=out)
            shown = repr(playbook.qualification())
            playbook.close()
    shown = shown.replace("\N{NO-BREAK SPACE}", " ")
    assert re.search(r"Berth: quay – won more often: 7\d % against 50 % .* n = 120, 2024-q1", shown), shown
    path = [name for name in ran if name not in BESIDE]
    print(f"{len(path)} modules, {ALLOWED} allowed:", *(f"{name}: {ON_THE_PATH.get(name)}" for name in path), sep="\n")
    assert sorted(path) == sorted(ON_THE_PATH), "read fewer, or say what the new one makes of a row"
    assert set(BESIDE) <= set(ran), "what does not run any more is no longer named"
