"""One period of a market, opened by a notebook: frames as known on the day, and the families of what is compared."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from closedloop.documents.persona_names import words_for
from closedloop.documents.pieces import RESULTS, Listing, Note, Piece, Sentence, Shown
from closedloop.documents.rule_words import rule_sentences
from closedloop.documents.wording import Words
from closedloop.errors import ParameterError, allowed
from closedloop.evidence.claims import CLAIM_COLUMNS, LOOK_COLUMNS, STATEMENT_COLUMNS, stacked
from closedloop.loop import records
from closedloop.loop.persona import PersonaSet
from closedloop.loop.research import sample_of
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step, no_claims
from closedloop.market import where as conditions
from closedloop.market.definition import Claims, Definition, read_definition
from closedloop.market.periods import Period, find_period
from closedloop.market.place import root, runs_folder
from closedloop.market.warehouse import fetched, open_warehouse, read_again
from closedloop.questions import families, store
from closedloop.questions.answer import Answer, Live, Render, fingerprint
from closedloop.questions.comparison import strongest
from closedloop.questions.evidence import Evidence
from closedloop.questions.redraw_files import Compared, write_compared
from closedloop.terms import Moment

if TYPE_CHECKING:
    from closedloop.loop.lineage import Lineage

_KEYS = {
    "deals": "deal_id",
    "leads": "lead_id",
    "accounts": "account_id",
    "respondents": "respondent_id",
    "notes": "note_id",
    "touches": "touch_id",
}
_DRAWN = ("experiment", "arm", "arm_rate")  # compared as drawn arms alone
_INTERNAL = ("tells_lost", "is_followed")
_CELL_MADE = {"persona": Moment.CREATION, "order": Moment.CREATION, "": Moment.CREATION}
_CELL_MADE |= dict.fromkeys(("period", "is_quarter_end"), Moment.CLOSE)
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
            f"period = {period!r} has not begun, so it has no outcomes yet; allowed: latest, {allowed(begun)}"
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


def as_text(name: str, value: object) -> str:
    """The parameter as text: papermill makes a number of ``-p period 2024``, and a truth value of ``True``."""
    if not isinstance(value, str | int | float):
        raise ParameterError(f"{name} = {value!r} is of type {type(value).__name__}; allowed: text")
    return str(value)


def _settings(definition: Definition, **given: Any) -> Claims:
    """The market's settings with those that were given in their place; wrong ones are refused."""
    wanted = {name: value for name, value in given.items() if value is not None}
    try:
        return Claims(**(definition.claims.model_dump() | wanted))
    except ValueError as error:
        raise ParameterError(f"settings {wanted}: {str(error).splitlines()[2].strip()}") from error


class OpenPeriod:
    """A period that a notebook works on: its frames, its settings, and all that was asked in it.

    ``situation``: the market on the day. ``out``: the run folder that is written; None for drafts, and where other
    settings than the market's would feed the standing one.
    """

    def __init__(self, notebook: str, situation: Situation, out: Path | None) -> None:
        self.notebook, self.situation, self.standing = notebook, situation, out or runs_folder()
        is_feeding = self.is_market_own or self.standing.resolve() != runs_folder().resolve()
        self.is_draft = bool(_silent) and _silent[-1]
        self.out = out = out if is_feeding and not self.is_draft else None
        self.answers: dict[str, Answer] = {}
        self._earlier: set[str] = set()
        self.is_silent = bool(_silent)
        self._claims = no_claims()
        self._n_closed = -1  # answers in the families when they were closed last
        self._first: tuple[Answer, ...] = ()
        self._shown: list[tuple[Live, Any]] = []
        self._draft: Path | None = None
        self._given: dict[str, list[tuple[pd.Index, pd.DataFrame]]] = {}  # by table: codes and records of each frame
        self._declared: dict[str, Moment] = {}
        self._chosen_early: set[str] = set()
        self._asked: dict[str, tuple[int, set[str]]] = {}  # by cell, its last run and what that asked
        if not self.is_silent and _shell():  # what was asked before in this session was seen, so it counts
            before = _sessions.get((notebook, situation.market, situation.period.name), {})
            self.answers = {key: replace(answer, now=self) for key, answer in before.items()}
            self._earlier = set(before)
            _sessions[notebook, situation.market, situation.period.name] = self.answers
        if out is not None:
            store.set_aside(self.folder, notebook)

    @property
    def market(self) -> str:
        """The market's name."""
        return self.situation.market

    @property
    def period(self) -> Period:
        """The period that is open."""
        return self.situation.period

    @property
    def definition(self) -> Definition:
        """The market's definition."""
        return self.situation.definition

    @property
    def folder(self) -> Path:
        """The period's standing folder."""
        return self.standing / self.market / self.period.name

    @property
    def settings(self) -> pd.DataFrame:
        """What is in force, and what the market's own settings are: a row a setting."""
        ours, own = self.situation.claims.model_dump(), self.definition.claims.model_dump()
        rows = [[name, str(value), str(own[name])] for name, value in ours.items()]
        rows.append(["where", self.situation.where, ""])
        return pd.DataFrame(rows, columns=["setting", "in force", "as the market says"])

    @property
    def is_market_own(self) -> bool:
        """Are the settings the market's own?"""
        return self.situation.claims == self.definition.claims and not self.situation.where

    # frames

    @cached_property
    def personas(self) -> PersonaSet:
        """The persona set in force."""
        from closedloop.loop.in_force import set_in_force

        return set_in_force(self.market, self.period.name, self.standing)

    @cached_property
    def personas_before(self) -> PersonaSet | None:
        """The set of the period before; None for the first one."""
        from closedloop.loop.in_force import previous, set_in_force

        before = previous(self.situation.warehouse.periods, self.period)
        return set_in_force(self.market, before.name, self.standing) if before else None

    @cached_property
    def lineage(self) -> "Lineage":
        """The personas in force beside the sample of market research and its segments."""
        from closedloop.loop.lineage import Lineage
        from closedloop.loop.research import research

        found = research(self.situation)
        return Lineage(self.situation, found.sample, found.segments, self.personas)

    @cached_property
    def records(self) -> dict[str, pd.DataFrame]:
        """Deals and leads as the market has them, with their persona, by table; what is not recorded is absent."""
        view, found = self.situation.view, {}
        if view.has("deals"):
            found["deals"] = self.situation.deals
        if view.has("leads"):
            found["leads"] = records.lead_frame(self.situation)
        days = {"deals": "closed_on", "leads": "handed_off_on"}
        return {
            name: frame.assign(
                persona=self.personas.assign(frame),
                period=self.situation.names_of(records.column(frame, days[name])),
            )
            for name, frame in found.items()
        }

    def deals(self, *, ended: bool = True) -> pd.DataFrame:
        """One row a deal: outcome, dates, amount, fields, persona; those that ended in the window, or every one."""
        frame = self.records.get("deals", pd.DataFrame())
        if ended and len(frame):
            frame = frame.loc[self.situation.closed_deals.index]
        return self._visible("deals", frame)

    def leads(self, *, window: bool = True) -> pd.DataFrame:
        """One row a lead: channel, dates, fields, persona, is_accepted, is_won; those of the window, or every one."""
        from closedloop.loop.comparisons import lead_window

        frame = self.records.get("leads", pd.DataFrame())
        if window and len(frame):
            frame = lead_window(self.situation, frame)
        return self._visible("leads", frame)

    def prospects(self) -> pd.DataFrame:
        """What a score is learned from: every lead; where none are recorded, every deal."""
        leads = self.leads(window=False)
        return leads if len(leads) else self.deals(ended=False)

    def accounts(self) -> pd.DataFrame:
        """One row a company that is known."""
        return self._visible("accounts", self._known("accounts"))

    def respondents(self) -> pd.DataFrame:
        """One row a person who answered the survey."""
        return self._visible("respondents", self._known("respondents"))

    def sample(self) -> pd.DataFrame:
        """The rows to segment: people who answered the survey; without one leads, accounts or deals."""
        sample = sample_of(self.situation)
        return self._visible(sample.source, sample.rows)

    @property
    def items(self) -> list[str]:
        """The columns that the sample is segmented by: the survey's questions, else fields known from the start."""
        return list(sample_of(self.situation).items)

    def touches(self) -> pd.DataFrame:
        """One row a touch of either team with a lead."""
        return self._visible("touches", self._known("touches"))

    def spend(self) -> pd.DataFrame:
        """One row a sum of money that marketing spent."""
        return self._visible("spend", self._known("spend"))

    def people(self) -> pd.DataFrame:
        """One row a person, or record, of market research's sample, with the persona that its answers are counted for.

        The persona comes from rules that did not see the row (``Lineage.assigned``).
        """
        lineage = self.lineage
        frame = lineage.sample.rows.assign(persona=lineage.assigned) if len(lineage.sample.rows) else pd.DataFrame()
        return self._visible("people", frame, _KEYS.get(lineage.sample.source, ""))

    def notes(self) -> pd.DataFrame:
        """One row a note of the window, by team, kind, topic and persona; its wording stays in the market's room."""
        from closedloop.loop.notes import notes

        return self._visible("notes", notes(self.situation, self.personas))

    def fields(self, table: str, up_to: str = "creation") -> list[str]:
        """The fields to compare by, known by the moment ``up_to``: none that looks like a leak or an identifier."""
        if not self.situation.view.has(table):
            return []
        return [name for name in self.situation.fields(table, Moment.named(up_to)) if name not in _DRAWN]

    def _known(self, table: str) -> pd.DataFrame:
        view = self.situation.view
        return fetched(view.known(table), None) if view.has(table) else pd.DataFrame()

    def _visible(self, table: str, frame: pd.DataFrame, key: str = "") -> pd.DataFrame:
        """The frame without internal columns, indexed by codes of its records' ids, which are in the column ``key``."""
        ids = [name for name in frame.columns if str(name).endswith("_id") and name != "rep_id"]
        shown = frame.drop(columns=[*ids, *(name for name in _INTERNAL if name in frame)])
        if (key := key or _KEYS.get(table, "")) in frame:
            shown.index = pd.Index(_codes(frame[key]), name=table.removesuffix("s"))
            self._given.setdefault(table, []).append((shown.index, frame))
        return shown

    def rows(self, frame: pd.DataFrame, table: str) -> tuple[pd.DataFrame, bool]:
        """The market's records of a notebook's frame, with the columns that a cell gave them; are they records?"""
        given = self._given.get(table, []) if frame.index.name == table.removesuffix("s") else []
        found = next((one for one in given if frame.index.isin(one[0]).all()), None)
        if found is None or frame.index.has_duplicates:
            return frame, False
        codes, records_ = found
        rows = records_.iloc[codes.get_indexer(frame.index)]
        return rows.assign(**{str(name): frame[name].array for name in frame.columns}), True

    def declare(self, name: str, known_at: str) -> None:
        """Say when a column made in a cell is known; without it, it counts as known at the close."""
        try:
            self._declared[name] = Moment.named(known_at)
        except KeyError:
            moments = ", ".join(moment.name.lower() for moment in Moment)
            raise ParameterError(f"known_at = {known_at!r} is no moment; allowed: {moments}") from None

    def known_at(self, name: str) -> Moment:
        """When a column is known: as declared, else at the close."""
        if name in self._declared or name in _CELL_MADE:
            return self._declared.get(name, _CELL_MADE.get(name, Moment.CLOSE))
        moments = [self.definition.moment(table, name) for table in ("accounts", "leads", "deals", "respondents")]
        known = [Moment.named(moment) for moment in moments if moment]
        return min(known, default=Moment.CLOSE)

    def is_chosen_early(self, among: str) -> bool:
        """Were these cases chosen by what is known by hand-off, as the cell says?"""
        return among in self._chosen_early

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
        if not _is_example():
            self._join(fingerprint(verb, arguments | {"among": chosen}, frame, *others.values()), answer)
        return answer

    def _join(self, key: str, answer: Answer) -> None:
        """Take the answer into the notebook; what a cell asked before it was changed stays, for it was seen."""
        cell, number = _running_cell()
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

    def chosen(self, frame: pd.DataFrame, table: str, is_recorded: bool) -> str:
        """Which of the period's records a frame holds, in words; nothing where it holds all that a frame gave."""
        given = [codes for codes, _ in self._given.get(table, [])]
        if not is_recorded or not len(frame) or not given:
            return ""
        if any(len(one) == len(frame) and one.isin(frame.index).all() for one in given):
            return ""
        around = min((one for one in given if frame.index.isin(one).all()), key=len, default=given[-1])
        return f"{len(frame):,} of {len(around):,} {table} chosen in a cell"

    # families

    @property
    def is_closed(self) -> bool:
        """Are the families closed, so that verdicts are known? What was asked since closes them again."""
        if self._n_closed >= 0 and self._n_closed != len(self.answers):
            self.close(*self._first)
        return self._n_closed >= 0

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
        families.set_apart(asked)
        following = [answer for answer in asked if answer.conclude]
        for answer in following:
            answer.statements, answer.missing, answer.results = [], {}, {}  # what followed from an earlier closing
        judged = families.close(
            stacked([answer.compared for answer in asked], LOOK_COLUMNS),
            stacked([answer.stated for answer in asked], STATEMENT_COLUMNS).drop_duplicates(ignore_index=True),
            [claims for answer in asked for claims in answer.closed],
            self.situation,
        )
        for answer in following:
            if answer.conclude:
                answer.conclude(answer, judged)
        concluded = [families.stated(answer.stated, self.situation) for answer in following]
        self._claims = stacked([judged, *concluded], CLAIM_COLUMNS)
        self._n_closed = len(self.answers)
        self._write()
        self._show_again()
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
            folder = store.draft_folder(folder, self.notebook, _cells(), self.settings.to_csv())
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
        rules = rule_sentences(self.personas.rule, self.words)
        step = self.step
        return Evidence(
            *(self.words, self.period.name, self.claims, self.claims), step.tables, step.results, step.missing, rules
        )

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
        nothing = Sentence("Every question of this page could be answered with the data at hand.")
        return Shown((Listing([Sentence(reason) for reason in reasons] or [nothing]),))

    def display(self, live: Live) -> None:
        """Show something; what is not final is shown again when the families close."""
        if self.is_silent:
            return
        from IPython.display import display

        name = f"closedloop-{len(self._shown)}"
        handle = display(_bundle(live.make()), raw=True, display_id=name)  # type: ignore[no-untyped-call]
        self._shown.append((live, handle))

    def _show_again(self) -> None:
        for live, handle in self._shown:
            if handle is not None:
                handle.update(_bundle(live.make()), raw=True)

    def _repr_html_(self) -> str:
        return self._scope()._repr_html_()

    def __repr__(self) -> str:
        return repr(self._scope())

    def _scope(self) -> Shown:
        day = "its start" if self.situation.on == self.period.planned_on else "its end"
        running = " It is still running: figures are so far." if self.period.running else ""
        pieces: list[Piece] = [
            Note(f"{self.definition.title} ({self.market}), period {self.period.name}, as known at {day}.{running}")
        ]
        if not self.is_market_own:
            other = self.settings[self.settings["in force"] != self.settings["as the market says"]]
            said = ", ".join(f"{row['setting']} = {row['in force']}" for _, row in other.iterrows())
            pieces.append(Note(f"Not the market's own settings: {said}."))
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
                 for name in (families.ENDING, families.WHO)}  # fmt: skip
        return {**scope, **step.results, **sizes, "n_claims": len(claims), "n_missing": len(step.missing)}

    def _ipython_display_(self) -> None:
        if self.now.is_silent:
            return
        from IPython.display import publish_display_data

        from closedloop.loop.step import plain

        found = plain(self.results)
        text = "\n".join(f"{key}: {value}" for key, value in found.items())
        publish_display_data({RESULTS: found, "text/plain": text})  # type: ignore[no-untyped-call]

    def __repr__(self) -> str:
        return "\n".join(f"{key}: {value}" for key, value in self.results.items())


def _codes(ids: pd.Series) -> list[str]:
    """Short codes for ids, always the same for the same id."""
    hashed = pd.util.hash_array(ids.astype(object).to_numpy(), categorize=False)
    return [f"{value:016x}"[:12] for value in hashed]


def _bundle(shown: Shown) -> dict[str, str]:
    return {"text/html": shown._repr_html_(), "text/plain": repr(shown)}


def _cells() -> list[str]:
    """The sources of the cells that this session has run; none outside a notebook."""
    shell = _shell()
    return [str(source) for source in shell.user_ns.get("In", [])] if shell else []


def _running_cell() -> tuple[str, int]:
    """Id and number of the running cell; a cell without an id is never run twice."""
    shell = _shell()
    number = int(shell.execution_count) if shell else 0
    parent: dict[str, Any] = getattr(shell, "get_parent", dict)() or {}
    return str(parent.get("metadata", {}).get("cellId") or f"run {number}"), number


def _is_example() -> bool:
    """Does the running cell only show what could be asked? It is in no family then."""
    shell = _shell()
    source = str((shell.user_ns.get("In") or [""])[-1]) if shell else ""
    return source.lstrip().startswith("# example")


def _shell() -> Any:
    import sys

    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()
