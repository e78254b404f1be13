"""A market's records as frames: as known on the day, with their persona, and without what is internal."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from closedloop.errors import ParameterError
from closedloop.market.definition import Definition
from closedloop.market.periods import Period
from closedloop.period.counting import column
from closedloop.period.lead_records import lead_frame, lead_window
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet
from closedloop.personas.research import sample_of
from closedloop.terms import Moment

if TYPE_CHECKING:
    from closedloop.personas.lineage import Lineage


_KEYS = {
    "deals": "deal_id",
    "leads": "lead_id",
    "accounts": "account_id",
    "respondents": "respondent_id",
    "notes": "note_id",
    "touches": "touch_id",
}
_DEALS = ("deal_id", "created_on", "outcome", "closed_on", "age_days", "is_quarter_end", "persona", "period")
_LEADS = ("lead_id", "created_on", "is_accepted", "is_won", "persona", "period")
_DRAWN = ("experiment", "arm", "arm_rate")  # compared as drawn arms alone
_INTERNAL = ("tells_lost", "is_followed")
_CELL_MADE = {"persona": Moment.CREATION, "order": Moment.CREATION, "": Moment.CREATION}
_CELL_MADE |= dict.fromkeys(("period", "is_quarter_end"), Moment.CLOSE)


class Frames:
    """The frames of one situation, and which of its records a notebook's frame holds.

    ``standing``: the run folder whose persona sets are in force.
    """

    def __init__(self, situation: Situation, standing: Path) -> None:
        self.situation, self.standing = situation, standing
        self._given: dict[str, list[tuple[pd.Index, pd.DataFrame]]] = {}  # by table: codes and records of each frame
        self._declared: dict[str, Moment] = {}
        self._chosen_early: set[str] = set()

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

    @cached_property
    def personas(self) -> PersonaSet:
        """The persona set in force."""
        from closedloop.workbench.cells import set_in_force

        return set_in_force(self.market, self.period.name, self.standing)

    @cached_property
    def personas_before(self) -> PersonaSet | None:
        """The set of the period before; None for the first one."""
        from closedloop.workbench.cells import previous, set_in_force

        before = previous(self.situation.warehouse.periods, self.period)
        return set_in_force(self.market, before.name, self.standing) if before else None

    @cached_property
    def lineage(self) -> "Lineage":
        """The personas in force beside the sample of market research and its segments."""
        from closedloop.personas.lineage import Lineage
        from closedloop.personas.research import research

        found = research(self.situation)
        return Lineage(self.situation, found.sample, found.segments, self.personas)

    @cached_property
    def records(self) -> dict[str, pd.DataFrame]:
        """Deals and leads as the market has them, with their persona, by table; what is not recorded is absent."""
        view, found = self.situation.view, {}
        if view.has("deals"):
            found["deals"] = self.situation.deals
        if view.has("leads"):
            found["leads"] = lead_frame(self.situation)
        days = {"deals": "closed_on", "leads": "handed_off_on"}
        return {
            name: frame.assign(
                persona=self.personas.assign(frame),
                period=self.situation.names_of(column(frame, days[name])),
            )
            for name, frame in found.items()
        }

    def deals(self, *, ended: bool = True) -> pd.DataFrame:
        """One row a deal: outcome, dates, amount, fields, persona; those that ended in the window, or every one."""
        frame = self.records.get("deals", pd.DataFrame(columns=list(_DEALS)))
        if ended and len(frame):
            frame = frame.loc[self.situation.closed_deals.index]
        return self._visible("deals", frame)

    def leads(self, *, window: bool = True) -> pd.DataFrame:
        """One row a lead: channel, dates, fields, persona, is_accepted, is_won; those of the window, or every one."""
        frame = self.records.get("leads", pd.DataFrame(columns=list(_LEADS)))
        if window and len(frame):
            frame = lead_window(self.situation, frame)
        return self._visible("leads", frame)

    def prospects(self) -> pd.DataFrame:
        """What a score is learned from: every lead; where none are recorded, every deal."""
        leads = self.leads(window=False)
        return leads if len(leads) else self.deals(ended=False)

    def accounts(self) -> pd.DataFrame:
        """One row a company that is known."""
        return self._visible("accounts", self.situation.known("accounts"))

    def respondents(self) -> pd.DataFrame:
        """One row a person who answered the survey."""
        return self._visible("respondents", self.situation.known("respondents"))

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
        return self._visible("touches", self.situation.known("touches"))

    def spend(self) -> pd.DataFrame:
        """One row a sum of money that marketing spent."""
        return self._visible("spend", self.situation.known("spend"))

    def people(self) -> pd.DataFrame:
        """One row a person, or record, of market research's sample, with the persona that its answers are counted for.

        The persona comes from rules that did not see the row (``Lineage.assigned``).
        """
        lineage = self.lineage
        frame = lineage.sample.rows.assign(persona=lineage.assigned) if len(lineage.sample.rows) else pd.DataFrame()
        return self._visible("people", frame, _KEYS.get(lineage.sample.source, ""))

    def notes(self) -> pd.DataFrame:
        """One row a note of the window, by team, kind, topic and persona; its wording stays in the market's room."""
        from closedloop.personas.notes import notes

        return self._visible("notes", notes(self.situation, self.personas))

    def fields(self, table: str, up_to: str = "creation") -> list[str]:
        """The fields to compare by, known by the moment ``up_to``: none that looks like a leak or an identifier."""
        if not self.situation.view.has(table):
            return []
        return [name for name in self.situation.fields(table, Moment.named(up_to)) if name not in _DRAWN]

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
        found = next((one for one in given if _holds(one[0], frame.index)), None)
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

    def chosen(self, frame: pd.DataFrame, table: str, is_recorded: bool) -> str:
        """Which of the period's records a frame holds, in words; nothing where it holds all that a frame gave."""
        given = [codes for codes, _ in self._given.get(table, [])]
        if not is_recorded or not len(frame) or not given:
            return ""
        if any(len(one) == len(frame) and _holds(one, frame.index) for one in given):
            return ""
        around = min((one for one in given if _holds(one, frame.index)), key=len, default=given[-1])
        return f"{len(frame):,} of {len(around):,} {table} chosen in a cell"


def _holds(given: pd.Index, asked: pd.Index) -> bool:
    """Are all of these records among those that a frame gave?"""
    return bool((given.get_indexer_for(asked) >= 0).all())  # an index keeps its hashes, ``isin`` makes them anew


def _codes(ids: pd.Series) -> list[str]:
    """Short codes for ids, always the same for the same id."""
    hashed = pd.util.hash_array(ids.astype(object).to_numpy(), categorize=False)
    return [f"{value:016x}"[:12] for value in hashed]
