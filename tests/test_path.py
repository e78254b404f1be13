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

MOST = 18  # the bar; what is reached is the number of ON_THE_PATH
ON_THE_PATH = ()
BESIDE = {}


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
        closedloop.open_playbook("tiny", out=out)  # which computes what other notebooks leave for the page
        for made in (".warehouse", ".kept"):
            shutil.rmtree(out / made)
        read_again()
        with traced(ran):
            now = closedloop.open_period("tiny", "2024-q1", notebook="05_deals", out=out)
            closedloop.win_rates(now.deals(), by="berth")
            now.close()
            playbook = closedloop.open_playbook("tiny", out=out)
            shown = repr(playbook.qualification())
            playbook.close()
    shown = shown.replace("\N{NO-BREAK SPACE}", " ")
    assert re.search(r"Berth: quay – won more often: 7\d % against 50 % .* n = 120, 2024-q1", shown), shown
    path = [name for name in ran if name not in BESIDE]
    print(f"{len(path)} modules, {MOST} allowed:", *path, sep="\n")
    assert sorted(path) == sorted(ON_THE_PATH)
    assert sorted(BESIDE) == sorted(set(ran) - set(ON_THE_PATH))
