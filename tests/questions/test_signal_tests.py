"""06 on the bundled market: signals enter, are followed and leave, and the procedure as a whole is on trial."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closedloop.market.warehouse import open_warehouse
from closedloop.period import store
from closedloop.period.counting import by_close
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import SIGNAL, WITHDRAW, PersonaSet, points_of
from closedloop.personas.proposal import read_proposal
from closedloop.personas.signals import NEW, WITHDRAWN, Signal, refine
from closedloop.presentation.persona_words import edit_evidence
from closedloop.questions.refinement.champion_challenger import CANNOT_TELL, NOT_TOLD, WORSE
from closedloop.questions.refinement.edits import standing
from closedloop.questions.refinement.signal_tests import changelog_of
from closedloop.questions.refinement.splits import split_levels
from closedloop.statistics.level_effects import Level
from closedloop.terms import RARE
from closedloop.workbench.cells import set_in_force
from sklearn.metrics import log_loss

from tests.questions.periods import DRIFTS_IN, NEXT
from tests.redrawn_deals import RedrawnDeals
from tests.redrawn_deals import harbor as redrawn_harbor


@pytest.fixture(scope="module")
def coming(out: Path) -> PersonaSet:
    """The set of 2025-q2, with the signals that outcomes up to 2025-q1 gave."""
    return set_in_force("harbor", NEXT, out)


@pytest.fixture(scope="module")
def tested(out: Path, coming: PersonaSet) -> pd.DataFrame:
    """What 06 of 2025-q1 left."""
    return store.read_claims(out / "harbor" / DRIFTS_IN, "06_refinement")


@pytest.fixture(scope="module")
def decided() -> pd.DataFrame:
    """Deals won or lost with the fields of their accounts, joined with pandas."""
    warehouse = open_warehouse("harbor")
    leads = warehouse.frame("leads")[["lead_id", "account_id", "role", "channel"]]
    deals = warehouse.frame("deals").merge(leads, on="lead_id", how="left", suffixes=("", "_of_lead"))
    deals["account_id"] = deals["account_id"].fillna(deals["account_id_of_lead"])
    deals = deals.merge(warehouse.frame("accounts").drop(columns=["created_on"]), on="account_id", how="left")
    ended = deals[deals["outcome"].isin(["won", "lost"])]
    return ended.assign(
        closed_on=pd.to_datetime(ended["closed_on"]),
        is_integrated=ended["is_integrated"].map({True: "yes", False: "no"}),
    )


def test_every_signal_in_force_is_one_of_the_planted_effects(coming: PersonaSet) -> None:
    planted = {("is_integrated", "yes"), ("channel", "partner"), ("sites", "over 20"), ("product", "plan")}
    planted |= {("first_touch", "within a day")}
    found = {(one.field, one.level) for one in coming.signals_in_force}
    assert len(found) >= 2 and found <= planted
    assert all(0.05 < one.points < 0.25 and one.low > 0 for one in coming.signals_in_force)


def test_counts_of_signals_are_those_of_the_rows(coming: PersonaSet, decided: pd.DataFrame) -> None:
    starts = {period.name: pd.Timestamp(period.start) for period in open_warehouse("harbor").periods}
    until = decided[decided["closed_on"] < starts[NEXT]]
    for one in coming.signals:
        has_level = until[until[one.field] == one.level]
        before = has_level[has_level["closed_on"] < starts[one.entered]]
        assert one.n == len(before)
        assert one.since_n == len(has_level) - len(before)
    older = [one for one in coming.signals if one.entered < NEXT]
    assert older and all(one.since_n > 0 for one in older)


def test_what_enters_is_a_claim_and_stands_in_the_changelog(coming: PersonaSet, tested: pd.DataFrame) -> None:
    claims = tested.query("family == 'signal'").set_index("claim_id")
    entries = [entry for entry in coming.changelog if entry.edit == SIGNAL and entry.period == NEXT]
    new = {(one.field, one.level): one for one in coming.signals if one.entered == NEXT}
    assert {(entry.field, entry.level) for entry in entries} == set(new)
    assert set(claims.query("verdict == 'supported'")["field"]) == {entry.field for entry in entries}
    for entry in entries:
        one = new[entry.field, entry.level]
        assert claims.loc[entry.claim_id, "estimate"] == pytest.approx(one.points, abs=1e-5)
        assert (one.state, entry.n) == (NEW, one.n)


def test_every_level_tested_has_its_p_and_what_it_could_have_shown(tested: pd.DataFrame) -> None:
    claims = tested.query("family == 'signal'")
    assert len(claims) > 25 and claims["p"].between(0, 1).all()
    assert not claims["field"].isin(["campaign", "experiment", "arm", "persona"]).any()
    assert (claims["visible_difference"] > 0.05).all()
    shown = tested.query("measure == 'visible_points'").set_index("level")["estimate"]
    assert 0.1 < shown[""] < 0.3 < shown["period"] < 1


def test_the_duel_reads_the_sets_as_they_stood(out: Path, tested: pd.DataFrame) -> None:
    """Deals of each period by the card of its set: the log loss counted by another library."""
    warehouse = open_warehouse("harbor")
    period = next(one for one in warehouse.periods if one.name == DRIFTS_IN)
    ended = by_close(Situation.looking_back(warehouse, period).deals)
    won, chance = [], []
    for one in warehouse.periods:
        personas = set_in_force("harbor", one.name, out) if one.name <= DRIFTS_IN else None
        if personas is None or personas.card is None:
            continue
        rows = ended[(ended["closed_on"] >= pd.Timestamp(one.start)) & (ended["closed_on"] < pd.Timestamp(one.end))]
        points = points_of(personas, rows)
        assert points is not None and points.between(0, 100).all()
        won.append(rows["is_won"].to_numpy(dtype=float))
        chance.append(personas.card.chance(points.to_numpy()))
    own = tested.query("measure == 'log_loss' and level == 'set in force'")
    assert own["estimate"].item() == pytest.approx(log_loss(np.concatenate(won), np.concatenate(chance)))
    assert own["n"].item() == len(np.concatenate(won))


def test_the_first_period_has_no_card_so_nothing_enters(out: Path, coming: PersonaSet) -> None:
    left = read_proposal(out / "harbor" / "2024-q1" / "proposal.yml")
    assert (left.verdict, left.personas) == (CANNOT_TELL, None)
    assert "needs at least 60" in left.reason


def _signal(field: str, entered: str, **changed: object) -> Signal:
    one = Signal(field, "yes", entered, 0.1, 0.04, 0.16, 0.45, 0.15, 120, last_period="2024-q4")
    return replace(one, **changed)  # type: ignore[arg-type]


def test_a_worse_duel_keeps_new_signals_out_and_the_newest_leave() -> None:
    before = (_signal("a", "2024-q3"), _signal("b", "2025-q1"))
    found = (*before, _signal("c", "2025-q2"))
    after = standing(before, found, WORSE, "2025-q2")
    assert [(one.field, one.left) for one in after] == [("a", ""), ("b", "2025-q2")]
    entries = changelog_of(before, after, pd.DataFrame(columns=["measure", "subject", "field", "level", "claim_id"]))
    assert [(entry.edit, entry.field, entry.baseline) for entry in entries] == [(WITHDRAW, "b", 0.1)]
    assert edit_evidence(entries[0]) == "the duel" and entries[0].by_duel


def test_a_duel_that_cannot_be_told_lets_nothing_in_but_keeps_what_came() -> None:
    before = (_signal("a", "2024-q3"),)
    found = (replace(before[0], state=WITHDRAWN, left="2025-q2"), _signal("c", "2025-q2"))
    assert standing(before, found, CANNOT_TELL, "2025-q2") == found[:1]
    assert standing(before, found, NOT_TOLD, "2025-q2") == found


@pytest.fixture(scope="module")
def gone() -> tuple[RedrawnDeals, Signal]:
    """An effect of 20 points that ends half way, and the signal that was withdrawn for it."""
    harbor = redrawn_harbor()
    chance = harbor.with_effect(0.2, "is_integrated", "yes", periods=range(5))
    signals = harbor.refined(harbor.drawn(1, chance), last=8)
    return harbor, next(one for one in signals if one.left)


def test_a_withdrawn_signal_tells_what_it_was_withdrawn_for(gone: tuple[RedrawnDeals, Signal]) -> None:
    harbor, one = gone
    names = harbor.cases.names
    end = names.index(one.left)
    assert one.since_period == max(one.entered, names[end - 3])
    later = (harbor.cases.period >= names.index(one.since_period)) & (harbor.cases.period < end)
    assert one.since_n == (later & (harbor.cases.levels[one.field] == one.level)).sum()
    assert one.since_points is not None and one.since_points < one.points / 2  # what it promised lies far above it


def test_nothing_enters_while_few_periods_are_known_and_the_page_says_so(gone: tuple[RedrawnDeals, Signal]) -> None:
    harbor, _ = gone
    won = harbor.drawn(1, harbor.with_effect(0.3, "is_integrated", "yes", periods=range(9)))
    early = refine((), harbor.known(won, 3), "2024-q3", window=4, planned_periods=8)
    assert (early.rate, len(early.signals)) == (0.0, 0)
    assert (early.tests["p"] < 1e-5).any() and not early.tests["is_entering"].any()
    assert refine((), harbor.known(won, 5), "2025-q1", window=4, planned_periods=8).rate == 0.1 / 8


def test_a_test_of_recent_deals_says_so(gone: tuple[RedrawnDeals, Signal], tested: pd.DataFrame) -> None:
    harbor, _ = gone
    won = harbor.drawn(1, harbor.with_effect(0.3, "is_integrated", "yes", periods=range(5, 9)))
    found = refine((), harbor.known(won, 9), "2026-q1", window=4, planned_periods=8)
    of = found.tests.query("persona == ''").set_index(["field", "level"])["first_period"]
    assert of["is_integrated", "yes"] == "2025-q1" and "2023-q4" in set(of)
    since = tested.query("family == 'followed'")
    assert (since["first_period"] > "2023-q4").all()


def test_what_a_flags_signal_says_splits_nobody_either_way() -> None:
    closed = pd.DataFrame(
        {"is_new": pd.array([True, False] * 40 + [None] * 5, dtype="boolean"), "size": ["a", "b", "c"] * 28 + ["a"]}
    )
    found = split_levels(closed, ["is_new", "size"], [Level("is_new", "yes"), Level("size", "a")])
    assert set(found["is_new"].dropna()) == {RARE}
    assert set(found["size"]) == {RARE, "b", "c"}
