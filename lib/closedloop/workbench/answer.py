"""Answers: what a verb found, what a page may render of it, and the families that its comparisons are judged in."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from closedloop.claims.ledger import (
    CLAIM_COLUMNS,
    LOOK_COLUMNS,
    STATEMENT_COLUMNS,
    Origin,
    close_family,
    counted,
    estimated,
    identified,
    outside,
    stacked,
    typed,
)
from closedloop.period.situation import Situation
from closedloop.period.store import no_claims
from closedloop.presentation.blocks import LIMIT, Missing, Note, Piece, Sentence, Shown, Table
from closedloop.presentation.charts import Picture
from closedloop.presentation.sentences import first
from closedloop.presentation.words import Words
from closedloop.terms import Moment

if TYPE_CHECKING:
    from closedloop.workbench.period import OpenPeriod


@dataclass
class Evidence:
    """``claims``: those of the answer; ``everything``: all of the notebook's, for what one finding says of another.

    ``rules``: the ways to recognise each persona, in the market's words.
    """

    words: Words
    period: str
    claims: pd.DataFrame = field(default_factory=no_claims)
    everything: pd.DataFrame = field(default_factory=no_claims)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Sequence[str]] = field(default_factory=dict)
    is_alone: bool = True  # until what other answers found is looked at

    @property
    def ledger(self) -> pd.DataFrame:
        """All claims of the notebook."""
        self.is_alone = False
        return self.everything

    def table(self, name: str) -> pd.DataFrame:
        """A table of the answer; an empty frame when it is absent."""
        return self.tables.get(name, pd.DataFrame())

    def result(self, name: str) -> Any:
        """A key figure; None when it is undefined."""
        return self.results.get(name)

    def of(self, *measures: str) -> pd.DataFrame:
        """The claims on these measures."""
        return self.claims[self.claims["measure"].isin(measures)]

    def cell(self, name: str) -> pd.DataFrame:
        """The claims that the section ``name`` shows."""
        return self.claims[self.claims["cell"] == name]

    def first(self, measure: str, **wanted: str) -> Mapping[str, Any] | None:
        """The first claim on a measure with these values; None when there is none."""
        return first(self.claims, measure=measure, **wanted)


PROVISIONAL = Note("Provisional: verdicts come when the families of this notebook are closed, at its end.")
_KEY = ["measure", "subject", "field", "level", "within", "among"]
_PLAIN = {"estimate": "estimate", "low": "low", "high": "high", "baseline": "baseline", "effect": "effect", "n": "n"}
Render = Callable[[Evidence, str], Sequence[Piece]]
Headline = Callable[[Evidence], list[Sentence]]


@dataclass
class Answer:
    """What one call of a verb found.

    ``rows``: the records that went in, as the market's own frame has them; ``others``: those of further frames, by
    table. ``render`` makes the pieces of a page from
    what is known of the answer, the figure under a title. Comparisons (``compare``) join the open period's families.
    ``redraws``: how the comparisons are made again on other outcomes (the self-test). ``fitted``: what the verb
    learned, for verbs that go on from it. ``conclude``: called with the answer and the judged claims when the families
    are closed, to state what follows from them. ``cited``: claims of other answers that it only shows. ``leave``:
    writes what else belongs into the notebook's folder when it closes.
    """

    now: "OpenPeriod"
    verb: str
    section: str
    table_name: str
    render: Render
    headline: Headline | None = None
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    others: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    among: str = ""
    is_recorded: bool = True
    comparisons: list[pd.DataFrame] = field(default_factory=list)
    statements: list[dict[str, Any]] = field(default_factory=list)
    closed: list[pd.DataFrame] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    redraws: list[Any] = field(default_factory=list)
    fitted: Any = None
    conclude: Callable[["Answer", pd.DataFrame], None] | None = None
    cited: pd.DataFrame = field(default_factory=no_claims)
    leave: Callable[[Path], None] | None = None
    _stated: pd.DataFrame = field(default_factory=lambda: typed([], STATEMENT_COLUMNS), repr=False)
    _compared: pd.DataFrame = field(default_factory=lambda: typed([], LOOK_COLUMNS), repr=False)
    _made: "_Made | None" = field(default=None, repr=False)

    def origin(self, days: pd.Series, section: str = "", table: str = "") -> Origin:
        """Where figures of this answer come from; ``days``: of the records that went in."""
        span = self.now.situation.span(days)
        return Origin(self.now.notebook, section or self.section, table or self.table_name, *span)

    @property
    def origin_now(self) -> Origin:
        """``origin`` of figures of the period itself."""
        period = self.now.period.name
        return Origin(self.now.notebook, self.section, self.table_name, period, period)

    def compare(self, comparisons: pd.DataFrame, redraw: Any = None, known_at: str = "") -> None:
        """Add comparisons, before their verdicts: they join the families of the notebook.

        ``known_at``: when their field is known, where it is no column of a table.
        """
        fields = comparisons["field"].fillna("").astype(str)
        known = [Moment.named(known_at) if known_at else self.now.known_at(name) for name in fields]
        is_chosen = bool(self.among) and not self.now.is_chosen_early(self.among)
        late = pd.array([is_chosen or moment > Moment.HANDOFF for moment in known], dtype="boolean")
        marked = comparisons.assign(among=self.among, is_retrospective=late)
        self.comparisons.append(marked)
        self.redraws += [] if redraw is None else [redraw]

    def estimate(self, rows: Any, origin: Origin, measure: str, **about: str) -> None:
        """State rates, amounts or medians with their interval (``claims.ledger.estimated``)."""
        self.statements += [row | {"among": self.among} for row in estimated(rows, origin, measure=measure, **about)]

    def count(self, rows: Any, origin: Origin, measure: str, **about: str) -> None:
        """State totals (``claims.ledger.counted``)."""
        self.statements += [row | {"among": self.among} for row in counted(rows, origin, measure=measure, **about)]

    def rename(self, among: str) -> None:
        """Say of all its figures which cases, or settings, they are of."""
        self.among = "; ".join(part for part in (self.among, among) if part)
        self.comparisons = [frame.assign(among=self.among) for frame in self.comparisons]
        self.statements = [row | {"among": self.among} for row in self.statements]
        self.closed = [identified(claims.assign(among=self.among)) for claims in self.closed]
        self._stated, self._compared = self._stated.head(0), self._compared.head(0)  # made anew

    @property
    def judged(self) -> pd.DataFrame:
        """The claims of families that the verb closed itself."""
        return stacked(self.closed, CLAIM_COLUMNS)

    @property
    def stated(self) -> pd.DataFrame:
        """All statements that the answer makes, without comparisons."""
        if len(self._stated) != len(self.statements):
            self._stated = typed(self.statements, STATEMENT_COLUMNS)
        return self._stated

    @property
    def compared(self) -> pd.DataFrame:
        """All comparisons that the answer makes, before their verdicts."""
        if len(self._compared) != sum(map(len, self.comparisons)):
            self._compared = stacked(self.comparisons, LOOK_COLUMNS)
        return self._compared

    def forget_conclusions(self) -> None:
        """Take back what followed from the judged claims of an earlier closing."""
        self.statements, self.missing, self.results, self._stated = [], {}, {}, self._stated.head(0)

    @property
    def claims(self) -> pd.DataFrame:
        """The claims of the answer; none of its comparisons before the notebook's families are closed."""
        if not self.now.is_closed:
            return stacked([as_claims(self.stated, self.now.situation), self.judged, self.cited], CLAIM_COLUMNS)
        keys = {key for part in (self.compared, self.stated, *self.closed) for key in keys_of(part)}
        is_own = np.fromiter((key in keys for key in self.now.keys), dtype=bool)
        return stacked([self.now.claims[is_own], self.cited], CLAIM_COLUMNS)

    @property
    def table(self) -> pd.DataFrame:
        """The estimates as a tidy frame, a row a group; once the families are closed with p, q and verdict."""
        frame = self.claims if self.now.is_closed else pd.concat([self.compared, self.stated, self.judged])
        shown = frame.rename(columns={"level": "group"})
        names = ["measure", "subject", "field", "group", "within", "among", *_PLAIN]
        names += ["p", "q", "verdict"] if self.closed or (self.now.is_closed and len(self.compared)) else []
        kept = [name for name in names if name in shown and shown[name].replace("", pd.NA).notna().any()]
        return shown[kept].reset_index(drop=True)

    def figure(self, title: str = "") -> "Live":
        """What is drawn or tabulated of it, under a title that asks the question."""
        return Live(self.now, lambda: self._part(title, is_drawn=True))

    @property
    def sentence(self) -> "Live":
        """What is said of it, every number from a claim; or what is missing, and what to collect."""
        return Live(self.now, lambda: self._part(None, is_drawn=False))

    def _part(self, title: str | None, is_drawn: bool) -> Shown:
        """What is drawn and tabulated, or what is said."""
        pieces = self._kept_pieces(title)
        return Shown(tuple(piece for piece in pieces if isinstance(piece, Picture | Table) == is_drawn))

    def _kept_pieces(self, title: str | None) -> Sequence[Piece]:
        """The pieces under a title, or any; drawn again, which takes long, only when something else is to be seen."""
        own = (self.among, len(self.comparisons), len(self.statements), len(self.missing))
        state, last = self.now.state, self._made
        if last is None or last.own != own or last.of_all not in (None, state) or title not in (None, last.title):
            pieces, is_alone = self._rendered(title or "")
            last = self._made = _Made(own, None if is_alone else state, title or "", pieces)
        return last.pieces

    def pieces(self, title: str = "") -> Sequence[Piece]:
        """Everything that a page shows of the answer."""
        return self._rendered(title)[0]

    def _rendered(self, title: str) -> tuple[Sequence[Piece], bool]:
        """The pieces; do they stay as they are, whatever else the notebook finds?"""
        is_settled = not (self.comparisons or self.conclude)
        if self.conclude and not self.now.is_closed:
            return [PROVISIONAL], False
        reasons = [Missing(reason) for reason in dict.fromkeys(self.missing.values())]
        if not (self.comparisons or self.statements or self.closed or self.tables or len(self.cited)):
            return reasons or [Missing("nothing is recorded that would answer it.")], is_settled
        if not (is_settled or self.now.is_closed):
            return [PROVISIONAL, _plainly(self.table)], False
        shown = self.evidence
        return [*self.render(shown, title), *reasons], is_settled and shown.is_alone

    @property
    def evidence(self) -> Evidence:
        """What its pieces may render."""
        own = self.now.evidence
        everything = stacked([own.everything, self.cited], CLAIM_COLUMNS)
        return replace(own, claims=self.claims, everything=everything, tables=self.tables, results=self.results)

    def _ipython_display_(self) -> None:
        Live(self.now, lambda: Shown(tuple(self._kept_pieces(""))))._ipython_display_()

    def __repr__(self) -> str:
        return repr(Shown(tuple(self.pieces())))


@dataclass
class _Made:
    """The pieces of an answer, the title that they stand under, and what they were made of.

    ``own``: the answer's part of it; ``of_all``: the notebook's state, None where it has no part in them.
    """

    own: tuple[str, int, int, int]
    of_all: tuple[int, int] | None
    title: str
    pieces: Sequence[Piece]


class Live:
    """Something on the page that is shown again when the families are closed."""

    def __init__(self, now: "OpenPeriod", make: Callable[[], Shown]) -> None:
        self.now, self.make = now, make

    def _ipython_display_(self) -> None:
        self.now.display(self)

    def _repr_html_(self) -> str:
        return self.make()._repr_html_()

    def __repr__(self) -> str:
        return repr(self.make())


def _plainly(frame: pd.DataFrame) -> Table:
    """The estimates as they are, while their verdicts are not known."""
    rows = frame.head(LIMIT)
    is_number = tuple(bool(pd.api.types.is_float_dtype(kind)) for kind in rows.dtypes)
    cells = [[f"{value:.3g}" if isinstance(value, float) else str(value) for value in row] for row in rows.to_numpy()]
    n_more = max(len(frame) - LIMIT, 0)
    return Table(tuple(map(str, rows.columns)), tuple(map(tuple, cells)), is_number, n_left_out=n_more)


Row = tuple[object, ...]


def keys_of(claims: pd.DataFrame) -> list[Row]:
    """What each claim is on, whatever its figures."""
    return _rows_of(claims, _KEY)


def _rows_of(claims: pd.DataFrame, names: Sequence[str]) -> list[Row]:
    columns = (np.where(claims[name].isna(), "", np.asarray(claims[name], dtype=object)) for name in names)
    return list(zip(*columns, strict=True))


def fingerprint(verb: str, arguments: Mapping[str, Any], *frames: pd.DataFrame) -> str:
    """The identity of a question: its verb, its arguments, and the rows that it was asked of."""
    digest = hashlib.sha256(f"{verb} {sorted(arguments.items(), key=str)!r}".encode())
    for rows in frames:
        digest.update(str(list(rows.columns)).encode())
        digest.update(pd.util.hash_pandas_object(rows, index=True).to_numpy().tobytes() if len(rows.columns) else b"")
    return digest.hexdigest()[:16]


ENDING, WHO, DRIFT, RECORDING = "how they end", "who they are", "drift", "recording"
_WHO = ("share", "wave_share", "drift_share", "association")
_RECORDING = ("recorded_share", "arm_share")  # of every notebook a test of the data, made to be strict
# of false claims among all, where it is not one in ten: true shares are large and lose next to nothing, drift is looked
# for anew every period, and the many families of both would make most of a period's false lines
_RATES = {RECORDING: 0.01, WHO: 0.02, DRIFT: 0.03}
_FIGURES = ["first_period", "last_period", "estimate", "n", "p"]


def family_of(measure: str) -> str:
    """The family that a comparison joins: shares say who they are; rates, amounts, days and gains how they end."""
    if measure == "drift_win_rate":
        return DRIFT
    return RECORDING if measure in _RECORDING else WHO if measure in _WHO else ENDING


def rate_of(family: str) -> float:
    """The rate of false discoveries at which a family is closed."""
    return _RATES.get(family, 0.10)


def set_apart(answers: Sequence[Answer]) -> None:
    """Name those answers that look at the same as an earlier one with other settings: their claims are others."""
    for part in ("compared", "stated", "judged"):
        known: dict[Row, set[Row]] = {}  # by what a claim is on, the figures that were found
        for place, answer in enumerate(answers):
            claims, is_other = getattr(answer, part), False
            for key, found in zip(keys_of(claims), _rows_of(claims, _FIGURES), strict=True):
                figures = known.setdefault(key, {found})
                is_other |= found not in figures
                figures.add(found)
            if is_other:
                number = sum(other.verb == answer.verb for other in answers[: place + 1])
                answer.rename(f"{answer.verb} asked another way, no. {number}")


def close_families(
    comparisons: pd.DataFrame,
    statements: pd.DataFrame,
    closed: Iterable[pd.DataFrame],
    situation: Situation,
) -> pd.DataFrame:
    """Every figure of a notebook as a claim: its closed families, and what stands outside them.

    ``comparisons``: all that were made (columns of looks), each once; ``closed``: claims of families that a verb had to
    close itself, since something follows from their verdicts.
    """
    fingerprint = situation.warehouse.fingerprint(situation.on)
    distinct = comparisons.drop_duplicates([*_KEY, *_FIGURES])
    of_family = distinct["measure"].map(family_of)
    families = [
        close_family(
            distinct[of_family == name],
            family=name,
            smallest_worth=situation.claims.smallest_worth,
            rate=rate_of(name),
            fingerprint=fingerprint,
            **situation.about,
        )
        for name in (WHO, RECORDING, ENDING, DRIFT)
        if (of_family == name).any()
    ]
    others = as_claims(statements, situation)
    own = [claims.assign(fingerprint=fingerprint) for claims in closed]
    return stacked([*families, others, *own], CLAIM_COLUMNS)


def as_claims(statements: pd.DataFrame, situation: Situation) -> pd.DataFrame:
    """Figures that compare nothing as claims: they are final whatever else is asked."""
    return outside(statements, fingerprint=situation.warehouse.fingerprint(situation.on), **situation.about)
