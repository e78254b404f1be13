"""What each segment is worth and how strong we are in it: the criteria that a market weighs to choose its targets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy

from closedloop.market.periods import Period
from closedloop.period.counting import LEAST_SHOWN, counts, won
from closedloop.period.situation import Situation
from closedloop.personas.lineage import roots
from closedloop.personas.persona_set import PersonaSet
from closedloop.personas.research import Sample
from closedloop.statistics.amounts import mean_amounts, won_per_decided
from closedloop.statistics.cumulative_incidence import cycle_days
from closedloop.statistics.proportions import difference_interval, shrink_rates, standardised
from closedloop.statistics.segmentation.indicators import effective_size, indicator_columns
from closedloop.statistics.segmentation.segments import Segmentation
from closedloop.terms import Moment

UNITS: Mapping[str, str] = {
    "size": "rate", "growth": "points", "won_amount": "amount", "won_amount_per_decided": "amount",
    "needs_served": "rate", "win_rate": "rate", "sales_cycle": "days", "materials_ready": "rate",
}  # fmt: skip
NAMES: Mapping[str, str] = {
    "size": "size: share of the market",
    "growth": "growth: change of its personas' share of new records",
    "won_amount": "amount of a won deal (mean)",
    "won_amount_per_decided": "won amount per decided deal (win rate times amount)",
    "needs_served": "wishes that the offer serves",
    "win_rate": "win rate",
    "sales_cycle": "days to win (median; fewer is better)",
    "materials_ready": "wishes with a message, a proof and an answer",
}
LESS_IS_BETTER = ("sales_cycle",)
OF_DEALS = ("win_rate", "won_amount", "won_amount_per_decided", "sales_cycle")  # criteria made of ended deals alone
COLLECT: Mapping[str, str] = {
    "size": "collect more rows",
    "growth": "record the day on which leads (else deals) were created",
    "won_amount": "record won_amount of deals",
    "won_amount_per_decided": "record outcomes and won_amount of deals",
    "needs_served": "ask for needs in a survey, and write a value proposition for each (`materials`)",
    "win_rate": "record outcomes of deals",
    "sales_cycle": "record the days on which deals were opened and closed",
    "materials_ready": "ask for needs in a survey, and write messages, proofs and answers for each (`materials`)",
}
_MADE_OF: Mapping[str, tuple[str, ...]] = {  # columns of leads or deals that a criterion is counted from
    "growth": ("created_on",), "won_amount": ("won_amount",), "won_amount_per_decided": ("won_amount",),
    "win_rate": ("outcome",), "sales_cycle": ("created_on", "closed_on"),
}  # fmt: skip
_SERVING, _SELLING = ("value_proposition",), ("message", "proof", "answer")


@dataclass(frozen=True)
class Value:
    """A criterion in every segment, (k,) each: estimate, 90 % interval (NaN where unknown), n, and its table.

    ``n_effective``: of a survey with weights; None where all rows count the same.
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray
    source: str
    days: pd.Series
    n_effective: np.ndarray | None = None


@dataclass(frozen=True)
class Criteria:
    """The segments of one day with the personas that stand for them, and what was known of both.

    ``ended``: the deals that ended within the window.
    """

    situation: Situation
    sample: Sample
    found: Segmentation
    in_force: PersonaSet
    ended: pd.DataFrame

    @property
    def ids(self) -> list[str]:
        """The segments, largest first."""
        return [str(segment) for segment in range(self.found.recommended_k)]

    @cached_property
    def assigned(self) -> pd.Series:
        """The persona that the rule gives to each row of the sample."""
        return self.in_force.assign(self.sample.rows)

    @cached_property
    def segment_of(self) -> dict[str, str]:
        """Persona -> the segment whose rows it holds more of than of any other, for that segment's size.

        A part of a split persona stands for the segment that holds most of its rows; one of fewer than ten rows stays
        with its whole. One persona for everyone, or several for one segment, stand for none: nothing in the records
        tells segments apart.
        """
        if len(self.in_force.personas) < 2:
            return {}
        sizes, whole = self.assigned.value_counts(), roots(self.in_force)
        parts = [name for name, of in whole.items() if name != of and sizes.get(name, 0) >= LEAST_SHOWN]
        root = {name: name if name in parts else of for name, of in whole.items()}
        table = pd.crosstab(self.assigned.map(lambda name: root.get(name, name)), self.found.labels.astype(str))
        lift = (table / table.sum()).reindex(columns=self.ids, fill_value=0.0)
        of_root = {str(name): str(row.idxmax()) for name, row in lift.iterrows()}
        of_root |= {name: str(table.loc[name].idxmax()) for name in root if root[name] == name and name in parts}
        found = {name: of_root[root[name]] for name in self.in_force.ids if root[name] in of_root}
        return found if len(set(found.values())) > 1 else {}

    def personas_of(self, segment: str) -> list[str]:
        """The personas that stand for a segment; none when the rule recognises none of it."""
        return [name for name in self.in_force.ids if self.segment_of.get(name) == segment]

    def recognised(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each segment that the rule gives to one of its personas, and rows of each segment."""
        labels = self.found.labels.astype(str)
        is_right = self.assigned.map(self.segment_of) == labels
        k = is_right.groupby(labels).sum().reindex(self.ids, fill_value=0)
        return k.to_numpy(dtype=float), labels.value_counts().reindex(self.ids, fill_value=0).to_numpy(dtype=float)

    def value(self, name: str) -> Value | None:
        """A criterion by name; None where the market's data do not hold it."""
        compute: dict[str, Callable[[], Value | None]] = {
            "size": self._size,
            "growth": self._growth,
            "needs_served": lambda: self._covered(_SERVING),
            "materials_ready": lambda: self._covered(_SELLING),
        }
        if name in compute:
            return compute[name]()
        return None if self.deals is None else of_deals(name, self.deals, self.ids)

    def why_not(self, name: str) -> str:
        """Why a criterion is not counted: too few in some segment, or what to collect."""
        columns = list(_MADE_OF.get(name, ()))
        tables = ("leads", "deals") if name == "growth" else ("deals",)
        known = [self.situation.known(table) for table in tables if columns]
        is_recorded = any(set(columns) <= set(rows) and len(rows.dropna(subset=columns)) for rows in known)
        if name == "growth" and is_recorded and len(self._past) < 2:
            return "recorded, and two periods have to be over to compare"
        if is_recorded and self._is_unseen:
            return "recorded, but records are told by their persona, and none stands for some segment"
        return "recorded, in some segment too few yet" if is_recorded else COLLECT[name]

    @cached_property
    def _past(self) -> list[Period]:
        """The periods that are over."""
        return [period for period in self.situation.warehouse.periods if period.end <= self.situation.on]

    @property
    def _is_unseen(self) -> bool:
        """Is there a segment that no persona stands for, so that none of its records can be counted?"""
        return not {*self.ids} <= {*self.segment_of.values()}

    def _size(self) -> Value:
        sizes, n = self.found.sizes, len(self.found.labels)
        share, low, high = (sizes[end].to_numpy(dtype=float) for end in ("share", "low", "high"))
        sure, days = sizes["n_effective"].to_numpy(dtype=float), self.sample.days
        return Value(share, low, high, np.full(len(sizes), n), self.sample.source, days, sure)

    def _growth(self) -> Value | None:
        """Share of the records that came in the last period, less its share in the rest of the window."""
        table = next((name for name in ("leads", "deals") if self.situation.view.has(name)), None)
        past = self._past
        if table is None or not self.situation.is_dated or len(past) < 2 or self._is_unseen:
            return None
        rows = self.situation.view.with_fields(table, Moment.CREATION)
        if "created_on" not in rows:
            return None
        rows = self.situation.in_window(rows, rows["created_on"])
        days = rows["created_on"]
        mine, is_last = self._segments(rows), days >= pd.Timestamp(past[-1].start)
        counted = (mine[part].value_counts().reindex(self.ids, fill_value=0) for part in (is_last, ~is_last))
        k, k_before = (n.to_numpy(dtype=float) for n in counted)
        if min(is_last.sum(), (~is_last).sum()) < LEAST_SHOWN:
            return None
        gap, low, high = difference_interval(k, float(is_last.sum()), k_before, float((~is_last).sum()))
        return Value(gap, low, high, np.full(len(k), int(is_last.sum())), table, days)

    def _segments(self, rows: pd.DataFrame) -> pd.Series:
        """The segment of each record, by its persona."""
        return self.in_force.assign(rows).map(self.segment_of)

    @cached_property
    def deals(self) -> pd.DataFrame | None:
        """The deals that ended, with their segment; None where nothing can be said."""
        if not self.segment_of or self.ended.empty:
            return None
        has_days = self.situation.definition.clock == "day"
        deals = self.ended if has_days else self.ended.assign(age_days=np.nan)
        return deals.assign(segment=self._segments(self.ended), period=self.situation.names_of(self.ended["closed_on"]))

    def _covered(self, kinds: tuple[str, ...]) -> Value | None:
        """Of all that a segment's members wish for, the share for which texts of all these kinds are released."""
        if self.sample.source != "respondents" or not self.situation.view.has("materials"):
            return None
        wishes = pd.concat([indicator_columns(self.sample.rows[name]) for name in self.sample.items], axis=1)
        wishes = wishes.loc[:, [name for name in self.sample.items if name in wishes]]
        ready = self._topics(kinds)
        is_ready = np.array([str(name).partition("_")[2] in ready for name in wishes])
        if wishes.empty:
            return None
        counted = pd.DataFrame({"met": wishes.loc[:, is_ready].sum(axis=1), "all": wishes.sum(axis=1)})
        members, weights = [self.found.labels.astype(str) == segment for segment in self.ids], self.sample.weights
        parts = [_ratio((counted if weights is None else counted.mul(weights, axis=0))[part]) for part in members]
        share, low, high, n = (np.array([part[place] for part in parts]) for place in range(4))
        sure = None if weights is None else np.array([effective_size(weights[part].to_numpy()) for part in members])
        return Value(share, low, high, n, "respondents", self.sample.days, sure)

    def _topics(self, kinds: tuple[str, ...]) -> set[str]:
        """The topics that texts of every one of these kinds speak about, as released on the day."""
        texts = self.situation.known("materials").reindex(columns=["kind", "topic", "retired_on"])
        current = texts[texts["retired_on"].isna() & texts["topic"].notna()]
        found = [set(current.loc[current["kind"] == kind, "topic"]) for kind in kinds]
        return set.intersection(*found)


def of_deals(name: str, deals: pd.DataFrame, ids: list[str]) -> Value | None:
    """A criterion that is made of ``deals`` alone; None where it cannot be told of every segment of ``ids``.

    ``deals``: one row a deal that ended: segment, outcome, closed_on and its period, age_days, and won_amount where it
    is recorded. Win rates are those of like periods: who was met in good times is not stronger for it.
    """
    hit, is_won = won(deals).dropna().astype(float), deals["outcome"] == "won"
    if name == "win_rate":
        known = deals.loc[hit.index].dropna(subset="segment")
        hit = hit[known.index]
        table = counts(known, ["segment"], hit, known["period"]).set_index("level").reindex(ids)
        base, total = hit.mean(), table["n"].sum()
        k, n = standardised(table["k"], table["n"], table["expected"], table["contrast"], base, total)
        if not (n >= LEAST_SHOWN).all():
            return None
        rates = shrink_rates(k, n)
        return Value(rates.mean, rates.low, rates.high, table["n"].to_numpy(dtype=int), "deals", deals["closed_on"])
    if name == "sales_cycle":
        rows = deals[is_won & deals["age_days"].notna()]
        parts = [rows[rows["segment"] == segment] for segment in ids]
        table = pd.DataFrame([cycle_days(part["age_days"], part["outcome"]) for part in parts], index=ids)
    elif "won_amount" not in deals:
        return None
    elif name == "won_amount":
        rows = deals[is_won & (deals["won_amount"] > 0)]
        table = mean_amounts(rows["won_amount"].astype(float), rows["segment"]).set_index("group").reindex(ids)
    else:
        rows = deals.loc[hit.index]
        brought = won_per_decided(rows["outcome"] == "won", rows["won_amount"].astype(float), rows["segment"])
        table = brought.set_index("group").reindex(ids)
    figures = table[["estimate", "low", "high"]].astype(float)
    if not (table["n"].fillna(0) >= LEAST_SHOWN).all() or figures.isna().any().any():
        return None
    mean, low, high = (figures[end].to_numpy() for end in figures)
    return Value(mean, low, high, table["n"].to_numpy(dtype=int), "deals", rows["closed_on"])


def _ratio(wishes: pd.DataFrame) -> tuple[float, float, float, int]:
    """Wishes met of all wishes with its interval (ratio estimator, linearised) and the number of members."""
    n, total = len(wishes), wishes["all"].sum()
    if n < LEAST_SHOWN or not total:
        return np.nan, np.nan, np.nan, n
    share = wishes["met"].sum() / total
    error = np.sqrt(n * (wishes["met"] - share * wishes["all"]).var()) / total
    reach = scipy.stats.norm.isf(0.05) * error
    return share, max(share - reach, 0.0), min(share + reach, 1.0), n
