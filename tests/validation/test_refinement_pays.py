"""Does refinement pay, and is what it says true? Points card and signals on redraws of harbor's outcomes.

A few redraws by default; CLOSEDLOOP_FULL=1 runs as many as the bars in tests/bench/validity.py are for.
"""

import os

import numpy as np
import pytest
from closedloop.personas.points_card import points_card
from closedloop.personas.signals import Signal
from closedloop.questions.refinement.champion_challenger import predict
from closedloop.statistics.scoring.accuracy import calibration_slope
from closedloop.validation.backtest import lift

from tests.redrawn_deals import FIRST, WINDOW, RedrawnDeals, market_cases
from tests.redrawn_deals import harbor as redrawn_harbor

FULL = bool(os.environ.get("CLOSEDLOOP_FULL"))
HALF_WAY = 5  # periods of deals before it
BY_2025_Q1 = 6  # periods of deals known when that one has ended
NEVER = 99


@pytest.fixture(scope="module")
def harbor() -> RedrawnDeals:
    return redrawn_harbor()


@pytest.fixture(scope="module")
def told(harbor: RedrawnDeals) -> list[tuple[Signal, ...]]:
    """The signals of all personas after the last period, those withdrawn among them, on each redraw."""
    return [_of_all(harbor.refined(harbor.drawn(seed))) for seed in range(300 if FULL else 4)]


def _of_all(signals: tuple[Signal, ...]) -> tuple[Signal, ...]:
    return tuple(one for one in signals if not one.persona)


def _is_planted(harbor: RedrawnDeals, one: Signal) -> bool:
    return (one.field, one.level) in harbor.planted


def test_the_card_ranks_later_deals_nearly_as_the_truth_does(harbor: RedrawnDeals, validity) -> None:
    rows = harbor.cases.period >= FIRST
    block, truth = harbor.cases.period, harbor.chance
    late = block >= HALF_WAY
    best, best_late = (lift(truth[some], truth[some], block[some]) for some in (rows, late))
    found = []
    for seed in range(50 if FULL else 3):
        won = harbor.drawn(seed)
        card, static, renewed = _predicted(harbor, won)
        of, of_static, of_renewed = (lift(truth[rows], p[rows], block[rows]) for p in (card, static, renewed))
        share_late = lift(truth[late], card[late], block[late]) / best_late
        slope = calibration_slope(won[rows], card[rows])
        found.append((of / best, share_late, 100 * (of - of_static), 100 * (of - of_renewed), slope))
    shares, lates, over_static, over_renewed, slopes = np.array(found).T
    validity("card-share", shares)
    validity("card-share-late", lates)
    validity("card-over-static", over_static)
    validity("card-over-renewed", float(np.quantile(over_renewed, 0.05)), n=len(found))
    validity("card-slope", slopes)


def _predicted(harbor: RedrawnDeals, won: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) each: the chance by the card, by the first research's set, and by its rule with renewed rates."""
    card, static, renewed = (np.full(len(won), np.nan) for _ in range(3))
    research = harbor.promised(won, 0, 1)
    for period in range(FIRST, harbor.n_periods):
        rows = harbor.cases.period == period
        made = points_card(harbor.known(won, period), {})
        assert made is not None
        card[rows] = made.chance(made.total(harbor.cases.levels[rows]))
        rate = float(won[harbor.cases.period < period][-400:].mean())
        static[rows] = predict(research, harbor.deals[rows], rate)
        window = harbor.promised(won, max(period - WINDOW, 0), period)
        renewed[rows] = predict(window, harbor.deals[rows], rate)
    return card, static, renewed


def test_signals_are_what_is_planted(harbor: RedrawnDeals, told: list[tuple[Signal, ...]], validity) -> None:
    planted = [[one for one in signals if _is_planted(harbor, one)] for signals in told]
    others = [[one for one in signals if not _is_planted(harbor, one)] for signals in told]
    beside = {*(field for field, _ in harbor.planted), "site_type"}
    validity("signals-early", [sum(harbor.place(one.entered) <= BY_2025_Q1 for one in own) for own in planted])
    validity("signals-end", [sum(one.is_in_force for one in own) for own in planted])
    validity("signals-false", [sum(one.field not in beside for one in own) for own in others])
    validity("signals-beside", [sum(one.field in beside for one in own) for own in others])
    validity("signals-wrongly-out", [not one.is_in_force for own in planted for one in own])


def test_signals_promise_what_is_true(harbor: RedrawnDeals, told: list[tuple[Signal, ...]], validity) -> None:
    entered = [one for signals in told for one in signals if _is_planted(harbor, one)]
    truth = np.array([harbor.planted[one.field, one.level] for one in entered])
    error = 100 * (np.array([one.points for one in entered]) - truth)
    after = np.array([harbor.place(one.entered) for one in entered])
    validity("signals-bias", error)
    for n in np.unique(after) if FULL else ():
        validity(f"signals-bias-{n}", error[after == n])
    validity("signals-coverage", [one.low <= of <= one.high for one, of in zip(entered, truth, strict=True)])


def test_nothing_enters_where_nothing_moves_the_chance(harbor: RedrawnDeals, validity) -> None:
    worlds = range(400 if FULL else 10)
    validity("signals-null", [len(harbor.refined(harbor.shuffled(seed))) > 0 for seed in worlds])


FIELD, LEVEL = "is_integrated", "yes"


def _fate(harbor: RedrawnDeals, seed: int, chance: np.ndarray, first: int = FIRST, last: int | None = None) -> tuple:
    """After how many periods of deals the level entered and was withdrawn."""
    signals = _of_all(harbor.refined(harbor.drawn(seed, chance), first=first, last=last))
    own = next((one for one in signals if (one.field, one.level) == (FIELD, LEVEL)), None)
    if own is None:
        return NEVER, NEVER
    return harbor.place(own.entered), harbor.place(own.left) if own.left else NEVER


SIZES = [pytest.param(15, marks=pytest.mark.slow), 20]


@pytest.mark.parametrize("points", SIZES)
def test_a_signal_whose_effect_ends_is_withdrawn(harbor: RedrawnDeals, validity, points: int) -> None:
    chance = harbor.with_effect(points / 100, FIELD, LEVEL, periods=range(HALF_WAY))
    fates = [_fate(harbor, seed, chance, last=HALF_WAY + 3) for seed in range(60 if FULL else 3)]
    gone = [left <= HALF_WAY + 3 for entered, left in fates if entered <= HALF_WAY]
    validity(f"signals-ended-{points}", gone)


@pytest.mark.parametrize("points", SIZES)
def test_a_signal_whose_effect_lasts_stays(harbor: RedrawnDeals, validity, points: int) -> None:
    chance = harbor.with_effect(points / 100, FIELD, LEVEL, periods=range(harbor.n_periods))
    fates = [_fate(harbor, seed, chance) for seed in range(40 if FULL else 3)]
    gone = [left < NEVER for entered, left in fates if entered < harbor.n_periods]
    validity(f"signals-kept-{points}", gone)


@pytest.mark.parametrize("points", SIZES)
def test_a_new_effect_becomes_a_signal(harbor: RedrawnDeals, validity, points: int) -> None:
    chance = harbor.with_effect(points / 100, FIELD, LEVEL, periods=range(HALF_WAY, harbor.n_periods))
    fates = [_fate(harbor, seed, chance, first=HALF_WAY) for seed in range(40 if FULL else 3)]
    validity(f"signals-new-{points}", [HALF_WAY < entered <= HALF_WAY + 4 for entered, _ in fates])


@pytest.mark.real
def test_nothing_enters_in_maven(validity) -> None:
    deals, cases, personas = market_cases("maven")
    signals = RedrawnDeals(deals, cases, personas, cases.won, {}).refined(cases.won, first=1)
    validity("signals-maven", float(len(signals)), n=len(cases.won))


@pytest.mark.real
def test_the_card_orders_the_bank_better_than_the_first_researchs_set(validity) -> None:
    deals, cases, personas = market_cases("bank")
    everything = RedrawnDeals(deals, cases, personas, cases.won, {})
    research = everything.promised(cases.won, 0, 1)
    points = np.full(len(cases.won), np.nan)
    for n in range(1, len(cases.names)):
        card, rows = points_card(everything.known(cases.won, n), {}), cases.period == n
        assert card is not None
        points[rows] = card.total(cases.levels[rows])
    later, static = cases.period > 0, predict(research, deals, 0.2)
    of, of_static = (lift(cases.won[later], p[later], cases.period[later]) for p in (points, static))
    validity("bank-card-over-static", 100 * (of - of_static), n=int(later.sum()))
