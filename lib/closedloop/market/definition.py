"""market.toml: what a market is, where its data come from, and when each of its fields is known."""

import codecs
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from closedloop.errors import DefinitionError, ParameterError, allowed
from closedloop.market.contract import TABLES
from closedloop.market.criteria import Attractiveness, Criteria, Strength
from closedloop.market.files import data_folder
from closedloop.terms import LENGTHS

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ONE = Field(min_length=1, max_length=1)


def zone(name: str) -> ZoneInfo:
    """The time zone with this name; ValueError for one that does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"time zone {name!r} does not exist; usual: UTC, Europe/Berlin, America/New_York") from None


KnownAt = Annotated[str, Field(pattern=r"^(research|creation|handoff|stage|close(\+[1-9][0-9]{0,3})?)$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Kind = Literal["text", "amount", "number", "count", "flag", "date", "month", "time"]


class Source(_Strict):
    """A raw file: bundled in the market's folder, fetched and checked, or anywhere on one's own machine.

    ``path``: of a file or a pattern like ``~/exports/deals-*.csv``. Of several ``files`` the "last" is read (by the day
    in its name, else by number), or "all" as one table; of a record in several, told by the column ``key``, the last
    one's. ``database``: a PostgreSQL address instead, with its ``table``, or "schema.table"; ``$NAMES`` in it come
    from the environment, so that no password stands here. ``member``: the file in an archive. ``skip_lines``: above
    the header, which has ``header_lines``. ``blanks``: what stands for nothing, beside empty cells. ``fill_down``:
    columns in which a value stands only in the first row of its group. ``decimal``, ``dates`` (DMY, MDY, YMD) and
    ``timezone``: how numbers, days and times are written. ``columns``: what each holds; others are text.
    """

    file: str = ""
    path: str = ""
    files: Literal["last", "all"] = "last"
    key: str = ""
    database: str = ""
    table: str = ""
    member: tuple[str, ...] = ()
    url: str | None = None
    page: str | None = None
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    delimiter: Annotated[str, _ONE] = ","
    quote: Annotated[str, _ONE] = '"'
    encoding: str = "utf-8"
    sheet: str | None = None
    skip_lines: int = Field(0, ge=0)
    header_lines: int = Field(1, ge=1, le=3)
    decimal: Literal[".", ","] | None = None
    dates: Literal["YMD", "DMY", "MDY"] | None = None
    timezone: str | None = None
    blanks: tuple[str, ...] = ()
    fill_down: tuple[str, ...] = ()
    columns: dict[str, Kind] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Source":
        if sum(map(bool, (self.file, self.path, self.database))) != 1:
            raise ValueError("one of file (in the market's folder), path (anywhere) and database is needed")
        if (self.files == "all" and not self.path) or (self.key and self.files != "all"):
            raise ValueError('files = "all" goes with a path, and key with files = "all"')
        if bool(self.database) != bool(self.table):
            raise ValueError("database and table go together")
        if (self.url or self.page) and not self.sha256:
            raise ValueError("a source that is fetched needs its sha256")
        if Path(self.file).is_absolute() or ".." in Path(self.file).parts:
            raise ValueError("file must lie inside the market's folder or mirror; path may lie anywhere")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise ValueError(f"encoding {self.encoding!r} does not exist; usual: utf-8, cp1252") from None
        return self

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, timezone: str | None) -> str | None:
        return timezone if timezone is None else zone(timezone).key


class Periods(_Strict):
    """How long a turn of the loop is, and which one runs first; ``year_starts``: the first month of the fiscal year.

    A fiscal year is called after the calendar year in which it ends.
    """

    first: str
    length: str | int
    year_starts: int = Field(1, ge=1, le=12)

    @property
    def shift(self) -> int:
        """How many months the fiscal calendar runs ahead of the other one; months are called as everywhere."""
        return 0 if self.length == "month" else (13 - self.year_starts) % 12

    @field_validator("length")
    @classmethod
    def _exists(cls, length: str | int) -> str | int:
        if length not in LENGTHS and not (isinstance(length, int) and length >= 1):
            raise ValueError(f"allowed: {allowed(LENGTHS)}, or a number of positions from 1 on")
        return length


class Pipeline(_Strict):
    """The stages of one pipeline, in their order."""

    stages: tuple[str, ...]


class Deals(_Strict):
    """The stages of open deals in their order, and the outcomes that the source can record.

    ``keep``: what a deal of this market is, a condition in SQL on the columns that deals.sql gives (other deals are
    left out and counted); ``pipelines``: the stages of each pipeline, where there are several.
    """

    stages: tuple[str, ...] = ()
    outcomes: tuple[Literal["won", "lost", "no_decision"], ...]
    keep: str = ""
    pipelines: dict[str, Pipeline] = {}

    @property
    def every_stage(self) -> tuple[str, ...]:
        """The stages of all pipelines."""
        return tuple(dict.fromkeys([*self.stages, *(name for own in self.pipelines.values() for name in own.stages)]))


class Claims(_Strict):
    """The statistical settings of METHODS 1; rates are fractions, windows are in periods."""

    practical_threshold: float = Field(0.03, gt=0, lt=1)
    smallest_worth: float = Field(0.10, gt=0, lt=1)
    window: int = Field(4, ge=1)
    planned_periods: int = Field(8, ge=1)


class CallList(_Strict):
    """The list to call: the fraction of its places that is drawn, and the age over which leads are to be woken up.

    Without an age it is that by which nineteen of twenty leads that ever went on had done so.
    """

    random_share: float = Field(0.10, ge=0, le=0.5)
    oldest_days: int | None = Field(None, ge=1)


class Experiment(_Strict):
    """A randomised comparison; ``control``: the arm that every other one is compared with."""

    control: str


class Goals(_Strict):
    """What both teams promise each other for one period."""

    n_leads: int | None = None
    accepted_rate: float | None = None
    first_touch_days: float | None = None
    n_touches: int | None = None
    won_amount: float | None = None


class Definition(_Strict):
    """A whole market.toml, plus the market's name and folder."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    folder: Path
    title: str
    """what its pages are headed by"""
    licence: str = "one's own data: not to be published"
    """under which the data may be used"""
    provenance: str = ""
    """where the data come from"""
    currency: str = Field(pattern="^[A-Z]{3}$")
    """that of all amounts, like EUR"""
    timezone: str = "UTC"
    """where days are counted, like Europe/Berlin"""
    clock: Literal["day", "month", "order", "none"] = "day"
    """how well days are known: exactly, the right month, their order alone, not at all"""
    extracted_on: date | Literal["latest"] | None = None
    """the last day that the data cover; latest: the last one that they record"""
    privacy: Literal["strict", "open"] = "strict"
    """strict: e-mail addresses and telephone numbers stop the import, and no message shows one"""
    accept: Literal["auto", "manual"] = "auto"
    """manual: a proposed persona set is in force only after `closedloop accept`"""
    periods: Periods | None = None
    """the turns of the loop"""
    claims: Claims = Claims()  # type: ignore[call-arg]
    """what counts as a difference, and over how many periods"""
    call_list: CallList = CallList()  # type: ignore[call-arg]
    """how leads to call are chosen"""
    experiments: dict[str, Experiment] = {}
    """randomised comparisons, by the names that leads have in `experiment`"""
    sources: dict[str, Source]
    """raw files and tables; a select reads each as `raw.<name>`"""
    deals: Deals | None = None
    """their stages, outcomes and pipelines; needed where there is a deals.sql"""
    fields: dict[str, dict[KnownAt, tuple[str, ...]]] = {}
    """by table: when further columns are known, `creation = ["size"]`; others reach no view"""
    checked: dict[str, tuple[str, ...]] = {}
    """by table: columns that people vouch for: no leak, no identifier, no telephone numbers"""
    items: dict[str, str] = {}
    """by column of respondents: the question that it answers"""
    labels: dict[str, str] = {}
    """by column, or column.level: how people read it"""
    goals: dict[str, Goals] = {}
    """by period: what both teams promise each other"""
    criteria: Criteria = Criteria()  # type: ignore[call-arg]
    """what a segment has to be before anybody aims at it"""

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, timezone: str) -> str:
        return zone(timezone).key

    @model_validator(mode="after")
    def _consistent(self) -> "Definition":
        if problem := self._fields_problem() or self._clock_problem():
            raise ValueError(problem)
        if self.deals is None and (self.folder / "deals.sql").exists():
            raise ValueError("deals.sql needs [deals] with the outcomes that the source records")
        return self

    def _fields_problem(self) -> str:
        if strange := [table for table in self.checked if table not in TABLES]:
            return f"[checked] {strange[0]} is no canonical table; allowed: {allowed(TABLES)}"
        for table, moments in self.fields.items():
            if table not in TABLES:
                return f"[fields.{table}] is no canonical table; allowed: {allowed(TABLES)}"
            times = Counter(name for names in moments.values() for name in names)
            twice = [name for name, n in times.items() if n > 1]
            if twice:
                return f"[fields.{table}] names {twice[0]!r} twice; allowed: one moment for each field"
        return ""

    def _clock_problem(self) -> str:
        if self.clock == "none":
            problem = 'clock = "none" has no dates: leave out extracted_on and [periods]'
            return problem if self.extracted_on or self.periods else ""
        if self.extracted_on is None or self.periods is None:
            return f'clock = "{self.clock}" needs extracted_on and [periods]'
        if (self.clock == "order") != isinstance(self.periods.length, int):
            wanted = "a number of positions" if self.clock == "order" else allowed(LENGTHS)
            return f'periods.length = {self.periods.length!r} does not fit clock = "{self.clock}"; allowed: {wanted}'
        return ""

    @property
    def last_day(self) -> date | None:
        """The last day that the data cover; None where it is the last that they record, until they are read."""
        return self.extracted_on if isinstance(self.extracted_on, date) else None

    @property
    def has_calendar(self) -> bool:
        """Do its dates stand for days? Not where they only give an order, or are not recorded."""
        return self.clock in ("day", "month")

    def known_at(self, table: str) -> dict[str, str]:
        """Declared moment (``stage``, ``close+90``) of every field of a table."""
        return {name: moment for moment, names in self.fields.get(table, {}).items() for name in names}

    def moment(self, table: str, column: str) -> str | None:
        """When a column is known, declared or by the contract; None for an extra one that nobody declared."""
        declared = self.known_at(table).get(column)
        governing = TABLES[table].governing(column)
        if declared or governing is None:
            return declared or ("research" if table == "respondents" and column in self.items else None)
        return governing.moment.name.lower()

    def label(self, column: str, level: object = None) -> str:
        """How people read a column, or one of its levels."""
        if level is None:
            return self.labels.get(column, self.items.get(column, column.replace("_", " ")))
        return self.labels.get(f"{column}.{level}", str(level))


def markets() -> list[str]:
    """The markets that have a definition, in alphabetical order."""
    return sorted(path.parent.name for path in data_folder().glob("*/market.toml"))


def check_slug(kind: str, value: str) -> str:
    """``value`` itself when it is a safe name for a file; else a ParameterError."""
    if not _SLUG.fullmatch(value):
        raise ParameterError(f"{kind} = {value!r} is no name; allowed: a-z, 0-9, - and _, at most 64 characters")
    return value


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: cannot be read as TOML: {error}") from error


PARTS: dict[str, type[BaseModel]] = {
    "sources": Source,
    "periods": Periods,
    "deals": Deals,
    "deals.pipelines": Pipeline,
    "claims": Claims,
    "call_list": CallList,
    "experiments": Experiment,
    "goals": Goals,
    "criteria": Criteria,
    "criteria.attractiveness": Attractiveness,
    "criteria.strength": Strength,
}


def _problems(path: Path, error: ValidationError) -> DefinitionError:
    """All that is wrong with a definition in one error, misspelt keys first: they say more than what is missing."""
    found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    return DefinitionError(f"{path}: {'; '.join(map(_problem, found))}")


def _problem(problem: Mapping[str, Any]) -> str:
    loc, found = problem["loc"], problem["input"]
    key = ".".join(str(part) for part in loc) or "the file as a whole"
    if problem["type"] == "extra_forbidden":
        outer = PARTS.get(str(loc[0]), Definition) if len(loc) > 1 else Definition
        part = PARTS.get(".".join(str(name) for name in loc[:-1]), outer)
        names = [name for name in part.model_fields if name not in ("name", "folder")]
        return f"{key}: unknown key; allowed: {allowed(names, 40)}"
    shown = "" if isinstance(found, dict) else f" (found {str(found)[:80]!r})"
    return f"{key}: {problem['msg'].removeprefix('Value error, ')}{shown}"


@cache
def read_definition(market: str) -> Definition:
    """The definition of ``market``, checked; errors name the file and the key."""
    check_slug("market", market)
    if not (path := data_folder() / market / "market.toml").exists():
        raise ParameterError(f"market = {market!r} does not exist; allowed: {allowed(markets())}; add {path}")
    return definition_in(path.parent)


def definition_in(folder: Path) -> Definition:
    """The definition that lies in a folder, called like it, checked; errors name the file and the key."""
    path = folder / "market.toml"
    try:
        return Definition(name=folder.name, folder=folder, **_read_toml(path))
    except ValidationError as error:
        raise _problems(path, error) from error
    except TypeError as error:
        raise DefinitionError(f"{path}: {error}") from error
