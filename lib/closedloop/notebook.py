"""The few calls that a notebook makes: open the run, show its sections, save and record what it found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from IPython.display import publish_display_data

from closedloop.documents import battlecard, brief, playbook
from closedloop.documents.dossier import Dossier
from closedloop.documents.persona_names import words_for
from closedloop.documents.pieces import Listing, Missing, Note, Outdated, Sentence, Shown
from closedloop.documents.rule_words import rule_sentences
from closedloop.documents.sections import catalogue
from closedloop.documents.wording import Words
from closedloop.errors import ParameterError, allowed
from closedloop.loop import turn
from closedloop.loop.in_force import OUTCOME, PLAN, needs_replay
from closedloop.loop.persona import PersonaSet, read_set
from closedloop.loop.step import Step, as_csv, no_claims, read_frame, read_step, replace_file
from closedloop.market.definition import read_definition
from closedloop.market.periods import Period, find_period
from closedloop.market.place import runs_folder, slug
from closedloop.market.warehouse import read_again

RESULTS = "application/vnd.closedloop.results+json"
STEPS = {
    "01_research": "research",
    "02_personas": "personas",
    "03_leads": "leads",
    "04_handoff": "handoff",
    "05_deals": "deals",
    "06_refinement": "refinement",
    "07_review": "review",
}


class Upkeep(NamedTuple):
    """Moments, in words, that opening a page has computed, and those whose files it had to leave out of date."""

    computed: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()


class Document(NamedTuple):
    """How a document is made of its dossier."""

    bottom_line: Callable[[Dossier], list[Sentence]]
    render: Callable[[Dossier, str], Shown]
    results: Callable[[Dossier], dict[str, Any]]


DOCUMENTS = {
    "campaign_brief": Document(brief.bottom_line, brief.render, brief.results),
    "sales_playbook": Document(playbook.bottom_line, playbook.render, playbook.results),
    "battlecard": Document(battlecard.bottom_line, battlecard.render, battlecard.results),
}


@dataclass(frozen=True)
class Run:
    """One notebook on one market and period: its step's tables, its claims, and how they are shown.

    ``computed`` and ``outdated``: moments, in words, as in ``Upkeep``.
    """

    notebook: str
    market: str
    period: Period
    folder: Path
    step: Step
    claims: pd.DataFrame
    personas: PersonaSet
    computed: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()
    ledger: pd.DataFrame = field(default_factory=no_claims)
    dossier: Dossier | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The step's tables by name."""
        return self.step.tables

    @cached_property
    def _evidence(self) -> catalogue.Evidence:
        rules = rule_sentences(self.personas.rule, self._words)
        return catalogue.Evidence(self._words, self.period.name, self.step, self.claims, rules, self.ledger)

    @cached_property
    def _words(self) -> Words:
        return words_for(read_definition(self.market), self.personas)

    def bottom_line(self) -> Shown:
        """One to three sentences: what to take away when nothing else is read."""
        return self._marked(self._bottom_line)

    def _bottom_line(self) -> Shown:
        if self.dossier is not None:
            return Shown((Listing(DOCUMENTS[self.notebook].bottom_line(self.dossier)),), "bottom-line")
        return catalogue.bottom_line(self._evidence)

    def show(self, section: str) -> Shown:
        """One section: a figure, a table or a page, with one computed sentence, or what is missing."""
        return self._marked(lambda: self._section(section))

    def _section(self, section: str) -> Shown:
        if self.dossier is not None:
            return DOCUMENTS[self.notebook].render(self.dossier, section)
        return catalogue.render(self.step.name, section, self._evidence)

    def _marked(self, show: Callable[[], Shown]) -> Shown:
        """What ``show`` gives; below a mark while its figures are out of date."""
        if not self.outdated:
            return show()
        try:
            shown = show()
        except (AttributeError, LookupError, TypeError, ValueError):  # other code may have written other columns
            shown = Shown((Missing("today's code cannot read what was written before."),))
        return Shown((self._mark, *shown.pieces), shown.kind)

    @property
    def _mark(self) -> Outdated:
        place = self.folder.parents[1]
        elsewhere = f" --out {place}" if place.resolve() != runs_folder().resolve() else ""
        return Outdated(f"closedloop run {self.market}{elsewhere}")

    @property
    def _name(self) -> str:
        return "-".join([self.notebook, *map(slug, self.chosen.values())])

    def save(self) -> Note:
        """Write the claims that this page rests on, as a CSV file that is safe to open in a spreadsheet.

        Claims that are out of date are not written: nobody who opens the file could tell.
        """
        if self.outdated:
            return Note(f"No claims were written: they are {self._mark.text}.")
        path = self.folder / "documents" / f"{self._name}.csv"
        cited = self.claims if self.dossier is not None else catalogue.cited(self.step.name, self._evidence)
        replace_file(path, as_csv(cited).encode())
        return Note(f"{len(cited)} claims written to documents/{path.name} of this period.")

    def results(self) -> None:
        """Record the key figures for the runner, readable for people as well."""
        scope = {"market": self.market, "period": self.period.name, **self.chosen}
        found = {**scope, **self._figures(), "n_missing": len(self.step.missing)}
        found |= {"out_of_date": list(self.outdated)} if self.outdated else {}
        text = "\n".join(f"{key}: {value}" for key, value in found.items())
        publish_display_data({RESULTS: found, "text/plain": text})  # type: ignore[no-untyped-call]

    def _figures(self) -> dict[str, Any]:
        if self.dossier is not None:
            return DOCUMENTS[self.notebook].results(self.dossier)
        return {**self.step.results, "n_claims": len(self.claims)}

    def _repr_html_(self) -> str:
        return self._opened()._repr_html_()

    def __repr__(self) -> str:
        return repr(self._opened())

    def _opened(self) -> Shown:
        title = self._words.definition.title
        scope = ", ".join(
            [f"{title} ({self.market})", f"period {self.period.name}", *map(self._words.name, self.chosen.values())]
        )
        running = " It is still running: figures are so far." if self.period.running else ""
        why = "because they were missing or out of date"
        computed = f" Computed now, {why}: {' and '.join(self.computed)}." if self.computed else ""
        note = Note(f"{scope}.{running}{computed}")
        if not self.outdated:
            return Shown((note,), "scope")
        old = Note(
            f"These figures are marked, because data, definition or code have changed since: "
            f"{' and '.join(self.outdated)}. Earlier periods have to be computed first."
        )
        return Shown((note, self._mark, old), "scope")


def open_run(
    notebook: str,
    market: str,
    period: str = "latest",
    out: str | Path | None = None,
    *,
    persona: str | None = None,
    competitor: str | None = None,
) -> Run:
    """The run of ``notebook`` with these parameters.

    Tables of its moment that are missing or out of date are computed first, and it says so. Where that would take
    earlier periods' persona sets that are not there, what is out of date is shown with a mark, and nothing is written.
    ``latest`` is the running period for 01-03 and the playbooks, the last complete one for 04-07. ``persona`` and
    ``competitor`` default to the first. Errors: ParameterError for anything unknown, with what is allowed.
    """
    market, period = _text("market", market), _text("period", period)
    asked = {"persona": persona, "competitor": competitor}
    asked = {name: value if value is None else _text(name, value) for name, value in asked.items()}
    if notebook not in (*STEPS, *DOCUMENTS):
        raise ParameterError(f"notebook = {notebook!r} does not exist; allowed: {allowed((*STEPS, *DOCUMENTS))}")
    read_again()
    read_definition(market)
    found = _period(notebook, market, period)
    place = Path(out) if out else runs_folder()
    if notebook in DOCUMENTS:
        return _open_document(notebook, market, found, place, asked)
    return _open_step(notebook, market, found, place)


def _text(name: str, value: object) -> str:
    """The parameter as text: papermill makes a number of ``-p period 2024``, and a truth value of ``True``."""
    if not isinstance(value, str | int | float):
        raise ParameterError(f"{name} = {value!r} is of type {type(value).__name__}; allowed: text")
    return str(value)


def _period(notebook: str, market: str, period: str) -> Period:
    planning = STEPS.get(notebook) not in turn.OUTCOME_STEPS
    found = find_period(turn.periods(market), period, planning=planning)
    if not planning and not turn.has_begun(market, found.name):
        begun = [p.name for p in turn.periods(market) if turn.has_begun(market, p.name)]
        raise ParameterError(
            f"period = {period!r} has not begun, so it has no outcomes yet; allowed: latest, {allowed(begun)}"
        )
    return found


def _open_step(notebook: str, market: str, period: Period, out: Path) -> Run:
    name = STEPS[notebook]
    moment = PLAN if name in turn.PLAN_STEPS else OUTCOME
    folder = turn.period_folder(market, period.name, out)
    upkeep = _kept_up(moment, market, period, out, f"tables/{name}.json")
    claims = read_frame(folder / f"claims-{moment}.parquet")
    own = claims if name == "review" else claims[claims["notebook"] == notebook]
    in_force = read_set(folder / "personas.yml")
    return Run(notebook, market, period, folder, read_step(folder, name), own, in_force, *upkeep, claims)


def _kept_up(moment: str, market: str, period: Period, out: Path, needed: str, *, is_own: bool = True) -> Upkeep:
    """Have the moment's claims and the ``needed`` file there, of today if that takes no other period's files."""
    folder = turn.period_folder(market, period.name, out)
    told = (f"{'plan' if moment == PLAN else 'outcomes'} of {period.name}",)
    if all((folder / name).exists() for name in (needed, f"claims-{moment}.parquet", "personas.yml")):
        if turn.is_current(market, period.name, moment, out):
            return Upkeep()
        if not is_own or needs_replay(market, period.name, out):
            return Upkeep(outdated=told)
    compute = turn.plan if moment == PLAN else turn.look_back
    compute(market, period.name, out)
    return Upkeep(computed=told)


def _open_document(notebook: str, market: str, period: Period, out: Path, asked: Mapping[str, str | None]) -> Run:
    folder = turn.period_folder(market, period.name, out)
    before = _before(market, period)
    upkeep = _kept_up(PLAN, market, period, out, "personas.yml")
    if before is not None:
        earlier = _kept_up(OUTCOME, market, before, out, "tables/deals.json", is_own=False)
        upkeep = Upkeep(upkeep.computed + earlier.computed, upkeep.outdated + earlier.outdated)
    dossier = Dossier.gather(market, period, before, out)
    subject = "competitor" if notebook == "battlecard" else "persona"
    chosen = _choice(subject, asked[subject], dossier.choices(subject))
    about = dossier.about(subject, chosen)
    step = dossier.steps["personas"]
    return Run(
        *(notebook, market, period, folder, step, about.claims, dossier.personas, *upkeep),
        dossier=about,
        chosen={subject: chosen},
    )


def _before(market: str, period: Period) -> Period | None:
    every = turn.periods(market)
    index = every.index(period)
    return every[index - 1] if index else None


def _choice(kind: str, value: str | None, choices: list[str]) -> str:
    if not choices:
        raise ParameterError(f"no {kind} is known in this period, so there is no page to render")
    if value in (None, "", "first"):
        return choices[0]
    if value not in choices:
        raise ParameterError(f"{kind} = {value!r} is unknown in this period; allowed: {allowed(choices)}")
    return str(value)
