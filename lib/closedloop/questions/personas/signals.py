"""What moves the chance of winning over all personas, and how many points a deal gets: signals and card of the set."""

from collections.abc import Collection, Sequence
from functools import partial

import numpy as np
import pandas as pd

from closedloop.claims.ledger import Origin
from closedloop.period.counting import LEAST_SHOWN, by_close, rates, recent, won
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet, decided_cases, points_of
from closedloop.personas.points_card import PointsCard
from closedloop.personas.signals import CONFIRMED, Signal
from closedloop.presentation import numbers, signal_words
from closedloop.presentation.blocks import Listing, Piece, Sentence, Table, claim_ids
from closedloop.presentation.words import capital
from closedloop.questions.personas.promised_rates import buyer_fields
from closedloop.statistics.level_effects import PERSONA, Level
from closedloop.statistics.proportions import trial
from closedloop.statistics.signals import FEWEST_CASES
from closedloop.terms import OWN_DOING, RARE
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened

_STEP = 10  # points from one row of chances to the next
_NO_SIGNAL = (
    "No level of a field was shown to move the chance of winning over all personas yet. That is not to say that "
    "nothing matters: it could not be shown. {more} can show it."
)
_MORE = "More decided deals, and more fields known when a deal is made,"
_DAYS = "Deals that record the day on which they closed"


def signals() -> Answer:
    """The signals of the set in force: what each promised when it entered, and what came since; those withdrawn last.

    A signal is a level that was tested, given persona, period, the other signals and all other fields, and moves the
    chance of winning over all personas together; or, as such, in one persona beside the others. Points are of the win
    rate. What we choose ourselves gets the size of a test of two arms that could tell what it does
    (``proportions.trial``).
    """
    now, personas = opened(), opened().personas
    is_of_buyers = set(buyer_fields(now.situation))
    render = partial(_show_signals, personas=personas, fields=is_of_buyers)
    answer = now.ask("signals", "signals", pd.DataFrame(), "deals", render)
    answer.headline = partial(_headline, personas=personas, fields=is_of_buyers)
    for one in personas.signals:
        _state(answer, one)
        if one.is_in_force and not one.persona and one.field in OWN_DOING:  # what nobody chooses, no lot can draw
            _size_test(answer, one)
    _count_by_persona(answer, [one for one in personas.signals_in_force if not one.persona])
    answer.results["n_signals"] = len(personas.signals_in_force)
    if not personas.signals_in_force:
        answer.missing["signals"] = _NO_SIGNAL.format(more=_MORE if now.situation.is_dated else _DAYS)
    return answer


def _count_by_persona(answer: Answer, found: Sequence[Signal]) -> None:
    """How many of the decided deals of each persona have the level of each signal; fewer than ten are not shown."""
    planned, personas = Situation.planning(answer.now.situation.warehouse, answer.now.period), answer.now.personas
    deals = by_close(planned.deals) if found and planned.view.has("deals") else pd.DataFrame()
    if deals.empty:
        return
    edges = personas.card.edges if personas.card else {}
    fields = [name for name in dict.fromkeys(one.field for one in found) if name in deals]
    levels = decided_cases(planned, deals, personas, edges, fields)[0].levels
    sizes = dict(levels[PERSONA].value_counts())
    rows = [
        {"subject": str(persona), "field": one.field, "level": one.level, "estimate": int(n), "n": int(sizes[persona])}
        for one in found
        if one.field in levels
        for persona, n in (levels[one.field] == one.level).groupby(levels[PERSONA]).sum().items()
        if n >= LEAST_SHOWN
    ]
    answer.count(rows, answer.origin(deals["closed_on"]), signal_words.PERSONA_DEALS)


_GONE = "In force no longer. What came is that of the last periods, for which it was withdrawn."


def _about(one: Signal) -> dict[str, object]:
    return {"subject": one.persona or "market", "field": one.field, "level": one.level}


def _state(answer: Answer, one: Signal) -> None:
    """What a signal promised; once something came since, what, and in how many periods it went that way."""
    now, told = answer.now, signal_words
    learned = Origin(now.notebook, answer.section, "deals", one.first_period, one.last_period)
    promised, came = (told.PROMISED, told.CAME) if one.is_in_force else (told.HAD_PROMISED, told.HAD_COME)
    at_entry = _about(one) | {"estimate": one.points, "low": one.low, "high": one.high, "n": one.n}
    answer.estimate([at_entry], learned, promised, unit="points", kind="predictive")
    if one.since_points is not None:
        later = learned._replace(first_period=one.since_period, last_period=_last_told(one, now.situation))
        since = {"estimate": one.since_points, "low": one.since_low, "high": one.since_high, "n": one.since_n}
        answer.estimate([_about(one) | since | {"baseline": one.points}], later, came, unit="points")
        answer.count([_about(one) | {"estimate": one.n_same, "n": one.n_periods}], later, told.SAME_PERIODS)


def _last_told(one: Signal, situation: Situation) -> str:
    """The last period in which something came of a signal."""
    names = [period.name for period in situation.warehouse.periods]
    return names[names.index(one.left or situation.period.name) - 1]


def _size_test(answer: Answer, one: Signal) -> None:
    """How many deals each of two arms needs to find a difference as large as was promised."""
    usual = answer.now.personas.base_rate
    if usual is None:
        return
    usual = float(np.clip(usual, 0.01, 0.99))
    other = float(np.clip(usual + one.points, 0.005, 0.995))
    origin = Origin(answer.now.notebook, answer.section, "deals", one.first_period, one.last_period)
    answer.count(
        [_about(one) | {"estimate": trial(usual, other).n_per_arm, "n": one.n}], origin, signal_words.ARM_DEALS
    )


def _headline(shown: Evidence, personas: PersonaSet, fields: set[str]) -> list[Sentence]:
    """The largest signal that was confirmed on later deals."""
    held = [one for one in personas.signals_in_force if one.state == CONFIRMED and not one.persona]
    most = sorted(held, key=lambda one: -abs(one.points))[:1]
    return [signal_words.signal_told(one, shown.claims, shown.words, is_of_buyers=one.field in fields) for one in most]


def _show_signals(shown: Evidence, title: str, *, personas: PersonaSet, fields: set[str]) -> Sequence[Piece]:
    words, claims, in_force = shown.words, shown.claims, personas.signals_in_force
    gone = [one for one in personas.signals if not one.is_in_force]
    said: list[Sentence] = []
    for one in in_force:
        said.append(signal_words.signal_told(one, claims, words, is_of_buyers=one.field in fields))
        said += signal_words.trial_told(one, claims, words)
    said += [signal_words.withdrawn_told(one, claims, words) for one in gone]
    captions = ((in_force, title), (gone, _GONE))
    tables = [_listed(part, shown, caption) for part, caption in captions if part]
    return *tables, *([Listing(said)] if said else [])


def _listed(listed: Sequence[Signal], shown: Evidence, caption: str) -> Table:
    """A row a signal: what it is, what it promised and since when, what came, and how it stands."""
    words = shown.words
    heads = ("level", "promised", "deals", "where", "since", "came since", "deals since", "state")
    rows = tuple(
        (
            capital(signal_words.level_named(one.field, one.level, words)),
            numbers.moved(one.points, one.low, one.high),
            numbers.count(one.n),
            signal_words.for_whom(one.persona, words),
            one.entered if one.is_in_force else one.since_period or one.entered,
            numbers.moved(one.since_points, one.since_low, one.since_high),
            numbers.count(one.since_n) if one.since_n else numbers.MISSING,
            signal_words.state_told(one),
        )
        for one in listed
    )
    is_number = tuple(head in ("deals", "deals since") for head in heads)
    cited = tuple(claim_ids(signal_words.of_signal(shown.claims, one)) for one in listed)
    return Table(heads, rows, is_number, caption, claims=cited)


def card(deals: pd.DataFrame, *, among: str | None = None) -> Answer:
    """The points card of deals: whole points of every level of every field, 0 to 100 in all, and what they stand for.

    It is learned anew every period of all decided deals, shrunken and not tested. ``deals`` tell how many have about so
    many points. Levels of fewer than ten deals are not shown.
    """
    now, personas = opened(), opened().personas
    in_force = [one.what for one in personas.signals_in_force]
    answer = now.ask("card", "card", deals, "deals", partial(_show_card, signals=in_force), among=among)
    planned = Situation.planning(now.situation.warehouse, now.period)
    every = by_close(planned.deals) if planned.view.has("deals") else pd.DataFrame()
    points = personas.card
    if points is None:
        few = f"fewer than {FEWEST_CASES} deals are decided, {len(every)} so far"
        why = few if len(every) < FEWEST_CASES else "all decided deals ended alike"
        answer.missing["card"] = f"No points card: {why}. Record how more deals ended, lost ones as well."
        return answer
    given = [
        {"field": row.field, "level": signal_words.ANY_OTHER if row.level == RARE else row.level}
        | {"estimate": row.points, "low": row.low, "high": row.high, "n": row.n}
        for row in points.rows
        if row.n >= LEAST_SHOWN
    ]
    learned = answer.origin(every.tail(points.n)["closed_on"])
    answer.estimate(given, learned, signal_words.POINTS, unit="count", kind="predictive")
    last = every[recent(now.situation.names_of(every["closed_on"]))]
    level = rates([("", last["is_won"].sum(), len(last))], "")
    answer.estimate(level, answer.origin(last["closed_on"]), signal_words.CARD_LEVEL)
    decided = answer.rows[won(answer.rows).notna()] if len(answer.rows) else answer.rows
    if len(decided):
        _place(answer, decided, points)
    return answer


def _place(answer: Answer, decided: pd.DataFrame, points: PointsCard) -> None:
    """How many deals have about so many points, and what chance these stand for."""
    found = points_of(answer.now.personas, decided)
    assert found is not None
    n = (_STEP * (found / _STEP).round()).astype(int).value_counts().sort_index()
    n = n[n >= LEAST_SHOWN]
    chances = zip(n.index, points.chance(n.index.to_numpy()), n, strict=True)
    stood = [
        {"field": "points", "level": str(at), "estimate": float(chance), "n": int(size)} for at, chance, size in chances
    ]
    answer.estimate(stood, answer.origin(decided["closed_on"]), signal_words.CHANCE, kind="predictive")


def _show_card(shown: Evidence, title: str, *, signals: Collection[Level]) -> Sequence[Piece]:
    tables = signal_words.card_tables(shown.claims, shown.words, signals, title)
    return *tables, *signal_words.card_told(shown.claims, shown.words)
