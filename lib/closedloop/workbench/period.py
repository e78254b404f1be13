"""One period of a market, opened by a notebook: frames as known on the day, and the families of what is compared."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from types import MappingProxyType
from typing import Any

import pandas as pd

from closedloop.claims.ledger import CLAIM_COLUMNS, LOOK_COLUMNS, STATEMENT_COLUMNS, stacked
from closedloop.errors import ParameterError, allowed
from closedloop.market import where as conditions
from closedloop.market.definition import Claims, Definition, read_definition
from closedloop.market.files import root, runs_folder
from closedloop.market.periods import find_period
from closedloop.market.warehouse import open_warehouse, read_again
from closedloop.period import store
from closedloop.period.leaks import leaking
from closedloop.period.situation import Situation
from closedloop.period.store import Step, no_claims
from closedloop.presentation.blocks import RESULTS, Listing, Note, Piece, Sentence, Shown
from closedloop.presentation.persona_words import rule_sentences, words_for
from closedloop.presentation.sentences import held_back_told
from closedloop.presentation.words import Words
from closedloop.terms import Moment
from closedloop.workbench.answer import (
    ENDING,
    WHO,
    Answer,
    Evidence,
    Live,
    Render,
    as_claims,
    close_families,
    fingerprint,
    keys_of,
    set_apart,
)
from closedloop.workbench.comparison import strongest
from closedloop.workbench.frames import Frames
from closedloop.workbench.notebooks import as_text
from closedloop.workbench.redraws import Compared, write_compared
from closedloop.workbench.session import cells_run, is_example, running_cell, shell_of

_CHANGED = Note(
    "Cells were changed and run again: what they compared before counts as well, and this is a draft. "
    "Restart and run all, and what stands in the notebook counts alone."
)
_opened: list["OpenPeriod"] = []  # the open periods of this process, the last one in use
_silent: list[bool] = []  # by depth: are only drafts written?
_sessions: dict[tuple[str, str, str], dict[str, Answer]] = {}  # what this process asked, by notebook, market, period


def open_period(
    market: str,
    period: str = "latest",
    moment: str = store.ENDED,
    *,
    notebook: str,
    out: str | Path | None = None,
    where: str | None = None,
    window: int | None = None,
    threshold: float | None = None,
    smallest: float | None = None,
    planned_periods: int | None = None,
) -> "OpenPeriod":
    """One period of ``market`` as known at its start (``start``), or when it had ended or so far (``ended``).

    ``notebook``: the name under which its claims are kept. ``latest`` is the running period at the start, the last
    complete one at the end. ``out``: a run folder that is written, a relative one below the project's root; without it
    drafts are, beside what stands in ``runs``. ``where``: which deals and leads count (``market.where``); ``window``:
    how many periods; ``threshold``: a difference of rates below it is not worth a line; ``smallest``: the difference
    that "no difference" rules out; ``planned_periods``: over which permanent edits of the personas share their rate of
    error. What is not given is as market.toml says. Errors: ParameterError for anything unknown, with what is allowed.
    """
    market, period = as_text("market", market), as_text("period", period)
    if moment not in (store.START, store.ENDED):
        raise ParameterError(f"moment = {moment!r} does not exist; allowed: {store.START}, {store.ENDED}")
    conditions.check(where or "")
    if not _silent:
        read_again()
    definition = read_definition(market)
    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period, planning=moment == store.START)
    if moment == store.ENDED and not warehouse.has_begun(found):
        begun = [one.name for one in warehouse.periods if warehouse.has_begun(one)]
        raise ParameterError(
            f"period = {period!r} has not begun, so it has no outcomes yet; use "
            + (f"latest, {allowed(begun)}" if begun else "a planning notebook")
        )
    given = {"practical_threshold": threshold, "smallest_worth": smallest, "planned_periods": planned_periods}
    settings = _settings(definition, window=window, **given)
    situate = Situation.planning if moment == store.START else Situation.looking_back
    situation = situate(warehouse, found, settings, where or "")
    now = OpenPeriod(notebook, situation, root() / out if out else None)
    if _silent and _opened:
        _opened.append(now)
    else:
        _opened[:] = [now]
    return now


def opened() -> "OpenPeriod":
    """The open period that verbs belong to; errors: ParameterError when none is open."""
    if not _opened:
        raise ParameterError(
            'no period is open; begin with now = open_period(market, period, "ended", notebook="my_question")'
        )
    return _opened[-1]


@contextmanager
def silence(*, is_draft: bool = False) -> Iterator[None]:
    """Within the block periods are opened beside the one in use, and nothing is displayed.

    ``is_draft``: what they find is written nowhere.
    """
    depth = len(_opened)
    _silent.append(is_draft)
    try:
        yield
    finally:
        _silent.pop()
        del _opened[depth:]


def _settings(definition: Definition, **given: Any) -> Claims:
    """The market's settings with those that were given in their place; wrong ones are refused."""
    wanted = {name: value for name, value in given.items() if value is not None}
    try:
        return Claims(**(definition.claims.model_dump() | wanted))
    except ValueError as error:
        raise ParameterError(f"settings {wanted}: {str(error).splitlines()[2].strip()}") from error


class OpenPeriod(Frames):
    """A period that a notebook works on: its frames, its settings, and all that was asked in it.

    ``situation``: the market on the day. ``out``: the run folder that is written; None for drafts, and where other
    settings than the market's would feed the standing one.
    """

    def __init__(self, notebook: str, situation: Situation, out: Path | None) -> None:
        super().__init__(situation, out or runs_folder())
        self.notebook = notebook
        is_feeding = self.is_market_own or self.standing.resolve() != runs_folder().resolve()
        self.is_draft = bool(_silent) and _silent[-1]
        self.out = out = out if is_feeding and not self.is_draft else None
        self.answers: dict[str, Answer] = {}
        self._earlier: set[str] = set()
        self.is_silent = bool(_silent)
        self._claims = no_claims()
        self.keys = keys_of(self._claims)
        self._n_closed = -1  # answers in the families when they were closed last
        self._n_closings = 0
        self._first: tuple[Answer, ...] = ()
        self._shown: list[tuple[Live, Any, Shown]] = []
        self._draft: Path | None = None
        self._asked: dict[str, tuple[int, set[str]]] = {}  # by cell, its last run and what that asked
        if not self.is_silent and shell_of():  # what was asked before in this session was seen, so it counts
            before = _sessions.get((notebook, situation.market, situation.period.name), {})
            self.answers = {key: replace(answer, now=self) for key, answer in before.items()}
            self._earlier = set(before)
            _sessions[notebook, situation.market, situation.period.name] = self.answers
        if out is not None:
            store.set_aside(self.folder, notebook)

    # questions

    def ask(
        self,
        verb: str,
        section: str,
        frame: pd.DataFrame,
        table: str,
        render: Render,
        *,
        among: str | None = None,
        known_at: str = "",
        others: Mapping[str, pd.DataFrame] = MappingProxyType({}),
        **arguments: Any,
    ) -> Answer:
        """A new answer of this period's notebook, which the verb fills; asked again, it counts once.

        ``others``: further frames that it is made of, by table.
        """
        frames = {table: frame, **others}
        found = {name: self.rows(one, name) for name, one in frames.items()}
        rows, is_recorded = found[table]
        parts = [self.chosen(one, name, found[name][1]) for name, one in frames.items()] if among is None else [among]
        chosen = "; ".join(part for part in parts if part)
        if known_at and Moment.named(known_at) <= Moment.HANDOFF:
            self._chosen_early.add(chosen)
        answer = Answer(self, verb, section, table, render, rows=rows, among=chosen, is_recorded=is_recorded)
        answer.arguments, answer.others = arguments, {name: found[name][0] for name in others}
        if not is_example():
            self._join(fingerprint(verb, arguments | {"among": chosen}, frame, *others.values()), answer)
        return answer

    def _join(self, key: str, answer: Answer) -> None:
        """Take the answer into the notebook; what a cell asked before it was changed stays, for it was seen."""
        cell, number = running_cell()
        last, asked = self._asked.get(cell, (number, set()))
        if last != number:  # it was run before: what it asked then is only as good as what it asks now
            self._earlier |= asked
            asked = set()
        self._asked[cell] = number, asked | {key}
        self._earlier.discard(key)
        self.answers[key] = answer

    @property
    def is_changed(self) -> bool:
        """Was anything asked in this session that the notebook, run from the top, would not ask?"""
        return bool(self._earlier)

    # families

    @property
    def is_closed(self) -> bool:
        """Are the families closed, so that verdicts are known? What was asked since closes them again."""
        if self._n_closed >= 0 and self._n_closed != len(self.answers):
            self.close(*self._first)
        return self._n_closed >= 0

    @property
    def state(self) -> tuple[int, int]:
        """What an answer is shown by beside itself: how often the families were closed, and of how many answers."""
        return (self._n_closings if self.is_closed else 0), len(self.answers)

    @property
    def claims(self) -> pd.DataFrame:
        """The claims of the notebook; none before the families are closed."""
        return self._claims if self.is_closed else no_claims()

    def close(self, *first: Answer) -> "Closing":
        """Close both families: every verdict is corrected for all that was compared; the page and the files follow.

        ``first``: the answers with which the bottom line begins.
        """
        self._first = first
        asked = list(self.answers.values())
        set_apart(asked)
        following = [answer for answer in asked if answer.conclude]
        for answer in following:
            answer.forget_conclusions()
        judged = close_families(
            stacked([answer.compared for answer in asked], LOOK_COLUMNS),
            stacked([answer.stated for answer in asked], STATEMENT_COLUMNS).drop_duplicates(ignore_index=True),
            [claims for answer in asked for claims in answer.closed],
            self.situation,
        )
        for answer in following:
            if answer.conclude:
                answer.conclude(answer, judged)
        concluded = [as_claims(answer.stated, self.situation) for answer in following]
        self._claims = stacked([judged, *concluded], CLAIM_COLUMNS)
        self.keys = keys_of(self._claims)
        self._n_closed = len(self.answers)
        self._n_closings += 1
        self._write()
        for place, (live, handle, before) in enumerate(self._shown):
            shown = live.make()
            if handle is not None and shown != before:
                handle.update(_bundle(shown), raw=True)
                self._shown[place] = live, handle, shown
        return Closing(self)

    @property
    def step(self) -> Step:
        """Tables, key figures and gaps of all answers together; not of those about some cases, or asked another way."""
        step = Step(store.step_of(self.notebook))
        for answer in (one for one in self.answers.values() if not one.among):
            step.tables.update(answer.tables)
            step.results.update(answer.results)
            step.missing.update(answer.missing)
        return step

    def _write(self) -> None:
        if self.is_draft:
            return
        folder, today = self.folder, store.basis_of(self.situation, self.notebook)
        if self.out is None or self.is_changed:
            folder = store.draft_folder(folder, self.notebook, cells_run(), self.settings.to_csv())
            if self._draft not in (None, folder):
                rmtree(self._draft, ignore_errors=True)  # of this session, and outdated by what was asked since
            self._draft = folder
        for answer in self.answers.values():
            if answer.leave:
                answer.leave(folder)
        if self.out is not None:
            write_compared(folder, self.notebook, Compared.of(self.notebook, self.answers.values()))
        store.write(folder, self.notebook, self.step, self._claims, today)

    # the page

    @cached_property
    def words(self) -> Words:
        """The words of the market, with the personas' names."""
        return words_for(self.definition, self.personas)

    @property
    def evidence(self) -> Evidence:
        """What a piece may render of the whole notebook."""
        claims, step = self.claims, self.step
        return Evidence(self.words, self.period.name, claims, claims, step.tables, step.results, self._rules)

    @cached_property
    def _rules(self) -> Mapping[str, Sequence[str]]:
        return rule_sentences(self.personas.rule, self.words)

    def bottom_line(self) -> Live:
        """What to take away when nothing else is read; it is filled when the families close."""
        return Live(self, self._bottom_line)

    def _bottom_line(self) -> Shown:
        if not self.is_closed:
            return Shown((Note("Not yet computed."),), "bottom-line")
        pieces: list[Piece] = [_CHANGED] if self.is_changed else []
        lines = [line for answer in self._first if answer.headline for line in answer.headline(answer.evidence)]
        pieces.append(Listing([*lines, *strongest(self.evidence)][:3]))
        return Shown(tuple(pieces), "bottom-line")

    def gaps(self) -> Live:
        """What the data could not answer, each with what to collect."""
        return Live(self, self._gaps)

    def _gaps(self) -> Shown:
        reasons = list(dict.fromkeys(self.step.missing.values()))
        nothing = Sentence("No section lacks data; what single comparisons cannot tell is said where they stand.")
        return Shown((Listing([Sentence(reason) for reason in reasons] or [nothing]),))

    def display(self, live: Live) -> None:
        """Show something; what is not final is shown again when the families close."""
        if self.is_silent:
            return
        from IPython.display import display

        name = f"closedloop-{len(self._shown)}"
        shown = live.make()
        handle = display(_bundle(shown), raw=True, display_id=name)  # type: ignore[no-untyped-call]
        self._shown.append((live, handle, shown))

    def _repr_html_(self) -> str:
        return self._scope()._repr_html_()

    def __repr__(self) -> str:
        return repr(self._scope())

    def _scope(self) -> Shown:
        when = "so far: it is still running" if self.period.running else "as known at its end"
        if self.situation.on == self.period.planned_on:
            when = "as known at its start" if self.situation.is_dated else "as recorded"
        pieces: list[Piece] = [Note(f"{self.definition.title} ({self.market}), period {self.period.name}, {when}.")]
        if not self.is_market_own:
            other = self.settings[self.settings["in force"] != self.settings["as the market says"]]
            said = ", ".join(f"{row['setting']} = {row['in force']}" for _, row in other.iterrows())
            pieces.append(Note(f"Not the market's own settings: {said}."))
        held = {name for fields in self.situation.view.held_back.values() for name in fields}
        pieces += held_back_told(sorted(held | leaking(self.situation)), self.words)
        if self.out is None:
            pieces.append(Note("Opened by hand: what it finds is a draft, and does not feed the loop."))
        return Shown(tuple(pieces), "scope")


class Closing:
    """What the closing of the families says: how much was compared, and what may be false among it."""

    def __init__(self, now: OpenPeriod) -> None:
        self.now = now

    @property
    def results(self) -> dict[str, Any]:
        """The key figures of the notebook, for the run's index and for tests."""
        claims, step = self.now.claims, self.now.step
        scope = {"market": self.now.market, "period": self.now.period.name}
        sizes = {f"n_compared_{name.replace(' ', '_')}": int((claims["family"] == name).sum())
                 for name in (ENDING, WHO)}  # fmt: skip
        return {**scope, **step.results, **sizes, "n_claims": len(claims), "n_missing": len(step.missing)}

    def _ipython_display_(self) -> None:
        if self.now.is_silent:
            return
        from IPython.display import publish_display_data

        from closedloop.period.store import plain

        found = plain(self.results)
        text = "\n".join(f"{key}: {round(of, 6) if isinstance(of, float) else of}" for key, of in found.items())
        publish_display_data({RESULTS: found, "text/plain": text})  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        return "\n".join(f"{key}: {value}" for key, value in self.results.items())


def _bundle(shown: Shown) -> dict[str, str]:
    return {"text/html": shown._repr_html_(), "text/plain": repr(shown)}
