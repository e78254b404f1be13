"""The data contract: nine canonical tables, declared once, and which of their columns are fields to compare by."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from closedloop import terms
from closedloop.terms import Moment

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Column:
    """One column of a canonical table.

    ``shown`` names the rule that decides when a cell is visible: ``row`` (with its row), ``handoff``, ``status``,
    ``stage``, ``close``, ``own`` (from the date it holds) or ``share`` (the part of its days that has passed).
    """

    name: str
    meaning: str
    moment: Moment = Moment.CREATION
    shown: str = "row"
    required: bool = False
    values: tuple[str, ...] = ()
    refers: str = ""
    internal: bool = False


@dataclass(frozen=True)
class Table:
    """A canonical table: what one row is, its key, the column that says when the row was born."""

    name: str
    row_is: str
    key: tuple[str, ...]
    born: str
    columns: tuple[Column, ...] = field(default=())

    def column(self, name: str) -> Column | None:
        """The declared column called ``name``; None when it is an extra one."""
        return next((column for column in self.columns if column.name == name), None)

    def governing(self, name: str) -> Column | None:
        """The declared column that says when ``name`` is known: itself, or for ``x_at`` its twin ``x_on``."""
        twin = name.removesuffix("_at") + "_on" if name.endswith("_at") else name
        return self.column(name) or self.column(twin)

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which the table cannot be used."""
        return tuple(column.name for column in self.columns if column.required)


C = Column


def _stage(name: str, meaning: str, *, internal: bool = False) -> Column:
    return Column(name, meaning, Moment.STAGE, "stage", internal=internal)


def _close(name: str, meaning: str, *, required: bool = False, values: tuple[str, ...] = ()) -> Column:
    return Column(name, meaning, Moment.CLOSE, "close", required=required, values=values)


def _own(name: str, meaning: str, moment: Moment) -> Column:
    return Column(name, meaning, moment, "own")


def _link(name: str, meaning: str, *, required: bool = False) -> Column:
    return Column(name, meaning, required=required, refers=name.removesuffix("_id") + "s")


ACCOUNTS = Table(
    "accounts",
    "a firm or household to sell to",
    ("account_id",),
    "created_on",
    (
        C("account_id", "the account", required=True),
        C("created_on", "the day the account entered the records"),
        C("name", "what the account is called", internal=True),
    ),
)
LEADS = Table(
    "leads",
    "a person either team knows (CRM lead or contact)",
    ("lead_id",),
    "created_on",
    (
        C("lead_id", "the lead", required=True),
        C("created_on", "the day either team first knew the lead"),
        _link("account_id", "the lead's account"),
        C("channel", "where the lead came from"),
        C("campaign", "the campaign that brought the lead"),
        C("experiment", "the randomised comparison the lead took part in"),
        C("arm", "the arm that was drawn"),
        C("arm_rate", "share of the experiment's leads drawn into this arm"),
        C("rep_id", "who in sales received the lead", Moment.HANDOFF, "handoff", internal=True),
        C("rep_team", "the team that received the lead", Moment.HANDOFF, "handoff"),
        C("status", "how far the lead has come", Moment.STAGE, "status", values=terms.LEAD_STATUSES),
        _close("rejection_reason", "why sales gave the lead back"),
        _own("marketing_qualified_on", "marketing found the lead worth handing over", Moment.HANDOFF),
        _own("handed_off_on", "marketing handed the lead to sales", Moment.HANDOFF),
        _own("sales_accepted_on", "sales took the lead", Moment.STAGE),
        _own("sales_qualified_on", "sales found an opportunity", Moment.STAGE),
        _own("recycled_on", "sales gave the lead back to marketing", Moment.CLOSE),
        _own("disqualified_on", "the lead was given up", Moment.CLOSE),
    ),
)
RESPONDENTS = Table(
    "respondents",
    "one person's answers in one wave of a survey",
    ("respondent_id",),
    "answered_on",
    (
        C("respondent_id", "the respondent", Moment.RESEARCH, required=True),
        C("answered_on", "the day of the answers", Moment.RESEARCH),
        _link("account_id", "the respondent's account, when linked"),
        _link("lead_id", "the respondent's lead, when linked"),
        C("weight", "how many people of the market the answers stand for (> 0)", Moment.RESEARCH),
    ),
)
DEALS = Table(
    "deals",
    "an opportunity",
    ("deal_id",),
    "created_on",
    (
        C("deal_id", "the deal", required=True),
        C("created_on", "the day the deal was opened"),
        _link("lead_id", "the first contact of the deal"),
        _link("account_id", "the account that would buy"),
        C("product", "the main product"),
        C("channel", "where the deal came from"),
        C("campaign", "the campaign that brought the deal"),
        _stage("stage", "the stage the deal has reached"),
        _stage("expected_amount", "the forecast amount"),
        _stage("expected_close_on", "the forecast day of closing"),
        _stage("competitor", "the main rival; `none` or `unnamed` are values"),
        _stage("rep_id", "who sells", internal=True),
        _stage("rep_team", "the team that sells"),
        _close("outcome", "how the deal ended", required=True, values=terms.OUTCOMES),
        _close("won_amount", "the final amount of a won deal"),
        _close("loss_reason", "why the deal was lost, as the rep says", values=terms.LOSS_REASONS),
        _own("closed_on", "the day the deal ended", Moment.CLOSE),
    ),
)
STAGE_HISTORY = Table(
    "stage_history",
    "a recorded change of a deal",
    ("deal_id", "change_no"),
    "entered_on",
    (
        _link("deal_id", "the deal that changed", required=True),
        C("change_no", "1 for the deal's first change, and so on", required=True),
        C("entered_on", "the day of the change", required=True),
        C("stage", "the stage that was entered", required=True),
        C("expected_amount", "the forecast amount from that day"),
        C("expected_close_on", "the forecast day of closing from that day"),
        C("competitor", "the main rival from that day"),
        C("rep_id", "who sells from that day", internal=True),
        C("rep_team", "the team that sells from that day"),
    ),
)
MATERIALS = Table(
    "materials",
    "a text that a person wrote",
    ("material_id",),
    "added_on",
    (
        C("material_id", "the text", Moment.RESEARCH, required=True),
        C("added_on", "the day the text was released", Moment.RESEARCH),
        C("kind", "what the text is for", Moment.RESEARCH, required=True, values=terms.MATERIAL_KINDS),
        C("title", "its title", Moment.RESEARCH),
        C("text", "its wording", Moment.RESEARCH),
        C("persona", "the persona it is written for", Moment.RESEARCH),
        C("buying_role", "the buying role it is written for", Moment.RESEARCH),
        C("stage", "the stage it is meant for", Moment.RESEARCH),
        C("competitor", "the rival it is about", Moment.RESEARCH),
        C("topic", "the need or question it is about", Moment.RESEARCH),
        _own("retired_on", "the day it was withdrawn", Moment.RESEARCH),
    ),
)
TOUCHES = Table(
    "touches",
    "a contact of either team with a lead",
    ("touch_id",),
    "touched_on",
    (
        C("touch_id", "the contact", required=True),
        C("touched_on", "the day of the contact"),
        _link("lead_id", "the lead that was contacted"),
        _link("deal_id", "the deal the contact was about"),
        _link("account_id", "the account that was contacted"),
        C("from_team", "which team made the contact", values=terms.TEAMS),
        C("direction", "who began", values=terms.DIRECTIONS),
        C("channel", "by which channel"),
        C("campaign", "within which campaign"),
        _link("material_id", "the text that was used"),
        C("buying_role", "the role of the person in the buying committee"),
        C("rep_id", "who in sales made the contact", internal=True),
    ),
)
NOTES = Table(
    "notes",
    "a remark that either team or a buyer made",
    ("note_id",),
    "written_on",
    (
        C("note_id", "the remark", required=True),
        C("written_on", "the day of the remark"),
        C("from_team", "who spoke", required=True, values=terms.NOTE_AUTHORS),
        C("kind", "what the remark is", required=True, values=terms.NOTE_KINDS),
        C("topic", "what it is about"),
        C("text", "its wording", internal=True),
        _link("lead_id", "the lead it is about"),
        _link("deal_id", "the deal it is about"),
        _link("account_id", "the account it is about"),
        _link("material_id", "the text it is about"),
    ),
)
SPEND = Table(
    "spend",
    "money for a channel and campaign over days",
    ("spend_id",),
    "starts_on",
    (
        C("spend_id", "the entry", required=True),
        C("starts_on", "the first day", required=True),
        C("ends_on", "the last day, inclusive; missing: one day"),
        C("channel", "the channel, spelled as in leads"),
        C("campaign", "the campaign, spelled as in leads"),
        C(
            "spent_amount",
            "the money; on a day within: the share of the days before it",
            shown="share",
            required=True,
        ),
    ),
)
TABLES = {
    table.name: table
    for table in (ACCOUNTS, LEADS, RESPONDENTS, DEALS, STAGE_HISTORY, MATERIALS, TOUCHES, NOTES, SPEND)
}

KINDS = {
    "id": "VARCHAR",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "amount": "DECIMAL(18,2)",
    "rate": "DOUBLE",
    "count": "BIGINT",
    "number": "DOUBLE",
    "flag": "BOOLEAN",
    "text": "VARCHAR",
    "any": "",
}


_ENDINGS = {"id": "id", "on": "date", "at": "timestamp", "amount": "amount", "rate": "rate", "days": "count"}


def kind_of(name: str) -> str:
    """What a column's name says about its values: one of KINDS; ``any`` is text or number."""
    head, _, tail = name.rpartition("_")
    if head and tail in _ENDINGS:
        return _ENDINGS[tail]
    if name.startswith("n_") or name == "change_no":
        return "count"
    if name.startswith("is_"):
        return "flag"
    known = "number" if name == "weight" else "text"
    return known if any(table.column(name) for table in TABLES.values()) else "any"


FIELD_TABLES = ("accounts", "leads", "respondents", "deals")  # whose columns are compared, cut and scored by
_NO_FIELDS = ("outcome", "stage", "text", "title")
_FEWEST_VALUES = 20  # with fewer different values a field can be read, however few records there are
_HARDLY_REPEATED = 5  # records of one value
_FEWEST_WORDS = 4  # of a free text, on average
_TEXTS_REPEAT = 5  # records of one value, on average: fixed phrases
_LONG_NUMBER = 8  # digits


def is_field(table: Table, name: str) -> bool:
    """Is a column a field: an extra one, or a canonical category that people are not known by?"""
    if name in _NO_FIELDS or kind_of(name) in ("date", "timestamp"):
        return False  # a day groups nothing
    column = table.governing(name)
    if column is None:
        return True
    return kind_of(name) == "text" and column.shown not in ("own", "share") and not column.internal


@dataclass(frozen=True)
class Likeness:
    """What the values of a field look like: ``n_values`` different ones among the ``n`` records that have one."""

    kind: str
    n_values: int
    n: int

    def __str__(self) -> str:
        return f"looks like {self.kind}: {self.n_values:,} values among {self.n:,} records"


def likeness(values: "pd.Series") -> Likeness | None:
    """Whether a field looks like an identifier or like free text; None for one to compare by.

    Text is an identifier when it has 20 values or more and half of the records bear one that fewer than five share, or
    when there are half as many values as records; free text when it has four words or more on average and its values
    repeat fewer than five times. Numbers are identifiers when no two are equal and they are running ones (more than
    half of the numbers between the lowest and the highest are there) or all of one length of eight digits or more.
    """
    import pandas as pd  # the command line reads the contract without it

    known = values.dropna()
    if len(known) < _FEWEST_VALUES or pd.api.types.is_bool_dtype(known):
        return None
    is_number = pd.api.types.is_numeric_dtype(known)
    if is_number:
        return Likeness("an identifier", len(known), len(known)) if _are_numbered(known) else None
    if not isinstance(known.iloc[0], str):  # dates and amounts are compared in bands
        return None
    sizes = known.value_counts()
    found = len(sizes), len(known)
    if len(sizes) < _FEWEST_VALUES or not all(isinstance(value, str) for value in sizes.index):
        return None
    n_words = sum(len(str(text).split()) * n for text, n in sizes.items())
    if n_words >= _FEWEST_WORDS * len(known) and len(known) < _TEXTS_REPEAT * len(sizes):
        return Likeness("free text", *found)
    n_alone = int(sizes[sizes < _HARDLY_REPEATED].sum())
    return Likeness("an identifier", *found) if 2 * max(n_alone, len(sizes)) >= len(known) else None


def _are_numbered(numbers: "pd.Series") -> bool:
    """Whole numbers, each given once, that run on or are all long and of one length."""
    whole = numbers.astype(float)
    if whole.duplicated().any() or (whole % 1 != 0).any() or (whole < 0).any():
        return False
    low, high = whole.min(), whole.max()
    is_one_length = len(str(int(low))) == len(str(int(high))) >= _LONG_NUMBER
    return bool(high - low + 1 < 2 * len(whole) or is_one_length)


_DICTIONARY_HEAD = "| column | type | known | notes | meaning |\n|---|---|---|---|---|"


def _dictionary_rows(table: Table) -> Iterator[str]:
    for column in table.columns:
        marks = [
            "key" if column.name in table.key else "",
            "required" if column.required and column.name not in table.key else "",
            "born" if column.name == table.born else "",
            "internal" if column.internal else "",
            f"-> `{column.refers}`" if column.refers and column.refers != table.name else "",
        ]
        listed = f" One of: {', '.join(column.values)}." if column.values else ""  # noqa: PD011 - of a column of the contract
        known = {"own": "from the date it holds", "share": "day by day"}.get(column.shown, column.moment.name.lower())
        kind = KINDS[kind_of(column.name)] or "text or number"
        note = ", ".join(mark for mark in marks if mark)
        yield f"| `{column.name}` | {kind} | {known} | {note} | {column.meaning}.{listed} |"


def dictionary() -> str:
    """The data dictionary as Markdown: one section per canonical table."""
    parts = []
    for table in TABLES.values():
        head = f"### `{table.name}`\nOne row is {table.row_is}.\n\n{_DICTIONARY_HEAD}"
        parts.append("\n".join([head, *_dictionary_rows(table)]))
    return "\n\n".join(parts) + "\n"
