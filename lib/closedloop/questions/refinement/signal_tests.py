"""What moves the chance of winning over all personas: what entered, was confirmed, left, and every level tested."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy

from closedloop.claims.comparisons import LOOK_COLUMNS, Origin, meta_of, typed
from closedloop.claims.ledger import close_family
from closedloop.personas.persona_set import GATE, SIGNAL, WITHDRAW, Change, decided_cases
from closedloop.personas.signals import (
    CONFIRMED,
    SIGNALS_SHARE,
    WITHDRAWN,
    Cases,
    Refined,
    Signal,
    in_force,
    refine,
)
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Piece, Sentence, span, stating
from closedloop.presentation.sentences import Claim, first, records, where
from closedloop.presentation.signal_words import for_whom, level_named, way_told
from closedloop.presentation.tables import Column, Columns, table_of
from closedloop.presentation.words import Words, capital
from closedloop.questions.refinement.champion_challenger import kept_out
from closedloop.questions.refinement.splits import FEWEST_DEALS, following, refinable, split_fields
from closedloop.statistics.proportions import at_rate
from closedloop.terms import Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import SignalRedraw

TESTED, SINCE, LOST, VISIBLE = "level_points", "signal_kept", "signal_lost", "visible_points"
_POWER = 0.8
_QUARTER = 0.25  # of the deals: the share for which 06 says what could have been shown
_WATCHED = 0.10


def signal_tests(
    deals: pd.DataFrame, by: Sequence[str] | None = None, *, least: int | None = None, among: str | None = None
) -> Answer:
    """Signals of all personas: those in force followed on later deals, and every level tested that could become one.

    A level is tested given persona, period, the signals in force and all other fields, which are integrated over (score
    test in a ridge logistic fit); points are shrunk by a prior over all levels tried (METHODS 6). ``by``: fields tried,
    all known at creation unless given, but for campaign and arm; ``least`` as of ``edits``. ``fitted``: what the next
    set's signals are.
    """
    now = opened()
    answer = now.ask("signal_tests", "signals", deals, "deals", _show, among=among, by=by, least=least)
    answer.headline = signals_summary
    answer.results |= {"n_passed": 0, "n_withdrawn": 0, "n_confirmed": 0}
    closed, coming = refinable(answer, FEWEST_DEALS if least is None else least), following(now)
    if closed is None or coming is None:
        return answer
    situation, personas = now.situation, now.personas
    edges = personas.card.edges if personas.card else {}
    names = None if by is None else [name for name in by if name in closed]
    cases, _ = decided_cases(situation, closed, personas, edges, names)
    settings = {"window": situation.claims.window, "planned_periods": situation.claims.planned_periods}
    people = split_fields(situation, closed)
    found = refine(personas.signals, cases, coming.name, of_people=people, **settings)
    answer.fitted = found
    origin = answer.origin(closed["closed_on"])
    if len(found.tests):
        answer.closed.append(_tests(found, origin, now.situation.about, situation.claims.smallest_worth))
        answer.results |= {"is_early": not found.rate, "gate": at_rate(GATE, cases.won.mean())}
        if found.rate:
            n_now = int(situation.in_period(closed["closed_on"]).sum())
            sizes = {"": len(cases.won), "period": n_now}
            visible = [_visible(found, cases, n) | {"level": level} for level, n in sizes.items()]
            answer.estimate(visible, origin, VISIBLE, unit="points")
    followed = [one for one in found.signals if one.what in found.followed and one.since_points is not None]
    if followed:
        answer.closed.append(_followed(followed, found, origin, now.situation.about))
    before = {one.what for one in in_force(personas.signals)}
    answer.tables["signals"] = pd.DataFrame([vars(one) for one in found.signals])
    answer.results |= {
        "n_passed": sum(one.is_in_force and one.what not in before for one in found.signals),
        "n_withdrawn": sum(one.left == coming.name for one in found.signals),
        "n_confirmed": sum(one.state == CONFIRMED for one in found.signals),
        "n_in_force": len(before),
        "next_period": coming.name,
    }
    if answer.is_recorded:
        answer.redraws.append(SignalRedraw(closed["deal_id"], cases.levels, closed["closed_on"], people, **settings))
    return answer


def _tests(found: Refined, origin: Origin, about: dict[str, Any], worth: float) -> pd.DataFrame:
    """A claim for every level tested: points with their shrunk interval, and whether it enters.

    Near misses are to watch. Alike: the unshrunk 90 % interval lies within what is worth knowing, at a low base rate in
    proportion to 4p(1 - p).
    """
    tests = found.tests
    figures = {"subject": tests["persona"].replace("", "market"), "field": tests["field"], "level": tests["level"]}
    figures |= {"estimate": tests["points"], "low": tests["low"], "high": tests["high"], "effect": tests["points"]}
    figures |= {"n": tests["n"], "p": tests["p"]}
    meta = meta_of(origin, TESTED, "points", "predictive") | {"baseline": 0.0}
    looks = typed(pd.DataFrame(figures).assign(**meta), LOOK_COLUMNS)
    looks["first_period"] = tests["first_period"].astype("str").to_numpy()
    claims = close_family(looks, family="signal", **about)
    is_alike = (tests["reach"] < worth * tests["scale"]).to_numpy()
    verdicts = [tests["is_entering"], (tests["q"] <= _WATCHED) & (tests["beyond"] > 0.25), is_alike]
    choices = [str(v) for v in (Verdict.SUPPORTED, Verdict.LEANING, Verdict.INDISTINGUISHABLE)]
    shown = np.select([np.asarray(v, dtype=bool) for v in verdicts], choices, default=str(Verdict.REFUSED))
    return claims.assign(q=tests["q"].to_numpy(), verdict=shown, visible_difference=tests["visible"].to_numpy())


def _visible(found: Refined, cases: Cases, n: int) -> dict[str, Any]:
    """The points from which on a level that a quarter of ``n`` deals have would enter, with 80 % power."""
    rate = float(cases.won.mean())
    needed = found.rate * SIGNALS_SHARE / max(int((found.tests["persona"] == "").sum()), 1)
    z = scipy.stats.norm.isf(needed / 2) + scipy.stats.norm.ppf(_POWER)
    return {"estimate": z * np.sqrt(rate * (1 - rate) / (n * _QUARTER * (1 - _QUARTER))), "n": n}


def _followed(signals: Sequence[Signal], found: Refined, origin: Origin, about: dict[str, Any]) -> pd.DataFrame:
    """A claim for every signal followed: its points on later deals, and the test behind its state.

    Tested is that nothing came of it; of one that is withdrawn, that as much came as was promised.
    """
    rows = []
    for one in signals:
        told, sign = found.followed[one.what], np.sign(one.log_odds)
        z = sign * told.log_odds / told.error
        if not one.is_in_force:
            z = sign * (one.log_odds - told.log_odds) / np.hypot(told.error, one.deviation)
        base = 0.0 if one.is_in_force else one.points
        rows.append(
            meta_of(origin, SINCE if one.is_in_force else LOST, "points", "predictive")
            | {"subject": one.persona or "market", "field": one.field, "level": one.level, "n": one.since_n}
            | {"estimate": one.since_points, "low": one.since_low, "high": one.since_high, "baseline": base}
            | {"effect": (one.since_points or 0.0) - base, "p": float(scipy.stats.norm.sf(z))}
            | {"first_period": one.since_period}
        )
    claims = close_family(typed(pd.DataFrame(rows), LOOK_COLUMNS), family="followed", **about)
    is_told = [one.state in (CONFIRMED, WITHDRAWN) for one in signals]
    return claims.assign(verdict=[str(Verdict.SUPPORTED if told else Verdict.REFUSED) for told in is_told])


def changelog_of(before: Sequence[Signal], after: Sequence[Signal], claims: pd.DataFrame) -> list[Change]:
    """The entries of the signals that entered or were withdrawn, with the figures and the claim of each."""
    known = {one.what: one for one in before}
    entries = []
    for one in after:
        was = known.get(one.what)
        subject = one.persona or "market"
        if one.is_in_force and (was is None or not was.is_in_force):
            claim = _claim(claims, TESTED, subject, one)
            figures = {"estimate": one.points, "low": one.low, "high": one.high, "q": one.q, "n": one.n}
            entries.append(_entry(one.entered, SIGNAL, one, figures, claim))
        elif one.state == WITHDRAWN and was is not None and was.is_in_force:
            lost = _claim(claims, LOST, subject, one)
            claim = lost or _claim(claims, SINCE, subject, one)
            figures = {"estimate": one.since_points, "low": one.since_low, "high": one.since_high, "n": one.since_n}
            entry = _entry(one.left, WITHDRAW, one, figures | {"baseline": one.points}, claim)
            entries.append(replace(entry, by_duel=lost is None))
    return entries


def _entry(period: str, edit: str, one: Signal, figures: dict[str, Any], claim: Claim | None) -> Change:
    known: dict[str, Any] = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in figures.items()}
    if claim is not None:
        known |= {name: str(claim[name]) for name in ("claim_id", "first_period", "last_period")}
    return Change(period, edit, persona=one.persona, field=one.field, level=one.level, **known)


def _claim(claims: pd.DataFrame, measure: str, subject: str, one: Signal) -> Claim | None:
    return first(claims, measure=measure, subject=subject, field=one.field, level=one.level)


# words


def what(claim: Mapping[str, Any], words: Words) -> str:
    """What a signal is about, and of whom."""
    persona = "" if claim["subject"] == "market" else str(claim["subject"])
    return f"{level_named(str(claim['field']), str(claim['level']), words)}, {for_whom(persona, words)}"


def _points(claim: Claim) -> str:
    return numbers.moved(claim["estimate"], claim["low"], claim["high"])


def signals_summary(shown: Evidence) -> list[Sentence]:
    """How many levels were tested, what passed and enters, and what was withdrawn."""
    tested = where(shown.of(TESTED), family="signal")
    if tested.empty:
        return [Sentence("No level could be tested as a signal.")]
    passed, gone = shown.result("n_passed") or 0, shown.result("n_withdrawn") or 0
    were = f"{numbers.plural(len(tested), 'level')} {'was' if len(tested) == 1 else 'were'}"
    text = f"{were} tested, over all personas or in one"
    if passed and (why := kept_out(shown.ledger)):
        text += f": {passed} pass{'es' * (passed == 1)}, and none becomes a signal, as {why}"
    else:
        text += f": {passed} become{'s' * (passed == 1)} a signal"
    n_before = shown.result("n_in_force") or 0
    left = (
        f"{gone} of {n_before} in force {'is' if gone == 1 else 'are'} withdrawn" if n_before else "none was in force"
    )
    return [stating(f"{text}; {left}.", tested)]


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    tested = where(shown.of(TESTED), family="signal")
    states = shown.table("signals")
    pieces: list[Piece] = []
    why = kept_out(shown.ledger)
    for claim in records(tested[tested["verdict"] == "supported"]):
        text = f"{what(claim, shown.words)}, {_points(claim)}, {numbers.count(claim['n'])} deals with it, {span(claim)}"
        fate = f"Passes the test: {text}; does not enter, as {why}." if why else f"Enters: {text}."
        pieces.append(stating(fate, claim))
    since = {(c["subject"], c["field"], c["level"]): c for c in records(shown.of(SINCE, LOST))}
    out = set[tuple[str, str, str]]()
    for one in records(states) if len(states) else []:
        about = one["persona"] or "market", one["field"], one["level"]
        if about in since:
            pieces.append(stating(_state(one, since[about], shown.words), since[about]))
        if one["left"]:
            out.add(about)
    is_over_gate = tested["estimate"].abs() >= (shown.result("gate") or 1.0)
    named = tested[tested["verdict"].isin(["supported", "leaning"]) | is_over_gate]
    order = named.assign(enters=named["verdict"] == "supported").sort_values(["enters", "q"], ascending=[False, True])

    def of(key: str) -> Column:
        return lambda row: numbers.plain(next(iter(row.values()))[key])

    def status(row: Mapping[str, Claim]) -> str:
        claim = row[TESTED]
        if claim["verdict"] == "supported":
            return "passes; does not enter" if why else "enters"
        if (claim["subject"], claim["field"], claim["level"]) in out:
            return "withdrawn; later deals alone can bring it back"
        return "watch" if claim["verdict"] == "leaning" else "too uncertain"

    columns: Columns = {
        TESTED: ("points", lambda row: _points(row[TESTED])),
        "n": ("deals with it", lambda row: numbers.count(row[TESTED]["n"])),
        "p": ("p", of("p")),
        "status": ("status", status),
    }
    label = partial(what, words=shown.words)
    listed = table_of(order, shown.words, "level", columns, label=label, caption=title) if len(order) else None
    said = [Listing([piece for piece in pieces if isinstance(piece, Sentence)])] if pieces else []
    return *([listed] if listed else []), *said, *signals_summary(shown), *_could_show(shown)


def _could_show(shown: Evidence) -> list[Sentence]:
    """What the deals so far could have shown at all, and those of the period alone."""
    if shown.result("is_early"):
        return [Sentence("Nothing enters yet: of so few periods, much of what deals show is luck.")]
    whole, now = (shown.first(VISIBLE, level=level) for level in ("", "period"))
    if whole is None or now is None:
        return []
    text = (
        f"With {numbers.count(whole['n'])} deals a level that one in four of them has enters in four of five cases "
        f"where it moves the chance by {numbers.points(whole['estimate'])}; with this period's "
        f"{numbers.count(now['n'])} alone it would take {numbers.points(now['estimate'])}."
    )
    return [stating(text, whole, now)]


def _state(one: Mapping[str, Any], claim: Claim, words: Words) -> str:
    came = f"promised {numbers.signed_points(one['points'])}, since {one['since_period']} {_points(claim)}"
    counted = way_told(one["n_same"], one["n_periods"])
    return f"{capital(str(one['state']))}: {what(claim, words)}: {came}, {numbers.count(claim['n'])} deals, {counted}."
