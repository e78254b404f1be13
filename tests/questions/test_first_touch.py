"""A lead is untouched only where touches are recorded: a tiny market whose touches begin in the middle of a quarter."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.questions.handoff.promises import first_touch
from closedloop.questions.handoff.waterfall import handoff

from tests.market.conftest import HEAD, project_at, write_market
from tests.questions.conftest import Opening

N = 1_200
TOUCHES_FROM, END = "2024-05-06", "2024-06-30"


def tables() -> dict[str, pd.DataFrame]:
    """Leads of eighteen months, handed off as they come; nine of ten are touched the day after."""
    rng = np.random.default_rng(11)
    came = pd.Timestamp("2023-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 540, N)), unit="D")
    leads = pd.DataFrame({"lead_id": [f"L{i}" for i in range(N)], "created_on": came, "handed_off_on": came})
    leads = leads.assign(channel=rng.choice(["web", "fair"], N), sales_accepted_on=came)
    touched = leads[rng.random(N) < 0.9]
    touches = touched[["lead_id"]].assign(from_team="sales", touched_on=touched["created_on"] + pd.Timedelta(days=1))
    touches = touches[(touches["touched_on"] >= TOUCHES_FROM) & (touches["touched_on"] <= END)]
    return {"leads": leads, "touches": touches.assign(touch_id=[f"T{i}" for i in range(len(touches))])}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with project_at(tmp_path_factory.mktemp("covered")) as root:
        head = HEAD.replace("2024-q1", "2023-q1")
        write_market(root, {name: frame.to_csv(index=False) for name, frame in tables().items()}, head=head, deals="")
        yield root


def test_a_lead_is_never_touched_only_where_touches_are_recorded(project: Path, opening: Opening) -> None:
    answer = first_touch(opening("tiny", "2024-q2", "04_handoff").leads(window=False))
    leads, touches = tables().values()
    first, handed = touches["touched_on"].min(), leads["handed_off_on"]
    covered = leads[(handed >= first) & (handed <= END)]
    never = answer.stated.query("measure == 'never_touched_share' and field == ''")
    assert never["n"].item() == len(covered)
    untouched = ~covered["lead_id"].isin(touches["lead_id"])
    assert never["estimate"].item() == pytest.approx(untouched.mean())
    before = int(((handed >= "2024-04-01") & (handed < first)).sum())
    assert before > 10
    said = f"Touches are recorded from {first:%Y-%m-%d} on; the {before} leads from before are left out."
    assert said in repr(answer.sentence)


def test_some_leads_are_judged_by_the_days_of_all_records(project: Path, opening: Opening) -> None:
    """Few leads alone could not tell since when touches are recorded."""
    leads = opening("tiny", "2024-q2", "04_handoff").leads(window=False)
    found = first_touch(leads[leads["channel"] == "web"], among="leads of the web").stated
    every, touches = tables().values()
    handed = every["handed_off_on"]
    mine = every[(handed >= touches["touched_on"].min()) & (handed <= END) & (every["channel"] == "web")]
    never = found.query("measure == 'never_touched_share' and field == ''")
    assert (never["n"].item(), never["among"].item()) == (len(mine), "leads of the web")


def test_touches_that_do_not_say_of_whom_are_no_untouched_leads(tmp_path: Path, opening: Opening) -> None:
    """Touches of accounts alone tell nothing about a lead's first touch: that is missing, not 100 % untouched."""
    lines = [f"L{i},2024-04-01,2024-04-02,2024-04-03,A1" for i in range(30)]
    files: dict[str, str | bytes] = {
        "leads": "\n".join(["lead_id,created_on,handed_off_on,sales_accepted_on,account_id", *lines]),
        "touches": "touch_id,touched_on,account_id\nT1,2024-04-05,A1",
    }
    with project_at(tmp_path):
        write_market(tmp_path, files, deals="")
        leads = opening("tiny", "2024-q2", "04_handoff").leads(window=False)
        answer, apart = first_touch(leads), handoff(leads, "disagreements")
    assert answer.missing["first_touch"].startswith("No touches of sales are recorded: collect `touches` with team")
    assert answer.results["never_touched_share"] is None
    assert answer.stated.empty
    assert not apart.stated["level"].str.contains("not touched").any()
