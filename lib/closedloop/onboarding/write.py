"""A new market's folder: market.toml with comments, one select for each table, values.csv, and a .gitignore."""

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from closedloop.errors import ParameterError
from closedloop.market.definition import Definition, Periods
from closedloop.market.files import write_atomic
from closedloop.market.periods import period_of
from closedloop.market.sources import quoted
from closedloop.market.staging.meanings import Meaning, written
from closedloop.onboarding.draft import UNKNOWN, Draft
from closedloop.onboarding.recognise import Export

_IGNORE = (
    "# customers' data stay here: only the definition may leave this machine\n*\n!.gitignore\n!market.toml\n!*.sql\n"
)
_HISTORY, _FEWEST_CLOSED = 4, 20  # periods before the first one that runs; deals of a period that teaches anything
_FIRST_OF = 3  # of the periods, where there are few
_WORD = re.compile(r"[\W_]+")


def folder_of(draft: Draft, folder: Path) -> list[Path]:
    """Write the market's folder; nothing of the exports is copied. Errors: ParameterError where it is there already."""
    if folder.exists():
        raise ParameterError(f"{folder} exists; choose another name, or change what is there by hand")
    texts = {f"{table}.sql": select for table, select in selects(draft).items()}
    texts |= {"market.toml": definition(draft), ".gitignore": _IGNORE, "key": secrets.token_hex(16) + "\n"}
    rows = draft.answers["values"].rows
    texts["values.csv"] = written(
        [Meaning(*(row[name] for name in ("table", "column", "written", "meaning", "n"))) for row in rows]
    )
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())
    return [folder / name for name in sorted(texts)]


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{json.dumps(str(k), ensure_ascii=False)} = {toml(v)}" for k, v in value.items()) + " }"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def definition(draft: Draft) -> str:
    """The text of market.toml."""
    head = [
        f"title = {toml(draft.market.replace('-', ' ').capitalize())}",
        f"currency = {toml(draft.currency)}",
        f"timezone = {toml(draft.timezone)}                # where days are counted",
        'clock = "day"' if _dated(draft) else 'clock = "none"',
    ]
    if _dated(draft):
        head.append('extracted_on = "latest"           # the last day that the data record')
    parts = ["\n".join(head), *_periods(draft)]
    for name, export in _named(draft).items():
        parts.append(_source(draft, name, export))
    if "deals" in draft.exports:
        parts.append(_deals(draft))
    parts += _fields(draft)
    return "\n\n".join(parts) + "\n"


def _dated(draft: Draft) -> bool:
    return any("created_on" in export.columns or "answered_on" in export.columns for export in draft.exports.values())


def _named(draft: Draft) -> dict[str, Export]:
    return {export.look.name: export for export in draft.exports.values()}


def _source(draft: Draft, name: str, export: Export) -> str:
    answers = {row["setting"]: row["value"] for row in draft.answers["dates"].rows if row["source"] == name}
    settings = {**export.look.settings, **answers}
    columns = settings.pop("columns")
    lines = [f"[sources.{name}]                    # {export.system or 'an export'}: {export.table}"]
    lines += [f"{key} = {toml(value)}" for key, value in settings.items()]
    used = {**dict.fromkeys(export.columns.values(), True), **dict.fromkeys(export.entered.values(), True)}
    used |= {
        row["column"]: True for row in draft.answers["known"].rows if row["table"] == export.table and row["known"]
    }
    lines.append(f"[sources.{name}.columns]")
    lines += [f"{json.dumps(column, ensure_ascii=False)} = {toml(kind)}" for column, kind in columns.items() if column in used
              or export.table == "respondents"]  # fmt: skip
    return "\n".join(lines)


def _periods(draft: Draft) -> list[str]:
    if not _dated(draft):
        return []
    starts = next((int(row["value"]) for row in draft.answers["dates"].rows if row["setting"] == "year_starts"), 1)
    days = _closing_days(draft)
    length, first = "quarter", ""
    for length in ("quarter", "half", "year"):
        periods = Periods(first="-", length=length, year_starts=starts)
        counts = pd.Series([period_of(day.date(), periods).name for day in days]).value_counts().sort_index()
        able = counts[counts >= _FEWEST_CLOSED]
        if len(able) >= _FIRST_OF:
            first = str(able.index[min(_HISTORY, len(able) // _FIRST_OF)])
            break
    else:
        first = (
            period_of(max(days).date(), Periods(first="-", length=length, year_starts=starts)).name if days else "2024"
        )
    year = f"\nyear_starts = {starts}                   # month" if starts != 1 else ""
    return [
        f"[periods]\nfirst = {toml(first)}                 # earlier deals are history\nlength = {toml(length)}{year}"
    ]


def _closing_days(draft: Draft) -> list[pd.Timestamp]:
    found = list[pd.Timestamp]()
    for table, roles in (("deals", ("won_on", "lost_on", "closed_on", "close_on", "created_on")), ("leads", ("created_on",)),
                         ("respondents", ("answered_on",))):  # fmt: skip
        for role in roles:
            if draft.column(table, role):
                days = [day for day in draft.days(table, role) if not pd.isna(day)]
                last = (
                    max(draft.days(table, "created_on"), default=pd.NaT)
                    if draft.column(table, "created_on")
                    else pd.NaT
                )
                found += [day for day in days if pd.isna(last) or day <= last]
                if found and role not in ("won_on",):
                    return found
    return found


def _deals(draft: Draft) -> str:
    meant = _meant(draft)
    told = [name for name in ("won", "lost", "no_decision") if meant[name]]
    lines = ["[deals]", f"stages = {toml(_stages(draft))}", f"outcomes = {toml(told)}"]
    gone = [
        row
        for row in draft.answers["deals"].rows
        if not row["keep"] and row["column"] != draft.column("deals", "is_deleted")
    ]
    if gone:
        by = {
            column: [row["value"] for row in gone if row["column"] == column]
            for column in dict.fromkeys(row["column"] for row in gone)
        }
        tests = [
            f"coalesce({slug(column)}, '') not in ({', '.join(map(_text, values))})" for column, values in by.items()
        ]
        lines.append(f"keep = {toml(' and '.join(tests))}")
    return "\n".join(lines)


def _stages(draft: Draft) -> list[str]:
    """The open stages in the order in which deals pass them, as far as the files tell."""
    if not draft.column("deals", "stage"):
        return []
    opened = [text for text in dict.fromkeys(filter(None, draft.texts("deals", "stage"))) if _is_open(draft, text)]
    entered = list(draft.exports["deals"].entered)
    if entered:
        return [stage for stage in entered if _is_open(draft, stage)]
    if "stage_history" in draft.exports:
        frame = pd.DataFrame({name: draft.texts("stage_history", name) for name in ("deal_id", "stage")})
        frame["on"] = draft.days("stage_history", "entered_on")
        frame = frame.dropna().sort_values("on", kind="stable")
        frame["place"] = frame.groupby("deal_id").cumcount()
        means = frame.groupby("stage")["place"].mean().sort_values(kind="stable")
        return [stage for stage in means.index if _is_open(draft, stage)]
    return opened


def _meant(draft: Draft) -> dict[str, list[str]]:
    """The texts of each outcome."""
    found: dict[str, list[str]] = {name: [] for name in ("won", "lost", "no_decision", "open")}
    for row in draft.answers["values"].rows:
        if (row["table"], row["column"]) == ("deals", "outcome") and row["meaning"] in found:
            found[row["meaning"]].append(row["written"])
    return found


def _is_open(draft: Draft, stage: str) -> bool:
    words = {row["written"]: row["meaning"] for row in draft.answers["values"].rows if row["column"] == "outcome"}
    return words.get(stage, draft.outcomes.get(stage, ("open", True))[0]) == "open"


def _fields(draft: Draft) -> list[str]:
    parts = []
    for table in ("accounts", "leads", "deals", "respondents"):
        by: dict[str, list[str]] = {}
        for row in draft.answers["known"].rows:
            if row["table"] == table and row["known"]:
                by.setdefault(row["known"], []).append(slug(row["column"]))
        if by:
            lines = [f"[fields.{table}]", *(f"{moment} = {toml(names)}" for moment, names in by.items())]
            left = [one.column for one in draft.left_out if one.table == table]
            lines += [
                f"# left out: {name}: {one.why}"
                for name, one in zip(left, (o for o in draft.left_out if o.table == table), strict=True)
            ][:40]
            parts.append("\n".join(lines))
    labels = {slug(row["column"]): row["column"] for row in draft.answers["known"].rows if row["known"]}
    if labels:
        parts.append(
            "\n".join(["[labels]", *(f"{name} = {toml(label.lower())}" for name, label in sorted(labels.items()))])
        )
    return parts


def slug(column: str) -> str:
    """A column's name as the contract writes names."""
    found = _WORD.sub("_", column.casefold()).strip("_") or UNKNOWN
    return f"c_{found}" if found[0].isdigit() else found


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _any(values: Iterable[str]) -> str:
    return ", ".join(map(_text, values)) or "null"


def selects(draft: Draft) -> dict[str, str]:
    """The select of each table, and of its helpers."""
    found: dict[str, str] = {}
    for table in ("accounts", "leads"):
        if table in draft.exports:
            found |= _merged(draft, table)
            found[table] = _records(draft, table)
    if "deals" in draft.exports:
        found |= _closed(draft)
        found["deals"] = _select_deals(draft)
        if (history := _history(draft)) is not None:
            found["stage_history"] = history
    return found


class _Select:
    """A select in the making: items with their names, and joins."""

    def __init__(self, draft: Draft, table: str) -> None:
        self.draft, self.table, self.export = draft, table, draft.exports[table]
        self.items: list[str] = []
        self.joins: list[str] = []
        self.alias = "t"

    def has(self, role: str) -> bool:
        return role in self.export.columns

    def raw(self, role: str) -> str:
        return f"t.{quoted(self.export.columns[role])}"

    def add(self, expression: str, name: str) -> None:
        self.items.append(f"{expression} as {name}")

    def plain(self, role: str, name: str = "") -> None:
        if self.has(role):
            self.add(self.raw(role), name or role)

    def day(self, role: str) -> str:
        return f"{self.raw(role)}::date"

    def id(self, role: str, *, first: bool = False) -> str:
        """An identifier: the first of several, in the long form where the system has two."""
        text = f"nullif(trim(split_part({self.raw(role)}, ';', 1)), '')" if first else self.raw(role)
        return f"as_id({text})" if self.export.system == "Salesforce" else text

    def link(self, role: str) -> None:
        """A link to another table, led to the record that it was merged into."""
        if not self.has(role):
            return
        own, upper = self.id(role, first=True), {"account_id": "accounts", "lead_id": "leads"}[role]
        if upper in self.draft.exports and _has_merged(self.draft, upper):
            self.joins.append(f"left join _merged_{upper} as m_{upper} on m_{upper}.merged_id = {own}")
            own = f"coalesce(m_{upper}.id, {own})"
        self.add(own, role)

    def fields(self) -> None:
        """The columns that are declared, and those that say which deals are kept."""
        for row in self.draft.answers["known"].rows:
            if row["table"] == self.table and row["known"]:
                self.add(f"t.{quoted(row['column'])}", slug(row["column"]))
        if self.has("is_deleted"):
            self.add(self.raw("is_deleted"), "is_deleted")

    def text(self, comment: str) -> str:
        listed = ",\n".join(f"    {item}" for item in self.items)
        joins = "".join(f"\n{join}" for join in self.joins)
        return (
            f"-- {comment}\nselect\n{listed}\nfrom raw.{quoted(self.export.look.name)} as t{joins}\norder by t.row_no\n"
        )


def _has_merged(draft: Draft, table: str) -> bool:
    return bool(draft.column(table, "merged") or draft.column(table, "survivor"))


def _merged(draft: Draft, table: str) -> dict[str, str]:
    """Which record each merged one lives on in."""
    if not _has_merged(draft, table):
        return {}
    of, key = _Select(draft, table), {"accounts": "account_id", "leads": "lead_id"}[table]
    source = quoted(of.export.look.name)
    if of.has("merged"):
        text = (f"select trim(unnest(string_split({of.raw('merged')}, ';'))) as merged_id, {of.id(key)} as id\n"
                f"from raw.{source} as t\nwhere {of.raw('merged')} is not null\n")  # fmt: skip
    else:
        text = (f"select {of.id(key)} as merged_id, {of.id('survivor')} as id\nfrom raw.{source} as t\n"
                f"where {of.raw('survivor')} is not null\n")  # fmt: skip
    return {f"_merged_{table}": f"-- Which record each merged one lives on in.\n{text}"}


_MILESTONES = ("marketing_qualified_on", "handed_off_on", "sales_accepted_on", "sales_qualified_on", "recycled_on",
               "disqualified_on")  # fmt: skip


def _records(draft: Draft, table: str) -> str:
    of = _Select(draft, table)
    of.add(
        of.id({"accounts": "account_id", "leads": "lead_id"}[table]),
        {"accounts": "account_id", "leads": "lead_id"}[table],
    )
    if of.has("created_on"):
        of.add(of.day("created_on"), "created_on")
    if table == "leads":
        of.link("account_id")
        of.plain("channel")
        of.plain("campaign")
        if of.has("rep"):
            of.add(f"as_code({of.raw('rep')})", "rep_id")
        of.plain("status")
        for role in _MILESTONES:
            if of.has(role):
                of.add(of.day(role), role)
    of.fields()
    return of.text(f"One row per record of {of.export.look.path.name}.")


def _closed(draft: Draft) -> dict[str, str]:
    """When each deal came into a stage that ends it, where a history tells."""
    if "stage_history" not in draft.exports or not draft.column("stage_history", "stage"):
        return {}
    of, meant = _Select(draft, "stage_history"), _meant(draft)
    ends = [*meant["won"], *meant["lost"], *meant["no_decision"]]
    text = (f"select {of.id('deal_id')} as deal_id, max({of.day('entered_on')}) as closed_on\n"
            f"from raw.{quoted(of.export.look.name)} as t\nwhere {of.raw('stage')} in ({_any(ends)})\ngroup by 1\n")  # fmt: skip
    return {"_closed": f"-- When each deal came into the stage that ended it.\n{text}"}


def _select_deals(draft: Draft) -> str:
    of, meant = _Select(draft, "deals"), _meant(draft)
    said = of.raw(draft.said_by)
    ended = f"{said} in ({_any([*meant['won'], *meant['lost'], *meant['no_decision']])})"
    of.add(of.id("deal_id"), "deal_id")
    if of.has("created_on"):
        of.add(of.day("created_on"), "created_on")
    if of.has("lead_id"):
        of.link("lead_id")
    elif draft.column("leads", "deal_id"):
        lead = _Select(draft, "leads")
        of.joins.append(
            f"left join (select {lead.id('deal_id', first=True)} as deal_id, min({lead.id('lead_id')}) as lead_id from "
            f"raw.{quoted(lead.export.look.name)} as t group by 1) as of_lead on of_lead.deal_id = {of.id('deal_id')}"
        )
        of.add("of_lead.lead_id", "lead_id")
    of.link("account_id")
    for role in ("product", "channel", "campaign", "competitor"):
        of.plain(role)
    if of.has("stage"):
        of.add(f"case when not coalesce({ended}, false) then {of.raw('stage')} end", "stage")
    if of.has("rep"):
        of.add(f"as_code({of.raw('rep')})", "rep_id")
    if of.has("team"):
        of.plain("team", "rep_team")
    of.add(said, "outcome")
    _money(of, meant, said)
    _days(of, meant, ended)
    for role in ("pipeline", "type"):
        if of.has(role):
            of.plain(role, slug(of.export.columns[role]))
    of.fields()
    return of.text(
        f"One row per deal of {of.export.look.path.name}; what a stage or status means stands in values.csv."
    )


def _money(of: _Select, meant: Mapping[str, list[str]], said: str) -> None:
    if not of.has("amount"):
        return
    amount = of.raw("amount")
    if of.draft.answers["currency"].rows:
        day = of.day("close_on") if of.has("close_on") else of.day("created_on")
        empty = [row["currency"] for row in of.draft.answers["currency"].rows if row["amounts"] == "empty"]
        amount = f"in_currency({amount}, {of.raw('currency')}, {day})"
        amount = (
            f"case when coalesce({of.raw('currency')}, '') not in ({_any(empty)}) then {amount} end"
            if empty
            else amount
        )
    of.add(amount, "expected_amount")
    of.add(f"case when {said} in ({_any(meant['won'])}) then {amount} end", "won_amount")
    if of.has("loss_reason"):
        of.add(f"case when {said} in ({_any([*meant['lost'], *meant['no_decision']])}) then {of.raw('loss_reason')} end",
               "loss_reason")  # fmt: skip


def _days(of: _Select, meant: Mapping[str, list[str]], ended: str) -> None:
    """The end of a deal: its entry into a closed stage, else when it was won or lost, else the close date."""
    days = list[str]()
    if of.draft.column("stage_history", "stage"):
        of.joins.append(f"left join _closed on _closed.deal_id = {of.id('deal_id')}")
        days.append("_closed.closed_on")
    days += [
        f"t.{quoted(column)}::date" for stage, column in of.export.entered.items() if not _is_open(of.draft, stage)
    ]
    days += [of.day(role) for role in ("won_on", "lost_on", "closed_on", "close_on") if of.has(role)]
    if days:
        of.add(f"case when {ended} then coalesce({', '.join(days)}) end", "closed_on")
    forecast = "expected_close_on" if of.has("expected_close_on") else "close_on"
    if of.has(forecast):
        of.add(f"case when not coalesce({ended}, false) then {of.day(forecast)} end", "expected_close_on")


def _history(draft: Draft) -> str | None:
    """The recorded changes of deals, from a history or from the columns that say when a stage was entered."""
    if "stage_history" in draft.exports and {"deal_id", "stage", "entered_on"} <= set(
        draft.exports["stage_history"].columns
    ):
        of, meant = _Select(draft, "stage_history"), _meant(draft)
        ends = [*meant["won"], *meant["lost"], *meant["no_decision"]]
        key = of.id("deal_id")
        of.add(key, "deal_id")
        of.add(f"row_number() over (partition by {key} order by {of.raw('entered_on')}, t.row_no)", "change_no")
        of.add(of.day("entered_on"), "entered_on")
        of.add(of.raw("stage"), "stage")
        if of.has("amount"):
            of.add(of.raw("amount"), "expected_amount")
        of.joins.append(f"where {of.raw('stage')} not in ({_any(ends)})")
        return of.text("One row per recorded change; the stage that ends a deal is its end, and no change.")
    stages = {stage: column for stage, column in draft.exports["deals"].entered.items() if _is_open(draft, stage)}
    if not stages:
        return None
    of = _Select(draft, "deals")
    key, source = of.id("deal_id"), quoted(of.export.look.name)
    parts = [f"    select {key} as deal_id, t.{quoted(column)} as entered_at, {place} as place, {_text(stage)} as stage from raw.{source} as t"
             for place, (stage, column) in enumerate(stages.items())]  # fmt: skip
    union = "\n    union all\n".join(parts)
    return (f"-- One row per stage that a deal entered.\nwith entered as (\n{union}\n)\n\nselect\n    deal_id,\n"
            "    row_number() over (partition by deal_id order by entered_at, place) as change_no,\n    entered_at::date as entered_on,\n"
            "    stage\nfrom entered\nwhere entered_at is not null\norder by deal_id, change_no\n")  # fmt: skip


def read_back(folder: Path) -> Definition:
    """The definition as it was written, checked."""
    from closedloop.market.definition import read_definition

    return read_definition(folder.name)
