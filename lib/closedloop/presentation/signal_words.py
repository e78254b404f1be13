"""Signals and points cards in words: what moves the chance, by how much and for whom, and what came of it since."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from closedloop.personas.signals import NEW, Signal
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Sentence, Table, span, stating
from closedloop.presentation.sentences import Claim, backed, cases, ends, first, records, value, where
from closedloop.presentation.tables import Columns, Label, table_of
from closedloop.presentation.words import Words, capital
from closedloop.statistics.level_effects import MISSING, Level

PROMISED, CAME, SAME_PERIODS = "signal_points", "signal_since", "signal_same_periods"
HAD_PROMISED, HAD_COME = "withdrawn_points", "withdrawn_since"  # of signals that are in force no longer
ARM_DEALS = "test_arm_deals"
PERSONA_DEALS = "signal_persona_deals"  # of one persona, with the level of a signal
POINTS, CHANCE = "card_points", "card_chance"
CARD_LEVEL = "card_level_win_rate"  # of the deals at whose level the chances are
ANY_OTHER = "any other"  # level of a field: those too rare for points of their own, and unknown ones
_MOST_ROWS = 200


def level_named(field: str, level: str, words: Words) -> str:
    """A level as what to look for: a flag that is set by its name alone, "number of sites: over 20" else."""
    return words.column(field) if words.level(field, level) == "yes" else _in_full(field, level, words)


def _in_full(field: str, level: str, words: Words) -> str:
    return f"{words.column(field)}: not recorded" if level == MISSING else words.short(field, level)


def when_told(field: str, level: str, words: Words) -> str:
    """A level as a condition of deals: "when the channel was “partner”"."""
    was = "not recorded" if level == MISSING else f"“{words.level(field, level)}”"
    return f"when the {words.column(field)} was {was}"


def for_whom(persona: str, words: Words) -> str:
    """Of whose deals taken together; or in one persona, beside what the level does in the others."""
    if persona:
        return f"in {words.told(persona)}, beside the other personas"
    return "in all personas together" if len(words.names) > 1 else "in all deals"


def state_told(signal: Signal) -> str:
    """What came of a signal so far, in a few words."""
    if signal.state == NEW:
        return f"new from {signal.entered} on: too little came since to tell"
    if not signal.n_periods:
        return f"{signal.state}: too little came since to tell"
    return f"{signal.state}: {way_told(signal.n_same, signal.n_periods)}"


def way_told(n_same: int, n_periods: int) -> str:
    """In how many of the periods since it went the way that was promised."""
    if n_periods == 1:
        return f"the {'promised' if n_same else 'other'} way in the only period so far"
    return f"the promised way in {n_same} of {n_periods} periods"


def of_signal(claims: pd.DataFrame, signal: Signal, *measures: str) -> pd.DataFrame:
    """The claims on one signal; on all of its figures unless ``measures`` names some."""
    wanted = measures or (PROMISED, CAME, SAME_PERIODS, HAD_PROMISED, HAD_COME)
    own = where(claims, subject=signal.persona or "market", field=signal.field, level=signal.level)
    return own[own["measure"].isin(wanted)]


def in_short(signal: Signal, claims: pd.DataFrame, words: Words) -> Sentence:
    """What a signal promised, what came since, for whom, and how it stands."""
    own = of_signal(claims, signal, PROMISED, CAME, SAME_PERIODS)
    kept = _kept(first(own, measure=PROMISED), first(own, measure=CAME))
    return stating(", ".join(filter(None, (kept, for_whom(signal.persona, words), state_told(signal)))), own)


def signal_told(signal: Signal, claims: pd.DataFrame, words: Words, *, is_of_buyers: bool) -> Sentence:
    """A signal in force as a sentence: what it promised of which deals, what came since, and how it stands.

    ``is_of_buyers``: is it known of the buyer, so that one can look for it? Else it is to be tried and measured.
    """
    own = of_signal(claims, signal)
    named = level_named(signal.field, signal.level, words)
    if signal.persona:  # beside the level's effect in all: whether such deals are won more often is another question
        wins = "more" if signal.points > 0 else "fewer"
        text = f"{capital(named)}: in {words.told(signal.persona)} it goes with {wins} wins than in the other personas"
    elif is_of_buyers:
        wish, often = ("Look for", "more") if signal.points > 0 else ("Ask more before you invest time", "less")
        text = f"{wish}: {named}. Such deals were won {often} often {for_whom('', words)}"
    else:
        often, when = "more" if signal.points > 0 else "less", when_told(signal.field, signal.level, words)
        text = f"Try and measure: {for_whom('', words)}, deals were won {often} often {when}"
    return stating(
        f"{text}: {_kept(first(own, measure=PROMISED), first(own, measure=CAME))}; {state_told(signal)}.", own
    )


def _kept(promised: Claim | None, came: Claim | None) -> str:
    """What was promised, and what came since, each with its deals."""
    told = {"promised": promised, "came since": came}
    return ", ".join(f"{word} {moved_of(claim)}" for word, claim in told.items() if claim is not None)


def moved_of(claim: Claim) -> str:
    """A claim on points with its deals: "+9 points (4 to 14; n = 210, 2024-q1 to 2024-q4)"."""
    moved = numbers.moved(claim["estimate"], claim["low"], claim["high"])
    return f"{moved.removesuffix(')')}; {cases(claim)}, {span(claim)})"


def deals_told(signal: Signal, claims: pd.DataFrame, persona: str, words: Words) -> Sentence:
    """How many deals of one persona have the level of a signal that was tested over all personas together."""
    own = first(claims, measure=PERSONA_DEALS, subject=persona, field=signal.field, level=signal.level)
    if own is None:
        return Sentence("of this persona fewer than ten deals: too few to tell")
    deals = f"{value(own, words)} of {numbers.count(own['n'])} deals"
    return stating(f"of this persona {deals}, {span(own)}", own)


def withdrawn_told(signal: Signal, claims: pd.DataFrame, words: Words) -> Sentence:
    """That a signal is in force no longer, what it had promised, and what came while it was."""
    own = of_signal(claims, signal)
    named, whom = capital(level_named(signal.field, signal.level, words)), for_whom(signal.persona, words)
    kept = _kept(first(own, measure=HAD_PROMISED), first(own, measure=HAD_COME))
    return stating(f"{named}, {whom}, is in force no longer: {kept}.", own)


def trial_told(signal: Signal, claims: pd.DataFrame, words: Words) -> list[Sentence]:
    """How to test what so far only goes together with winning: two arms drawn by lot, and how many deals each needs."""
    named = level_named(signal.field, signal.level, words)
    arms = f"Test, to know what it does: two arms drawn by lot of those who can get either, “{named}” and what is usual"
    return [
        stating(f"{arms}, {value(size, words)} decided deals each; judge once, at the end.", size)
        for size in records(of_signal(claims, signal, ARM_DEALS))
    ]


def card_tables(claims: pd.DataFrame, words: Words, signals: Collection[Level], title: str = "") -> list[Table]:
    """A points card: a row a level, field by field, and what the points of deals stand for; nothing without a card.

    ``signals``: the levels that are one, which is marked.
    """

    def marked(row: Mapping[str, Claim]) -> str:
        level = (row[POINTS]["field"], row[POINTS]["level"])
        return "; ".join(for_whom(one.persona, words) for one in signals if one[:2] == level)

    points: Columns = {
        POINTS: "points",
        "range": ("90 % range", lambda row: ends(row[POINTS], words)),
        "n": ("deals", lambda row: numbers.count(row[POINTS]["n"])),
        "signal": ("signal", marked),
    }
    chance: Columns = {
        CHANCE: "chance of being won",
        "n": ("deals with about so many", lambda row: numbers.count(row[CHANCE]["n"])),
    }
    named: Sequence[tuple[str, Columns, str, Label]] = (
        (POINTS, points, "level", lambda claim: _in_full(str(claim["field"]), str(claim["level"]), words)),
        (CHANCE, chance, "points", lambda claim: str(claim["level"])),
    )
    found = []
    for measure, columns, heading, label in named:
        rows = where(claims, measure=measure)
        if len(rows):
            caption = f"{title} Deals decided {span(records(rows.head(1))[0])}.{_level_told(claims, measure)}".strip()
            found.append(table_of(rows, words, heading, columns, label=label, caption=caption, limit=_MOST_ROWS))
    return found


def _level_told(claims: pd.DataFrame, measure: str) -> str:
    """Behind a table of chances: of which deals' win rate they are."""
    level = first(claims, measure=CARD_LEVEL) if measure == CHANCE else None
    return "" if level is None else f" The chances are at the level of deals decided {span(level)}."


def card_told(claims: pd.DataFrame, words: Words) -> list[Sentence]:
    """What the field gives on which points turn most, and what the fewest and the most points of deals stand for."""
    given, chances, level = (
        where(claims, measure=POINTS),
        where(claims, measure=CHANCE),
        first(claims, measure=CARD_LEVEL),
    )
    if given.empty:
        return []
    reach = given.groupby("field", sort=False)["estimate"].agg(lambda points: points.max() - points.min())
    name = str(reach.idxmax())
    own = given[given["field"] == name].sort_values("estimate", kind="stable")
    fewest, most = (value(row, words) for row in records(own.iloc[[0, -1]]))
    text = f"By {words.column(name)} a deal gets from {fewest} to {most} points, {span(records(own.head(1))[0])}."
    said = [stating(text, own)]
    outer = records(chances.iloc[[0, -1]]) if len(chances) > 1 else []
    worth = [f"about {row['level']} points stand for a chance of {value(row, words)}" for row in outer]
    if not worth or level is None:
        return said
    of = f"at the level of deals decided {span(level)}, {backed(level, words)} of which were won"
    return [*said, stating(f"{capital(', '.join(worth))}, {of}.", *outer, level)]
