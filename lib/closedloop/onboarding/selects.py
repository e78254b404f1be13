"""The selects of a new market: one for each canonical table, and helpers that several of them need."""

import re
from collections.abc import Iterable, Mapping

import pandas as pd

from closedloop.market.sources import quoted
from closedloop.onboarding.draft import Draft, slug
from closedloop.onboarding.survey import asked


def as_text(value: str) -> str:
    """A text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def _any(values: Iterable[str]) -> str:
    return ", ".join(map(as_text, values)) or "null"


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
    if "respondents" in draft.exports:
        found["respondents"] = _respondents(draft)
    if "spend" in draft.exports:
        found["spend"] = _spend(draft)
    return found


def _respondents(draft: Draft) -> str:
    of = _Select(draft, "respondents")
    of.add(of.raw("respondent_id") if of.has("respondent_id") else "printf('R%05d', t.row_no)", "respondent_id")
    if of.has("answered_on"):
        of.add(of.day("answered_on"), "answered_on")
    of.plain("weight")
    for one in asked(draft):
        column = f"t.{quoted(one.column)}"
        if one.option:
            cell = f"regexp_replace(trim({column}), '\\s*{one.mark}\\s*', '{one.mark}', 'g')"
            column = f"contains('{one.mark}' || {cell} || '{one.mark}', {as_text(one.mark + one.option + one.mark)})"
        elif one.role == "ticked" and of.export.look.kinds[one.column] != "flag":
            column = f"{column} is not null"
        of.add(column, quoted(one.name))
    return of.text("One row per person who answered; an option that is ticked is yes.")


def _spend(draft: Draft) -> str:
    of = _Select(draft, "spend")
    of.add("printf('S%05d', t.row_no)", "spend_id")
    of.add(of.day("starts_on"), "starts_on")
    if of.kind("starts_on") == "month":
        of.add(f"last_day({of.day('starts_on')})", "ends_on")
    elif of.has("ends_on"):
        of.add(of.day("ends_on"), "ends_on")
    of.plain("channel")
    of.plain("campaign")
    amount = of.money(of.day("starts_on"))
    is_sum = of.has("campaign") and any(draft.texts("spend", "campaign"))  # a line without a campaign sums the others
    of.add(f"case when {of.raw('campaign')} is not null then {amount} end" if is_sum else amount, "spent_amount")
    return of.text("One row per campaign and day or month; without a last day the money is of one day.")


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

    def kind(self, role: str) -> str:
        return self.export.look.kinds[self.export.columns[role]]

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

    def money(self, day: str, role: str = "amount") -> str:
        """The amount in the market's currency: as converted in the source, else by the answers."""
        if self.has("amount_converted"):
            return self.raw("amount_converted")
        amount, named = self.raw(role), re.search(r"\(([A-Z]{3})\)", self.export.columns[role])
        if named and not self.draft.is_ours(named[1]):
            return f"in_currency({amount}, '{named[1]}', {day})"
        rows = self.draft.answers["currency"].rows
        if not rows or not self.has("currency"):
            return amount
        code = self.raw("currency")
        kept, empty = ([row["currency"] for row in rows if row["amounts"] == how] for how in ("as they are", "empty"))
        whens = [
            f"when {code} in ({_any(texts)}) then {it}" for texts, it in ((kept, amount), (empty, "null")) if texts
        ]
        rest = f"in_currency({amount}, {code}, {day})"
        return f"case {' '.join(whens)} else {rest} end" if whens else rest

    def key(self, role: str, letter: str) -> str:
        """The identifier of a record; where the source has none, its number in the file."""
        return self.id(role) if self.has(role) else f"printf('{letter}%05d', t.row_no)"

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
                self.add(f"t.{quoted(row['column'])}", quoted(self.draft.fields[self.table, row["column"]]))
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
    """When each deal came into a stage that ends it, where a history tells; later edits of it do not count."""
    if "stage_history" not in draft.exports:
        return {}
    of = _Select(draft, "stage_history")
    lines = [
        "-- When each deal came into the stage that ended it, for good: after it was open for the last time.",
        "with changes as (",
        f"    select {of.id('deal_id')} as deal_id, {of.day('entered_on')} as entered_on, "
        f"{_is_over(of.raw('stage'))} as is_over",
        f"    from raw.{quoted(of.export.look.name)} as t{_stages_only(of)}",
        "),",
        "opened as (select deal_id, max(entered_on) as last_on from changes where not is_over group by deal_id)",
        "",
        "select changes.deal_id, min(entered_on) as closed_on",
        "from changes left join opened using (deal_id)",
        "where is_over and (last_on is null or entered_on >= last_on)",
        "group by 1",
    ]
    return {"_closed": "\n".join(lines) + "\n"}


def _stages_only(of: _Select, also: str = "") -> str:
    """The changes that are of the stage, where a file tells of other columns as well."""
    names = "'stage', 'stagename', 'stage name', 'dealstage', 'deal stage'"
    tests = [f"lower({of.raw('what')}) in ({names})"] if of.has("what") else []
    tests += [also] if also else []
    return f"\n    where {' and '.join(tests)}" if tests else ""


def _select_deals(draft: Draft) -> str:
    of = _Select(draft, "deals")
    told = (("is_won", "won"), ("is_closed", "lost"))
    flags = [f"when {of.raw(role)} then '{meaning}'" for role, meaning in told if of.has(role)]
    said = of.raw(draft.said_by) if draft.said_by else f"case {' '.join(flags)} else 'open' end"
    of.add(of.key("deal_id", "D"), "deal_id")
    if of.has("created_on"):
        of.add(of.day("created_on"), "created_on")
    if of.has("lead_id"):
        of.link("lead_id")
    elif draft.column("leads", "deal_id"):
        lead = _Select(draft, "leads")
        of.joins.append(
            f"left join (select {lead.id('deal_id', first=True)} as deal_id, min({lead.id('lead_id')}) as lead_id "
            f"from raw.{quoted(lead.export.look.name)} as t group by 1) as of_lead "
            f"on of_lead.deal_id = {of.key('deal_id', 'D')}"
        )
        of.add("of_lead.lead_id", "lead_id")
    of.link("account_id")
    for role in ("product", "channel", "campaign", "competitor"):
        of.plain(role)
    if of.has("stage"):
        is_told_apart = draft.said_by == "status"  # then closed deals keep the last stage that they reached
        stage = of.raw("stage")
        of.add(stage if is_told_apart else f"case when not {_is_over(said)} then {stage} end", "stage")
    if of.has("rep"):
        of.add(f"as_code({of.raw('rep')})", "rep_id")
    if of.has("team"):
        of.plain("team", "rep_team")
    of.add(said, "outcome")
    ends = _ends(of, said)
    _money(of, said, ends)
    if of.has("loss_reason"):
        of.add(f"case when {_means(said)} in ('lost', 'no_decision') then {of.raw('loss_reason')} end", "loss_reason")
    _days(of, said, ends)
    for role in ("pipeline", "type"):
        if of.has(role):
            of.plain(role, slug(of.export.columns[role]))
    of.fields()
    return of.text(
        f"One row per deal of {of.export.look.path.name}; what a stage or status means stands in values.csv."
    )


def _means(text: str) -> str:
    """What a stage or status says of a deal's end, by values.csv; missing where it says nothing yet."""
    return f"means('deals', 'outcome', {text})"


def _is_over(text: str) -> str:
    return f"coalesce({_means(text)} <> 'open', false)"


def _money(of: _Select, said: str, days: list[str]) -> None:
    """The amounts, in another currency by the day on which the deal ended, one that is open by the day it began."""
    if not (of.has("amount") or of.has("amount_converted")):
        return
    day = days[0] if len(days) == 1 else f"coalesce({', '.join(days)})" if days else "null"
    if of.has("created_on"):  # no rate is known of a day to come
        begun = of.day("created_on")
        day = f"case when {_means(said)} = 'open' then {begun} else {day} end" if days else begun
    amount = of.money(day)
    paid = f"coalesce(nullif({of.money(day, 'amount_won')}, 0), {amount})" if of.has("amount_won") else amount
    of.add(f"nullif({amount}, 0)", "expected_amount")
    of.add(f"case when {_means(said)} = 'won' then {paid} end", "won_amount")


def _latest(names: Iterable[str]) -> str:
    """The latest of the days in some columns; missing ones do not count."""
    return f"greatest({', '.join(f't.{quoted(name)}::date' for name in names)})"


def _entered(of: _Select, columns: Mapping[str, str]) -> str:
    """The day on which a deal entered a stage: of its own pipeline's column, where pipelines share a stage's name."""
    found = set(of.draft.texts("deals", "pipeline"))
    own = {pipeline: column for pipeline, column in columns.items() if pipeline in found}
    if not own:
        return _latest(columns.values())
    whens = [f"when {as_text(pipeline)} then t.{quoted(column)}::date" for pipeline, column in own.items()]
    rest = [column for pipeline, column in columns.items() if pipeline not in own]
    return f"case {of.raw('pipeline')} {' '.join(whens)}{f' else {_latest(rest)}' if rest else ''} end"


def _ends(of: _Select, said: str) -> list[str]:
    """The days that say when a deal ended, those first that count where there are several.

    Its entry into a closed stage, else when it was won or lost, else the close date.
    """
    recorded = list[str]()
    if "stage_history" in of.draft.exports:
        of.joins.append(f"left join _closed on _closed.deal_id = {of.id('deal_id')}")
        recorded.append("_closed.closed_on")
    ends = {stage: _entered(of, columns) for stage, columns in of.export.entered.items() if not of.draft.is_open(stage)}
    days = [of.day(role) for role in ("won_on", "lost_on", "closed_on", "close_on") if of.has(role)]
    if of.draft.said_by == "stage":  # a deal that was won, opened again and lost ended when it was lost
        entered = [f"case when lower({said}) = lower({as_text(stage)}) then {day} end" for stage, day in ends.items()]
    else:
        entered = [f"greatest({', '.join(ends.values())})"] if ends else []
    return recorded + entered + days


def _days(of: _Select, said: str, days: list[str]) -> None:
    """The end of a deal that is over, and the forecast of one that is not."""
    if days:
        of.add(f"case when {_is_over(said)} then coalesce({', '.join(days)}) end", "closed_on")
    forecast = "expected_close_on" if of.has("expected_close_on") else "close_on"
    if of.has(forecast):
        of.add(f"case when not {_is_over(said)} then {of.day(forecast)} end", "expected_close_on")


def _is_newest_first(draft: Draft) -> bool:
    """Do the changes of a deal fall down the file?"""
    frame = pd.DataFrame(
        {"deal": draft.texts("stage_history", "deal_id"), "on": draft.days("stage_history", "entered_on")}
    )
    steps = frame.groupby("deal")["on"].diff().dropna()
    return bool((steps < pd.Timedelta(0)).sum() > (steps > pd.Timedelta(0)).sum())


def _history(draft: Draft) -> str | None:
    """The recorded changes of deals, from a history or from the columns that say when a stage was entered."""
    if "stage_history" in draft.exports:
        of = _Select(draft, "stage_history")
        key, order = of.id("deal_id"), "t.row_no desc" if _is_newest_first(draft) else "t.row_no"
        of.add(key, "deal_id")
        of.add(f"row_number() over (partition by {key} order by {of.raw('entered_on')}, {order})", "change_no")
        of.add(of.day("entered_on"), "entered_on")
        of.add(of.raw("stage"), "stage")
        if of.has("amount") and not of.has("what"):
            of.add(of.raw("amount"), "expected_amount")
        of.joins.append(_stages_only(of, f"not {_is_over(of.raw('stage'))}").strip())
        return of.text("One row per recorded change; the stage that ends a deal is its end, and no change.")
    stages = {stage: columns for stage, columns in draft.exports["deals"].entered.items() if draft.is_open(stage)}
    if not stages:
        return None
    of = _Select(draft, "deals")
    key, source = of.key("deal_id", "D"), quoted(of.export.look.name)
    parts = [
        f"    select {key} as deal_id, {_entered(of, columns)} as entered_at, {place} as place,\n"
        f"        {as_text(stage)} as stage\n    from raw.{source} as t"
        for place, (stage, columns) in enumerate(stages.items())
    ]
    union = "\n    union all\n".join(parts)
    lines = [
        "-- One row per stage that a deal entered.",
        f"with entered as (\n{union}\n)\n",
        "select",
        "    deal_id,",
        "    row_number() over (partition by deal_id order by entered_at, place) as change_no,",
        "    entered_at::date as entered_on,",
        "    stage",
        "from entered",
        "where entered_at is not null",
        "order by deal_id, change_no",
    ]
    return "\n".join(lines) + "\n"
