"""What each segment is worth and how strong we are in it: the criteria that a market weighs to choose its targets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import scipy

from closedloop.evidence.agreement import difference_interval
from closedloop.evidence.amounts import mean_amounts
from closedloop.evidence.curves import cycle_days
from closedloop.evidence.decided import won_per_decided
from closedloop.evidence.profiles import indicator_columns
from closedloop.evidence.rates import shrink_rates
from closedloop.evidence.segments import Segmentation
from closedloop.evidence.survey_weights import effective_size
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.lineage import roots
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import Sample, won
from closedloop.loop.situation import Situation
from closedloop.market.warehouse import fetched
from closedloop.questions.sample import days_of
from closedloop.terms import Moment

UNITS: Mapping[str, str] = {
    "size": "rate", "growth": "points", "won_amount": "amount", "won_amount_per_decided": "amount",
    "needs_served": "rate", "win_rate": "rate", "sales_cycle": "days", "materials_ready": "rate",
}  # fmt: skip
LESS_IS_BETTER = ("sales_cycle",)
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

        The parts of a split persona stay with it. One persona for everyone stands for no segment: nothing in the
        records tells segments apart.
        """
        if len(self.in_force.personas) < 2:
            return {}
        root = roots(self.in_force)
        table = pd.crosstab(self.assigned.map(lambda name: root.get(name, name)), self.found.labels.astype(str))
        lift = (table / table.sum()).reindex(columns=self.ids, fill_value=0.0)
        of_root = {str(name): str(row.idxmax()) for name, row in lift.iterrows()}
        return {name: of_root[root[name]] for name in self.in_force.ids if root[name] in of_root}

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
            "won_amount": self._won_amount,
            "won_amount_per_decided": self._won_amount_per_decided,
            "needs_served": lambda: self._covered(_SERVING),
            "win_rate": self._win_rate,
            "sales_cycle": self._sales_cycle,
            "materials_ready": lambda: self._covered(_SELLING),
        }
        return compute[name]()

    def _size(self) -> Value:
        sizes, n = self.found.sizes, len(self.found.labels)
        share, low, high = (sizes[end].to_numpy(dtype=float) for end in ("share", "low", "high"))
        sure, days = sizes["n_effective"].to_numpy(dtype=float), days_of(self.sample.rows)
        return Value(share, low, high, np.full(len(sizes), n), self.sample.source, days, sure)

    def _growth(self) -> Value | None:
        """Share of the records that came in the last period, less its share in the rest of the window."""
        table = next((name for name in ("leads", "deals") if self.situation.view.has(name)), None)
        past = [period for period in self.situation.warehouse.periods if period.end <= self.situation.on]
        if table is None or not self.situation.is_dated or len(past) < 2 or not self.segment_of:
            return None
        rows = fetched(self.situation.view.with_fields(table, Moment.CREATION))
        if "created_on" not in rows:
            return None
        rows = self.situation.in_window(rows, rows["created_on"])
        days = rows["created_on"]
        mine, is_last = self._segments(rows), days >= pd.Timestamp(past[-1].start)
        k, k_before = (_counted(mine[part], self.ids) for part in (is_last, ~is_last))
        if min(is_last.sum(), (~is_last).sum()) < LEAST_SHOWN:
            return None
        gap, low, high = difference_interval(k, float(is_last.sum()), k_before, float((~is_last).sum()))
        return Value(gap, low, high, np.full(len(k), int(is_last.sum())), table, days)

    def _segments(self, rows: pd.DataFrame) -> pd.Series:
        """The segment of each record, by its persona."""
        return self.in_force.assign(rows).map(self.segment_of)

    @cached_property
    def _deals(self) -> pd.DataFrame | None:
        """The deals that ended, with their segment; None where nothing can be said."""
        if not self.segment_of or self.ended.empty:
            return None
        return self.ended.assign(segment=self._segments(self.ended))

    def _win_rate(self) -> Value | None:
        """Win rates of the segments, shrunk together; every one needs ten decided deals."""
        if self._deals is None:
            return None
        hit = won(self._deals).dropna().astype(float)
        table = hit.groupby(self._deals.loc[hit.index, "segment"]).agg(["sum", "size"]).reindex(self.ids, fill_value=0)
        if table["size"].min() < LEAST_SHOWN:
            return None
        rates = shrink_rates(table["sum"], table["size"])
        n = table["size"].to_numpy(dtype=int)
        return Value(rates.mean, rates.low, rates.high, n, "deals", self._deals["closed_on"])

    def _won_amount(self) -> Value | None:
        if self._deals is None or "won_amount" not in self._deals:
            return None
        paid = self._deals[(self._deals["outcome"] == "won") & (self._deals["won_amount"] > 0)]
        table = mean_amounts(paid["won_amount"].astype(float), paid["segment"]).set_index("group").reindex(self.ids)
        return self._grouped(table, paid)

    def _won_amount_per_decided(self) -> Value | None:
        if self._deals is None or "won_amount" not in self._deals:
            return None
        decided = self._deals[won(self._deals).notna()]
        brought = won_per_decided(decided["outcome"] == "won", decided["won_amount"].astype(float), decided["segment"])
        return self._grouped(brought.set_index("group").reindex(self.ids), decided)

    def _sales_cycle(self) -> Value | None:
        if self._deals is None or self.situation.definition.clock != "day":
            return None
        timed = self._deals.dropna(subset=["age_days"])
        timed = timed[timed["outcome"] == "won"]
        parts = [timed[timed["segment"] == segment] for segment in self.ids]
        table = pd.DataFrame([cycle_days(part["age_days"], part["outcome"]) for part in parts], index=self.ids)
        return self._grouped(table, timed)

    def _grouped(self, table: pd.DataFrame, rows: pd.DataFrame) -> Value | None:
        """A table of groups as a value; None where any group has fewer than ten rows or no interval."""
        figures = table[["estimate", "low", "high"]].astype(float)
        if not (table["n"].fillna(0) >= LEAST_SHOWN).all() or figures.isna().any().any():
            return None
        mean, low, high = (figures[name].to_numpy() for name in figures)
        return Value(mean, low, high, table["n"].to_numpy(dtype=int), "deals", rows["closed_on"])

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
        return Value(share, low, high, n, "respondents", days_of(self.sample.rows), sure)

    def _topics(self, kinds: tuple[str, ...]) -> set[str]:
        """The topics that texts of every one of these kinds speak about, as released on the day."""
        texts = self.situation.view.known("materials").execute().reindex(columns=["kind", "topic", "retired_on"])
        current = texts[texts["retired_on"].isna() & texts["topic"].notna()]
        found = [set(current.loc[current["kind"] == kind, "topic"]) for kind in kinds]
        return set.intersection(*found)


def _counted(values: pd.Series, ids: list[str]) -> np.ndarray:
    return values.value_counts().reindex(ids, fill_value=0).to_numpy(dtype=float)


def _ratio(wishes: pd.DataFrame) -> tuple[float, float, float, int]:
    """Wishes met of all wishes with its interval (ratio estimator, linearised) and the number of members."""
    n, total = len(wishes), wishes["all"].sum()
    if n < LEAST_SHOWN or not total:
        return np.nan, np.nan, np.nan, n
    share = wishes["met"].sum() / total
    error = np.sqrt(n * (wishes["met"] - share * wishes["all"]).var()) / total
    reach = scipy.stats.norm.isf(0.05) * error
    return share, max(share - reach, 0.0), min(share + reach, 1.0), n
