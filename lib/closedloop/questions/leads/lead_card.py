"""The points card of leads: what each level gives, what points stand for, and whether they rank as the score does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from closedloop.claims.comparisons import gain_looks
from closedloop.claims.ledger import close_family
from closedloop.errors import ParameterError
from closedloop.market.files import write_atomic
from closedloop.period.counting import LEAST_SHOWN, recent
from closedloop.period.store import as_csv
from closedloop.personas.persona_set import CHOSEN_BY_US
from closedloop.personas.points_card import FULL, PointsCard, cases_by_level, points_card
from closedloop.personas.signals import Signal
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, span, stating
from closedloop.presentation.sentences import Claim, cases, records
from closedloop.presentation.signal_words import level_named
from closedloop.presentation.tables import table_of
from closedloop.questions.leads.scores import Prospects, Scored
from closedloop.statistics.level_effects import PERSONA
from closedloop.statistics.proportions import at_rate
from closedloop.statistics.rules import Rule, quoted_name
from closedloop.statistics.scoring.accuracy import Interval
from closedloop.statistics.scoring.lift import lift_gain
from closedloop.statistics.scoring.scores import Score
from closedloop.terms import RARE
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import OpenPeriod, opened

CARD, SCORE, PROMISE = "card", "score", "promise"  # what orders the list to call
WORSE = 0.03  # of lift: a card that may cost more does not order the list
WORTH = 0.03  # of lift, at a rate of one half: an order that surely gains less is none
_MOST_ROWS, _STEP = 40, 10
_NOBODY = "All other levels"
_LIFTS = ("card_lift", "score_lift")


@dataclass(frozen=True)
class Carded:
    """What ``lead_card`` leaves for ``call_list``: the answer of ``score``, its model, the card, and which ranks."""

    scored: Answer
    prospects: Prospects
    model: Score | None
    card: PointsCard | None = None
    order: str = SCORE


def lead_card(scored: Answer) -> Answer:
    """The points that each level of each field gives a lead (where none are recorded, a deal), 0 to 100 in all.

    One shrunken fit of persona and fields, on the rows that the score learned of. Card and score are judged on the same
    later rows, each predicted by a card of what came before: the card orders the list to call where the 90 % interval
    of its lift at a third of the rows, less the score's, lies above -3 points (paired bootstrap within periods); else
    the score does, and the card explains. Where the score is not usable, and either's lift surely is less than is worth
    knowing, the personas' promises order it. Campaign, experiment and arm give no points. ``scored``: the answer of
    ``score``. The closing writes lead-card.csv and .sql, and deal-card.csv and .sql of the persona set in force.
    """
    now, found = opened(), scored.fitted
    if not isinstance(found, Scored):
        raise ParameterError("lead_card takes the answer of score: lead_card(score(prospects))")
    answer = now.ask("lead_card", "lead_card", scored.rows, scored.table_name, _show, among=scored.among,
                     **scored.arguments)  # fmt: skip
    answer.fitted = Carded(scored, found.prospects, found.model)
    answer.leave = lambda folder: _write(answer, folder)
    if found.model is None:
        answer.missing["lead_card"] = scored.missing["quality"]
        return answer
    learned = Learned.of(now, found.prospects)
    is_in_force = found.prospects.table == "deals" and scored.arguments["fields"] is None
    card = now.personas.card if is_in_force else None  # one card of deals, where there is one in force
    card = card or learned.card(np.arange(len(learned.rows)))
    if card is None:
        answer.missing["lead_card"] = (
            f"A card needs a hundred decided {found.prospects.table}, won and lost; {len(learned.rows):,} are known."
        )
        return answer
    lifts = _lifts(now, learned, found.model)
    order = CARD if round(lifts.gain.low, 3) > -WORSE else SCORE  # as it reads; not where it cannot be told
    worth = at_rate(WORTH, float(learned.rows["is_won"].mean()))
    if found.model.verdict != "usable" and max(lifts.card.high, lifts.score.high) < worth:
        order = PROMISE
    answer.fitted = Carded(scored, found.prospects, found.model, card, order)
    answer.results |= {"call_order": order, "has_personas": len(now.personas.ids) > 1}
    _state(answer, card, lifts, learned)
    return answer


@dataclass(frozen=True)
class Learned:
    """The rows that a score learned of, in the order of time: their fields, periods and outcomes."""

    rows: pd.DataFrame
    fields: list[str]
    days: pd.Series
    periods: pd.Series

    @classmethod
    def of(cls, now: OpenPeriod, prospects: Prospects) -> "Learned":
        """The rows of these prospects that a score learns of, and the fields that give points."""
        days = prospects.learned_days
        rows = prospects.rows.loc[days.index].assign(is_won=prospects.is_won[days.index].astype(bool))
        fields = [f for f in prospects.fields if f not in (PERSONA, *CHOSEN_BY_US) and rows[f].nunique() > 1]
        return cls(rows, fields, days, now.situation.names_of(days))

    def card(self, places: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> PointsCard | None:
        """The card of the rows at these places."""
        rows = self.rows.iloc[places]
        return points_card(*cases_by_level(rows, self.fields, {}, self.periods.iloc[places], rows[PERSONA]))


class Lifts(NamedTuple):
    """On rows that neither had seen: the lift of cards less that of the score, and that of each over a draw by lot."""

    gain: Interval
    card: Interval
    score: Interval


def _lifts(now: OpenPeriod, learned: Learned, model: Score) -> Lifts:
    """The lifts, NaN where no card could be made; rows are ranked within periods, and beside those of one model."""
    points = []
    for seen, asked in model.splits:
        card, rows = learned.card(seen), learned.rows.iloc[asked]
        if card is None:
            return Lifts(*[Interval(np.nan, np.nan, np.nan)] * 3)
        points.append(card.total(card.levels_of(rows, rows[PERSONA])))
    by_card, by_score = np.concatenate(points), model.held_out_ranking
    blocks = [f"{n} {name}" for n, (_, asked) in enumerate(model.splits) for name in learned.periods.iloc[asked]]
    rng, lot = now.situation.rng("lead-card"), np.zeros(len(by_card))
    pairs = ((by_score, by_card), (lot, by_card), (lot, by_score))
    return Lifts(*(lift_gain(model.held_out_y, one, other, blocks, rng=rng) for one, other in pairs))


def _state(answer: Answer, card: PointsCard, lifts: Lifts, learned: Learned) -> None:
    """State what the card gives, what points stand for, and how it ranks beside the score."""
    origin = answer.origin(learned.days)
    rows = pd.DataFrame([vars(row) for row in card.rows]).rename(columns={"points": "estimate"})
    rows = rows[(rows["n"] >= LEAST_SHOWN) & (rows["level"] != RARE)]
    answer.estimate(rows, origin, "card_points", unit="count", kind="predictive")
    steps = np.arange(0.0, FULL + 1, _STEP)
    chances, last = zip(steps, card.chance(steps), strict=True), learned.days.iloc[recent(learned.periods)]
    stand_for = [
        {"field": "points", "level": f"{at:.0f}", "estimate": chance, "n": len(last)} for at, chance in chances
    ]
    answer.estimate(stand_for, answer.origin(last), "card_chance", kind="predictive")
    if np.isfinite(lifts.gain.low):
        asked = np.concatenate([asked for _, asked in answer.fitted.model.splits])
        n, origin = len(asked), answer.origin(learned.days.iloc[asked])
        told = [{"estimate": one.estimate, "low": one.low, "high": one.high, "n": n} for one in lifts]
        for measure, row in zip(_LIFTS, told[1:], strict=True):
            answer.estimate([row], origin, measure, unit="points", kind="predictive")
        looks = gain_looks(told[:1], origin, measure="card_over_score_lift", unit="points")
        answer.closed.append(close_family(looks, family="duel", **answer.now.situation.about))


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    points, chances, words = shown.of("card_points"), shown.of("card_chance"), shown.words
    reach = points.groupby("field")["estimate"].transform("max")
    ranked = points.assign(reach=reach).sort_values(["reach", "field", "estimate"], ascending=[False, True, False])

    def within(row: Mapping[str, Claim]) -> str:
        claim = row["card_points"]
        return numbers.interval(claim["low"], claim["high"], "count", "")

    listed = table_of(
        ranked.drop(columns="reach"),
        words,
        "level",
        {
            "card_points": "points",
            "range": ("90 % range", within),
            "n": ("cases", lambda row: numbers.count(row["card_points"]["n"])),
        },
        label=lambda claim: level_named(str(claim["field"]), str(claim["level"]), words),
        caption=f"{_NOBODY} of a field get what lead-card.csv says of them.",
        limit=_MOST_ROWS,
    )
    level = records(chances.head(1))[0]
    stand_for = table_of(
        chances,
        words,
        "points",
        {"card_chance": "chance"},
        label=lambda claim: str(claim["level"]),
        caption=f"Chances are at the level of {level['source_table']} of {span(level)}.",
    )
    return listed, stand_for, *_said(shown)


def _said(shown: Evidence) -> Sequence[Piece]:
    """Which of card and score orders the list to call, and why."""
    gain = shown.first("card_over_score_lift")
    if gain is None:
        return [stating("No card could be judged on later records, so the score orders the list to call.",
                        shown.of("card_points").head(1))]  # fmt: skip
    backing = f"90 % interval {_interval(gain)}, {cases(gain)}, {span(gain)}"
    text = f"Lift of the third ranked first, card less score: {numbers.fine_points(gain['estimate'])} ({backing}). "
    own = [claim for claim in map(shown.first, _LIFTS) if claim is not None]
    by = [f"{numbers.fine_points(claim['estimate'])} ({_interval(claim)})" for claim in own]
    lot = f"over a draw by lot the card gains {' and the score '.join(by)}"
    order = shown.result("call_order")
    if order == CARD:
        text += (
            f"The interval leaves out a loss of {numbers.points(WORSE)} or more, so the card orders the list to call."
        )
    elif order == SCORE:
        text += "Too much may be lost by the card: the score orders the list to call, and the card explains it."
    else:
        first = "by what each persona promises, then " if shown.result("has_personas") else ""
        text += f"Neither ranks well enough: {lot}. The list to call goes {first}newest first."
    if order != PROMISE and own and not any(claim["low"] > 0 for claim in own):
        text += f" That either ranks better than a draw would is not shown: {lot}."
    return [stating(text, gain, *own)]


def _interval(claim: Claim) -> str:
    low, high = (numbers.fine_points(claim[name]) for name in ("low", "high"))
    return f"{low.split(numbers.SPACE)[0]} to {high}"


# files


def _write(answer: Answer, folder: Path) -> None:
    """The card of leads, and that of deals of the persona set in force, for the CRM; an earlier one is taken back."""
    now, found = answer.now, answer.fitted
    own = found.card if found.prospects.table == "leads" else None
    deals = now.situation.deals if now.situation.view.has("deals") else pd.DataFrame()
    cards = {"lead": (own, answer.rows), "deal": (now.personas.card, deals)}
    for record, (card, rows) in cards.items():
        paths = {ending: folder / f"{record}-{ending}" for ending in ("card.csv", "chance.csv", "card.sql")}
        if card is None:
            for path in paths.values():
                path.unlink(missing_ok=True)
            continue
        write_atomic(paths["card.csv"], as_csv(card_table(card, now.personas.signals_in_force)).encode())
        points = np.arange(0.0, FULL + 1)
        chances = pd.DataFrame({"points": points.astype(int), "chance": card.chance(points).round(4)})
        write_atomic(paths["chance.csv"], as_csv(chances).encode())
        write_atomic(paths["card.sql"], select(card, now.personas.rule, record, list(rows.columns)).encode())


def card_table(card: PointsCard, signals: Sequence[Signal]) -> pd.DataFrame:
    """Field, level, points, low, high, n, signal; the last row of each field is of all levels that are not listed.

    ``signal``: of levels that were tested and are one, in which personas: "all", or theirs.
    """
    rows, tested = list[dict[str, Any]](), dict[tuple[str, str], list[str]]()
    for one in signals:
        tested.setdefault((one.field, one.level), []).append(one.persona or "all")
    for name in card.fields:
        own = [row for row in card.rows if row.field == name]
        named = [vars(row) for row in own if row.level != RARE]
        rest = next((vars(row) for row in own if row.level == RARE), {"field": name, "points": card.rest(name)})
        rows += [*named, rest | {"level": _NOBODY.lower()}]
    for row in rows:
        row["signal"] = ", ".join(tested.get((row["field"], row["level"]), ()))
    return pd.DataFrame(rows, columns=["field", "level", "points", "low", "high", "n", "signal"]).astype({"n": "Int64"})


def select(card: PointsCard, rule: Rule, record: str, known: Sequence[str]) -> str:
    """A query of the points of every ``record`` (lead or deal), in DuckDB's dialect.

    It reads a table of the record's name with the fields of the card and of the ``rule``; those that are not among the
    ``known`` columns are missing.
    """
    asked = dict.fromkeys([*(name for name in card.fields if name != PERSONA), *rule.fields])
    lacking = [f"NULL AS {quoted_name(name)}" for name in asked if name not in known]
    read = " ".join(", ".join(quoted_name(name) for name in asked if name in known).split()) or "none"
    table = f"{record}s" if not lacking else f"(SELECT *, {', '.join(lacking)} FROM {record}s)"
    return (
        f"-- The points of every {record}, 0 to {FULL} ({record}-card.csv); {record}-chance.csv says their chance."
        f"\n-- It reads a table {record}s with these columns: {read}.\n"
        f"SELECT {quoted_name(f'{record}_id')}, {card.to_sql(rule)} AS points\nFROM {table};\n"
    )
