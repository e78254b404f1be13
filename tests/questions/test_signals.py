"""Signals and points of a set written by hand, as 02 tells them, on the bundled market's deals."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from closedloop import card, signals
from closedloop.period.counting import by_close, recent
from closedloop.personas.persona_set import decided_cases, points_of
from closedloop.personas.points_card import points_card
from closedloop.personas.signals import CONFIRMED, NOT_YET_TOLD, WITHDRAWN, Signal
from closedloop.statistics.proportions import trial
from closedloop.workbench.answer import Answer
from closedloop.workbench.period import OpenPeriod

from tests.questions import periods

PERIOD = "2025-q2"
SPAN = {"first_period": "2024-q1", "last_period": "2024-q3"}
CONFIRMED_ONE = Signal(
    "is_integrated", "yes", "2024-q4", 0.12, 0.05, 0.19, 0.5, 0.2, 227, **SPAN, q=0.004, state=CONFIRMED,
    since_period="2024-q4", since_points=0.11, since_low=0.04, since_high=0.17, since_n=96, n_same=2, n_periods=2,
)  # fmt: skip
NEW_ONE = Signal("channel", "partner", PERIOD, 0.13, 0.06, 0.20, 0.5, 0.2, 156,
                 first_period="2024-q1", last_period="2025-q1")  # fmt: skip
DEVIATING = replace(CONFIRMED_ONE, field="region", level="east", persona="large", points=-0.08, low=-0.13, high=-0.03,
                    state=NOT_YET_TOLD, since_points=0.01, since_low=-0.04, since_high=0.06, n_same=1)  # fmt: skip
GONE = replace(CONFIRMED_ONE, field="sites", level="over 20", state=WITHDRAWN, left="2025-q1",
               since_points=0.01, since_low=-0.04, since_high=0.06)  # fmt: skip


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> OpenPeriod:
    """02 of a period, under a set with four signals and a card of its own deals."""
    found = periods.planning(
        "harbor", PERIOD, periods.by_size(), tmp_path_factory.mktemp("runs"), notebook="02_personas"
    )
    cases, edges = decided_cases(found.situation, by_close(found.situation.deals), found.personas, {})
    given = (CONFIRMED_ONE, NEW_ONE, DEVIATING, GONE)
    found.personas = replace(found.personas, card=points_card(cases, edges), signals=given,
                             first_period="2024-q2", last_period="2025-q1")  # fmt: skip
    return found


@pytest.fixture(scope="module")
def moved(now: OpenPeriod) -> Answer:
    return signals()


@pytest.fixture(scope="module")
def points(moved: Answer, now: OpenPeriod) -> Answer:
    return card(now.deals())


def plain(shown: object) -> str:
    return repr(shown).replace("\N{NO-BREAK SPACE}", " ")


def figures(claims: pd.DataFrame, measure: str) -> dict[str, tuple[object, ...]]:
    """What is claimed of each level: subject, estimate, low, high, n and periods."""
    own = claims[claims["measure"] == measure].set_index("level")
    names = ["subject", "estimate", "low", "high", "n", "first_period", "last_period"]
    return {level: tuple(row) for level, row in own[names].iterrows()}


def test_every_figure_of_a_signal_is_a_claim(moved: Answer) -> None:
    promised = figures(moved.claims, "signal_points")
    assert promised["yes"] == ("market", 0.12, 0.05, 0.19, 227, "2024-q1", "2024-q3")
    assert promised["partner"] == ("market", 0.13, 0.06, 0.20, 156, "2024-q1", "2025-q1")
    assert promised["east"][:4] == ("large", -0.08, -0.13, -0.03) and "over 20" not in promised
    came = figures(moved.claims, "signal_since")
    assert came["yes"] == ("market", 0.11, 0.04, 0.17, 96, "2024-q4", "2025-q1") and "partner" not in came
    same = moved.claims.query("measure == 'signal_same_periods'").set_index("level")
    assert same[["estimate", "n"]].loc["yes"].tolist() == [2, 2] and same.loc["east", "estimate"] == 1
    assert "partner" not in same.index, "nothing came of it yet, so no period is counted"
    gone = figures(moved.claims, "withdrawn_since")
    assert gone == {"over 20": ("market", 0.01, -0.04, 0.06, 96, "2024-q4", "2024-q4")}
    assert (moved.claims["unit"] == "points").sum() == 7 and set(moved.claims["family"]) == {"none"}


def test_each_persona_is_told_how_many_deals_of_its_own_have_the_level(moved: Answer, now: OpenPeriod) -> None:
    own = moved.claims.query("measure == 'signal_persona_deals'")
    decided = by_close(now.situation.deals)
    n = (decided["channel"] == "partner").groupby(now.personas.assign(decided)).sum()
    assert own[own["field"] == "channel"].set_index("subject")["estimate"].to_dict() == n[n >= 10].to_dict()
    sizes = now.personas.assign(decided).value_counts()
    assert own[own["field"] == "channel"].set_index("subject")["n"].to_dict() == sizes[n[n >= 10].index].to_dict()
    assert set(own["level"]) == {"yes", "partner"}, "of signals of one persona, and of those withdrawn, nothing"


def test_a_test_is_proposed_for_what_we_choose_ourselves(moved: Answer, now: OpenPeriod) -> None:
    (size,) = moved.claims.query("measure == 'test_arm_deals'").to_dict("records")
    assert (size["level"], size["estimate"]) == ("partner", trial(0.3, 0.43).n_per_arm)


def test_the_sentences_say_what_to_look_for_and_what_to_try(moved: Answer) -> None:
    said = plain(moved.sentence)
    assert (
        "Look for: integration already in place. Such deals were won more often in all personas together: promised "
        "+12 points (5 to 19; n = 227, 2024-q1 to 2024-q3), came since +11 points (4 to 17; n = 96, 2024-q4 to "
        "2025-q1); confirmed: the promised way in 2 of 2 periods."
    ) in said
    assert "Try and measure: in all personas together, deals were won more often when the channel was “partner”" in said
    assert f"new from {PERIOD} on: too little came since to tell." in said
    n = trial(0.3, 0.43).n_per_arm
    assert (
        f"two arms drawn by lot of those who can get either, “channel: partner” and what is usual, {n} decided" in said
    )
    told = "Region: east: in persona Large it goes with fewer wins than in the other personas: promised −8 points"
    assert f"{told} (−13 to −3; n = 227" in said
    assert "not yet told: the promised way in 1 of 2 periods" in said
    assert (
        "Number of sites: over 20, in all personas together, is in force no longer: promised +12 points (5 to 19; "
        "n = 227" in said
    )


def test_the_tables_list_those_in_force_and_those_withdrawn(moved: Answer) -> None:
    in_force, gone = moved.figure("What moves the chance in every persona?").make().pieces
    assert [row[0] for row in in_force.rows] == ["Integration already in place", "Channel: partner", "Region: east"]
    assert [row[4] for row in in_force.rows] == ["2024-q4", PERIOD, "2024-q4"] and gone.rows[0][
        -1
    ] == "withdrawn: the promised way in 2 of 2 periods"
    assert in_force.rows[1][5:] == ("–", "–", f"new from {PERIOD} on: too little came since to tell")
    ids = set(moved.claims["claim_id"])
    assert all(cited and set(cited) <= ids for cited in (*in_force.claims, *gone.claims))


def test_the_bottom_line_begins_with_the_largest_that_was_confirmed(moved: Answer) -> None:
    (line,) = moved.headline(moved.evidence)
    assert line.text.startswith("Look for: integration already in place.")


def test_the_card_lists_every_level_and_marks_the_signals(points: Answer, now: OpenPeriod) -> None:
    kept = now.personas.card
    assert kept is not None
    given = points.claims.query("measure == 'card_points'")
    assert len(given) == sum(row.n >= 10 for row in kept.rows)
    by_level = {(row.field, row.level): row for row in kept.rows}
    for claim in given[given["level"] != "any other"].to_dict("records"):
        row = by_level[claim["field"], claim["level"]]
        assert (claim["estimate"], claim["low"], claim["high"], claim["n"]) == (row.points, row.low, row.high, row.n)
    listed = points.figure().make().pieces[0]
    marked = {row[0]: row[-1] for row in listed.rows if row[-1]}
    assert set(marked) == {"integration already in place: yes", "channel: partner", "region: east"}
    assert marked["channel: partner"] == "in all personas together" and "persona Large" in marked["region: east"]


def test_points_stand_for_a_chance_where_deals_lie(points: Answer, now: OpenPeriod) -> None:
    stood = points.claims.query("measure == 'card_chance'").set_index("level")
    window = by_close(now.situation.closed_deals)
    found = points_of(now.personas, window)
    assert found is not None and now.personas.card is not None
    n = (10 * (found / 10).round()).astype(int).value_counts()
    assert stood["n"].to_dict() == {str(at): size for at, size in n.items() if size >= 10}
    assert stood["estimate"].is_monotonic_increasing
    assert stood["estimate"].tolist() == pytest.approx(now.personas.card.chance(stood.index.astype(float)).tolist())
    every = by_close(now.situation.deals)
    last = every[recent(now.situation.names_of(every["closed_on"]))]
    level = points.claims.query("measure == 'card_level_win_rate'").iloc[0]
    assert (level["estimate"], level["n"]) == (last["is_won"].mean(), len(last)) and len(last) >= 400
    span = "{} to {}".format(*now.situation.span(last["closed_on"]))
    caption = points.figure().make().pieces[1].caption
    assert caption.endswith(f" The chances are at the level of deals decided {span}.")
    said = plain(points.sentence)
    assert f"at the level of deals decided {span}, {100 * level['estimate']:.0f} % (" in said
    assert "By kind of site a deal gets from 0 to " in said and "points stand for a chance of" in said


def test_without_signals_and_card_it_says_what_could_not_be_shown(tmp_path: Path) -> None:
    """In the first period hardly any deal is decided."""
    now = periods.planning("harbor", "2024-q1", periods.by_size(), tmp_path, notebook="02_personas")
    moved, points = signals(), card(now.deals())
    assert "That is not to say that nothing matters: it could not be shown." in plain(moved.sentence)
    n = len(by_close(now.situation.deals))
    assert n < 100 and f"fewer than 100 deals are decided, {n} so far" in plain(points.sentence)
    assert moved.claims.empty and points.claims.empty and not moved.headline(moved.evidence)
