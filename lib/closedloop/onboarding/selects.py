"""The selects of a new market: one for each canonical table, and helpers that several of them need."""

from collections.abc import Iterable

from closedloop.market.sources import quoted
from closedloop.onboarding.draft import Draft, slug


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
    for column, name, role in draft.questions:
        is_option = role == "ticked" and of.export.look.kinds[column] != "flag"
        of.add(f"t.{quoted(column)} is not null" if is_option else f"t.{quoted(column)}", name)
    return of.text("One row per person who answered; an option that is ticked is yes.")


def _spend(draft: Draft) -> str:
    of = _Select(draft, "spend")
    of.add("printf('S%05d', t.row_no)", "spend_id")
    of.add(of.day("starts_on"), "starts_on")
    if of.has("ends_on"):
        of.add(of.day("ends_on"), "ends_on")
    of.plain("channel")
    of.plain("campaign")
    of.add(of.raw("amount"), "spent_amount")
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
    of = _Select(draft, "stage_history")
    lines = [
        "-- When each deal came into the stage that ended it.",
        f"select {of.id('deal_id')} as deal_id, max({of.day('entered_on')}) as closed_on",
        f"from raw.{quoted(of.export.look.name)} as t",
        f"where {_is_over(of.raw('stage'))}",
        "group by 1",
    ]
    return {"_closed": "\n".join(lines) + "\n"}


def _select_deals(draft: Draft) -> str:
    of = _Select(draft, "deals")
    said = of.raw(draft.said_by)
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
        is_told_apart = draft.said_by == "status"  # then closed deals keep the last stage that they reached
        stage = of.raw("stage")
        of.add(stage if is_told_apart else f"case when not {_is_over(said)} then {stage} end", "stage")
    if of.has("rep"):
        of.add(f"as_code({of.raw('rep')})", "rep_id")
    if of.has("team"):
        of.plain("team", "rep_team")
    of.add(said, "outcome")
    _money(of, said)
    _days(of, said)
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


def _money(of: _Select, said: str) -> None:
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
    of.add(f"case when {_means(said)} = 'won' then {amount} end", "won_amount")
    if of.has("loss_reason"):
        of.add(f"case when {_means(said)} in ('lost', 'no_decision') then {of.raw('loss_reason')} end", "loss_reason")


def _days(of: _Select, said: str) -> None:
    """The end of a deal: its entry into a closed stage, else when it was won or lost, else the close date."""
    days = list[str]()
    if of.draft.column("stage_history", "stage"):
        of.joins.append(f"left join _closed on _closed.deal_id = {of.id('deal_id')}")
        days.append("_closed.closed_on")
    days += [f"t.{quoted(column)}::date" for stage, column in of.export.entered.items() if not of.draft.is_open(stage)]
    days += [of.day(role) for role in ("won_on", "lost_on", "closed_on", "close_on") if of.has(role)]
    if days:
        of.add(f"case when {_is_over(said)} then coalesce({', '.join(days)}) end", "closed_on")
    forecast = "expected_close_on" if of.has("expected_close_on") else "close_on"
    if of.has(forecast):
        of.add(f"case when not {_is_over(said)} then {of.day(forecast)} end", "expected_close_on")


def _history(draft: Draft) -> str | None:
    """The recorded changes of deals, from a history or from the columns that say when a stage was entered."""
    if "stage_history" in draft.exports and {"deal_id", "stage", "entered_on"} <= set(
        draft.exports["stage_history"].columns
    ):
        of = _Select(draft, "stage_history")
        key = of.id("deal_id")
        of.add(key, "deal_id")
        of.add(f"row_number() over (partition by {key} order by {of.raw('entered_on')}, t.row_no)", "change_no")
        of.add(of.day("entered_on"), "entered_on")
        of.add(of.raw("stage"), "stage")
        if of.has("amount"):
            of.add(of.raw("amount"), "expected_amount")
        of.joins.append(f"where not {_is_over(of.raw('stage'))}")
        return of.text("One row per recorded change; the stage that ends a deal is its end, and no change.")
    stages = {stage: column for stage, column in draft.exports["deals"].entered.items() if draft.is_open(stage)}
    if not stages:
        return None
    of = _Select(draft, "deals")
    key, source = of.id("deal_id"), quoted(of.export.look.name)
    parts = [
        f"    select {key} as deal_id, t.{quoted(column)} as entered_at, {place} as place, {as_text(stage)} as stage\n"
        f"    from raw.{source} as t"
        for place, (stage, column) in enumerate(stages.items())
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
