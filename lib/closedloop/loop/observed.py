"""What sales playbooks show: whom we met, what was said, how long stages took and what was used, persona by persona."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from closedloop.evidence.claims import Origin
from closedloop.evidence.quantiles import quantile
from closedloop.loop.counting import LEAST_SHOWN, rates, shares
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import won
from closedloop.loop.remarks import about, remarks, state_logged, topics
from closedloop.loop.rivals import NO_DECISION
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft
from closedloop.market.warehouse import fetched

HEARD = ("pain", "objection", "question", "trigger")  # kinds of remarks, in the order that pages follow
_TOUCHES = ["touched_on", "lead_id", "deal_id", "from_team", "material_id", "buying_role"]
_LATE = 0.9  # a deal is late in a stage when nine of ten had left it sooner
Rows = Sequence[Mapping[str, object]]


def observe(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    """State for every persona in force what the records known at the start of the period say of it.

    Deals that ended, and remarks and contacts made, within the window; groups under ten are not stated.
    """
    notes = remarks(situation, in_force)
    for kind in HEARD:
        _logged(draft, situation, notes[notes["kind"] == kind], kind)
    if not situation.view.has("deals"):
        return
    deals = situation.closed_deals.assign(persona=in_force.assign(situation.closed_deals))
    contacts, days = _contacts(situation), _stage_days(situation, deals)
    uses: list[tuple[str, str, pd.Timestamp]] = []
    for persona, part in deals.groupby("persona"):
        page = _Page(draft, situation, str(persona), part)
        mine = notes[notes["persona"] == persona]
        page.rivals()
        page.heard(mine)
        meant = about(contacts, part)
        page.committee(meant)
        page.cadence(meant)
        page.stages(days[days["deal_id"].isin(part["deal_id"])])
        uses += page.materials(meant)
    draft.tables["materials"] = pd.DataFrame(uses, columns=["persona", "material_id", "last_on"])


def _logged(draft: Draft, situation: Situation, said: pd.DataFrame, kind: str) -> None:
    """How many remarks of a kind there are, in the whole market and of each persona."""
    at = ("sales_playbook", _cell_of(kind))
    state_logged(draft, situation, said, at, f"n_{kind}")
    for persona, part in said.groupby("persona"):
        state_logged(draft, situation, part, at, f"n_{kind}", str(persona))


def _cell_of(kind: str) -> str:
    """The section of the playbook that shows a kind of remark."""
    return "objections" if kind == "objection" else "buying"


def _contacts(situation: Situation) -> pd.DataFrame:
    """Contacts within the window."""
    known = fetched(situation.view.known("touches")) if situation.view.has("touches") else pd.DataFrame()
    frame = known.reindex(columns=_TOUCHES)
    frame = frame.assign(touched_on=pd.to_datetime(frame["touched_on"]))
    return situation.in_window(frame, frame["touched_on"])


def _stage_days(situation: Situation, deals: pd.DataFrame) -> pd.DataFrame:
    """Days that deals stayed in each stage that they left: deal_id, stage, days."""
    if not situation.view.has("stage_history") or situation.definition.clock != "day":
        return pd.DataFrame(columns=["deal_id", "stage", "days"])
    history = fetched(situation.view.known("stage_history"))
    moves = history[history["deal_id"].isin(deals["deal_id"])].sort_values(["deal_id", "change_no"], kind="stable")
    changed = moves[moves["stage"] != moves.groupby("deal_id")["stage"].shift()]
    entered = changed["entered_on"]
    left = entered.groupby(changed["deal_id"]).shift(-1)
    return changed[["deal_id", "stage"]].assign(days=(left - entered).dt.days).dropna(subset=["days"])


class _Page:
    """The statements about one persona: its deals that ended, and what belongs to them."""

    def __init__(self, draft: Draft, situation: Situation, persona: str, deals: pd.DataFrame) -> None:
        self.draft, self.persona, self.deals, self.situation = draft, persona, deals, situation
        self.is_won = won(deals).dropna().astype(bool)

    def _origin(self, cell: str, table: str, days: pd.Series) -> Origin:
        return Origin("sales_playbook", cell, table, *self.situation.span(days))

    def _estimate(self, rows: Rows | pd.DataFrame, cell: str, measure: str, table: str = "deals", unit: str = "rate",
                  days: pd.Series | None = None) -> None:  # fmt: skip
        origin = self._origin(cell, table, self.deals["closed_on"] if days is None else days)
        self.draft.estimate(rows, origin, measure, unit=unit, subject=self.persona)

    def _won_of(self, contacts: pd.DataFrame) -> pd.Series:
        """The outcomes of the decided deals that these remarks or contacts belong to."""
        leads = contacts["lead_id"].dropna()
        meant = self.deals["deal_id"].isin(contacts["deal_id"].dropna())
        if "lead_id" in self.deals:
            meant |= self.deals["lead_id"].isin(leads)
        return self.is_won[self.is_won.index.isin(self.deals.index[meant])]

    def rivals(self) -> None:
        """What buyers weighed instead."""
        if "competitor" in self.deals:
            known = self.deals.loc[self.deals["competitor"] != "unknown", "competitor"]
            self._estimate(shares(known, "competitor"), "buying", "weighed_share")
        undecided = int((self.deals["outcome"] == NO_DECISION).sum())
        if undecided >= LEAST_SHOWN:
            self._estimate(rates([("", undecided, len(self.deals))], ""), "buying", "no_decision_share")

    def heard(self, notes: pd.DataFrame) -> None:
        """Topics of remarks by kind, and how deals ended in which an objection was raised."""
        for kind in HEARD:
            days = notes.loc[notes["kind"] == kind, "written_on"]
            self._estimate(topics(notes, kind), _cell_of(kind), f"{kind}_share", "notes", days=days)
        raised = notes[notes["kind"] == "objection"]
        ended = [(topic, self._won_of(part)) for topic, part in raised.groupby("topic")]
        rows = rates([(topic, hits.sum(), len(hits)) for topic, hits in ended], "topic")
        self._estimate(rows, "objections", "win_rate_when_raised")

    def committee(self, contacts: pd.DataFrame) -> None:
        """Who was met in won and in lost deals, of the deals that record any role."""
        met = contacts.dropna(subset=["deal_id", "buying_role"])
        outcomes = self.is_won.set_axis(self.deals.loc[self.is_won.index, "deal_id"])
        recorded = outcomes[outcomes.index.isin(met["deal_id"])]
        if recorded.value_counts().reindex([True, False], fill_value=0).min() < LEAST_SHOWN:
            return
        for ended, name in ((True, "met_in_won_share"), (False, "met_in_lost_share")):
            ids = recorded.index[recorded == ended]
            n_met = met[met["deal_id"].isin(ids)].groupby("buying_role")["deal_id"].nunique()
            self._estimate(rates([(r, k, len(ids)) for r, k in n_met.items()], "buying_role"), "buying", name)

    def stages(self, days: pd.DataFrame) -> None:
        """How long deals stayed in a stage, and after how many days one is late."""
        for share, name in ((0.5, "stage_days"), (_LATE, "stage_late_days")):
            rows: Rows = [
                {"field": "stage", "level": str(stage), **quantile(part, share)}
                for stage, part in days.groupby("stage")["days"]
                if len(part) >= LEAST_SHOWN
            ]
            self._estimate(rows, "stages", name, "stage_history", unit="days")

    def cadence(self, contacts: pd.DataFrame) -> None:
        """How often sales touched a lead that was won."""
        if "lead_id" not in self.deals:
            return
        leads = self.deals.loc[self.deals["outcome"] == "won", "lead_id"].dropna()
        ours = contacts[(contacts["from_team"] == "sales") & contacts["lead_id"].isin(leads)]
        n = ours.groupby("lead_id").size()
        if len(n) >= LEAST_SHOWN:
            self._estimate([quantile(n)], "cadence", "won_touches", "touches", "count", ours["touched_on"])

    def materials(self, contacts: pd.DataFrame) -> Iterator[tuple[str, str, pd.Timestamp]]:
        """How often each text was used, and how those deals ended; yields persona, text and day of its last use."""
        used = contacts.dropna(subset=["material_id"])
        parts = [(str(name), part) for name, part in used.groupby("material_id") if len(part) >= LEAST_SHOWN]
        origin = self._origin("materials", "touches", used["touched_on"])
        rows = [{"field": "material_id", "level": name, "estimate": len(part)} for name, part in parts]
        self.draft.count(rows, origin, "n_used", subject=self.persona)
        ended = [(name, self._won_of(part)) for name, part in parts]
        won_when = rates([(name, hits.sum(), len(hits)) for name, hits in ended], "material_id")
        self._estimate(won_when, "materials", "win_rate_when_used")
        for name, part in parts:
            yield self.persona, name, part["touched_on"].max()
