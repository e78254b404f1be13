"""What turns round or vanishes like for like: a small market looked back on, and its pages read."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.period import store
from closedloop.workbench.cells import run_cells
from closedloop.workbench.period import OpenPeriod

from tests import pages
from tests.documents.test_grounding import texts_of
from tests.market.conftest import HEAD, project_at, write_market

# Partners win 20 points more often of either product, and sell the one that is won less often. North is as often won as
# south of either product, and buys that one too. (channel, product, region): deals, won ones.
CELLS = {
    ("partner", "large", "north"): (320, 128),
    ("partner", "large", "south"): (80, 32),
    ("web", "large", "north"): (64, 13),
    ("web", "large", "south"): (16, 3),
    ("partner", "small", "north"): (16, 14),
    ("partner", "small", "south"): (64, 58),
    ("web", "small", "north"): (80, 56),
    ("web", "small", "south"): (320, 224),
}
PERIOD = "2024-q4"


def deals() -> pd.DataFrame:
    """The cells' deals, spread evenly over the year."""
    rows = [(*cell, "won" if place < won else "lost") for cell, (n, won) in CELLS.items() for place in range(n)]
    frame = pd.DataFrame(rows, columns=["channel", "product", "region", "outcome"])
    days = pd.Timestamp("2024-01-10") + pd.to_timedelta(np.arange(len(frame)) * 7 % 340, unit="D")
    frame = frame.assign(created_on=days, closed_on=days + pd.Timedelta(days=10))
    return frame.rename_axis("deal_id").reset_index().assign(deal_id=lambda d: "D" + d["deal_id"].astype(str))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with project_at(tmp_path_factory.mktemp("project")) as root:
        head = HEAD.replace("2024-06-30", "2024-12-31")
        declared = '[deals]\nstages = ["open"]\noutcomes = ["won", "lost"]\n'
        known = '[fields.deals]\ncreation = ["region"]\n'
        files = {"deals": deals().to_csv(index=False)}
        write_market(pages.with_notebooks(root), files, more=known, head=head, deals=declared)
        yield root / "runs"


@pytest.fixture(scope="module")
def looked_back(out: Path) -> dict[str, OpenPeriod]:
    """05 and 07 of the last quarter as their cells leave them."""
    parameters = {"market": "tiny", "period": PERIOD, "out": str(out)}
    return {name: run_cells(store.notebook_path(name), parameters) for name in ("05_deals", "07_review")}


@pytest.fixture(scope="module")
def told(out: Path, looked_back: dict[str, OpenPeriod]) -> dict[tuple[str, str], list[str]]:
    """(page, verb or part) -> its computed texts."""
    shown = {(name, "bottom line"): now.bottom_line().make().pieces for name, now in looked_back.items()}
    for name, now in looked_back.items():
        shown |= {(name, f"{place} {answer.verb}"): answer.pieces("Why?")
                  for place, answer in enumerate(now.answers.values())}  # fmt: skip
    playbook, _ = pages.document("sales_playbook", "tiny", PERIOD, out)
    shown |= {("sales_playbook", getattr(piece, "title", "")): [piece] for piece in playbook.pieces}
    return {
        place: [text.replace("\N{NO-BREAK SPACE}", " ") for piece in pieces for text, _ in texts_of(piece)]
        for place, pieces in shown.items()
    }


def of(told: dict[tuple[str, str], list[str]], page: str, part: str) -> list[str]:
    """The texts of all parts of a page whose name ends so."""
    return [text for (name, place), texts in told.items() if name == page and place.endswith(part) for text in texts]


def test_the_claims_say_what_becomes_of_each_difference(looked_back: dict[str, OpenPeriod]) -> None:
    claims = looked_back["05_deals"].claims
    within = claims[(claims["within"] == "product") & (claims["among"] == "")].set_index(["field", "level"])
    answers = within["measure"].to_dict()
    assert answers["channel", "partner"] == answers["channel", "web"] == "win_rate_reversed"
    assert answers["region", "north"] == answers["region", "south"] == "win_rate_explained"
    frame = deals()
    rates = (frame["outcome"] == "won").groupby(frame["region"]).mean()
    north = within.loc[("region", "north")]
    assert north["baseline"] == pytest.approx(rates["north"] - rates["south"])
    assert north["low"] < 0 < north["high"] < 0.10 and abs(north["estimate"]) < 0.02


def test_what_does_not_hold_like_for_like_is_not_among_what_holds(
    looked_back: dict[str, OpenPeriod], told: dict[tuple[str, str], list[str]]
) -> None:
    claims = looked_back["05_deals"].claims
    rates = claims[(claims["measure"] == "win_rate") & (claims["verdict"] == "supported")]
    # 06 has made a persona of the north, which is the north once more
    assert rates["field"].value_counts().to_dict() == {"channel": 2, "product": 2, "region": 2, "persona": 2}
    assert "2 findings about deals hold." in of(told, "07_review", "findings")
    assert any(
        text.startswith("2 findings about deals hold, 6 do not, or may not, like for like")
        for text in told["07_review", "bottom line"]
    )
    counted = " ".join(of(told, "05_deals", "win_rates"))
    assert "0 hold, 2 do not hold, or may not, like for like" in counted
    assert "2 hold, 4 do not hold, or may not, like for like" in counted
    assert any(text.startswith("Product: ") for text in told["05_deals", "bottom line"])
    assert not any("plays by persona can pay" in text for text in of(told, "07_review", "set_changes"))


def test_the_crude_line_stands_nowhere_without_the_other(told: dict[tuple[str, str], list[str]]) -> None:
    other = {"Channel: partner": "turns round", "Channel: web": "turns round"}
    other |= {f"Region: {name}": "is left of the difference" for name in ("north", "south")}
    seen = set()
    for place, texts in told.items():
        for text in texts:
            for who, what in other.items():
                if f"{who} – won" in text:
                    assert what in text, (place, text)
                    seen.add((place[0], who))
    assert seen == {(page, who) for page in ("05_deals", "07_review") for who in other}


def test_what_to_look_for_holds_like_for_like(told: dict[tuple[str, str], list[str]]) -> None:
    said = of(told, "sales_playbook", "Also won more often")
    assert said and all(text.startswith("Product: ") for text in said)


def test_within_what_it_is_left_is_said_and_is_no_cause(told: dict[tuple[str, str], list[str]]) -> None:
    found = of(told, "07_review", "findings")
    start = "Region: north, within product – nothing worth knowing is left of the difference: "
    said = [text[text.index(start) :] for text in found if start in text]
    assert len(said) == 2 and "from like others, −22 points from all others as counted (95 % interval" in said[0]
    assert any("Channel: partner, within product – the difference turns round: +2" in text for text in found)
