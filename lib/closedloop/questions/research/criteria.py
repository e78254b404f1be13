"""What each segment is worth and how strong we are in it: the criteria that a market weighs to choose its targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy

from closedloop.market.warehouse import fetched
from closedloop.period.counting import LEAST_SHOWN
from closedloop.period.records import Sample, won
from closedloop.period.situation import Situation
from closedloop.personas.lineage import roots
from closedloop.personas.persona_set import PersonaSet
from closedloop.presentation.blocks import Listing, Piece, Sentence, claim_ids, stating
from closedloop.presentation.charts import Picture
from closedloop.presentation.findings import Claim, first, ranged, value, where
from closedloop.presentation.numbers import MISSING
from closedloop.presentation.segment_charts import positions
from closedloop.presentation.sentences import records
from closedloop.presentation.tables import Table
from closedloop.questions.research.sample import days_of
from closedloop.statistics.amounts import mean_amounts, won_per_decided
from closedloop.statistics.cumulative_incidence import cycle_days
from closedloop.statistics.proportions import difference_interval, shrink_rates
from closedloop.statistics.segmentation.indicators import effective_size, indicator_columns
from closedloop.statistics.segmentation.segments import Segmentation
from closedloop.terms import Moment
from closedloop.workbench.answer import Evidence

UNITS: Mapping[str, str] = {
    "size": "rate", "growth": "points", "won_amount": "amount", "won_amount_per_decided": "amount",
    "needs_served": "rate", "win_rate": "rate", "sales_cycle": "days", "materials_ready": "rate",
}  # fmt: skip
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
            "needs_served": lambda: self._covered(_SERVING),
            "materials_ready": lambda: self._covered(_SELLING),
        }
        if name in compute:
            return compute[name]()
        return None if self.deals is None else of_deals(name, self.deals, self.ids)

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
    def deals(self) -> pd.DataFrame | None:
        """The deals that ended, with their segment; None where nothing can be said."""
        if not self.segment_of or self.ended.empty:
            return None
        has_days = self.situation.definition.clock == "day"
        deals = self.ended if has_days else self.ended.assign(age_days=np.nan)
        return deals.assign(segment=self._segments(self.ended))

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


def of_deals(name: str, deals: pd.DataFrame, ids: list[str]) -> Value | None:
    """A criterion that is made of ``deals`` alone; None where it cannot be told of every segment of ``ids``.

    ``deals``: one row a deal that ended: segment, outcome, closed_on, age_days, and won_amount where it is recorded.
    """
    hit, is_won = won(deals).dropna().astype(float), deals["outcome"] == "won"
    if name == "win_rate":
        table = hit.groupby(deals.loc[hit.index, "segment"]).agg(["sum", "size"]).reindex(ids, fill_value=0)
        if table["size"].min() < LEAST_SHOWN:
            return None
        rates = shrink_rates(table["sum"], table["size"])
        return Value(rates.mean, rates.low, rates.high, table["size"].to_numpy(dtype=int), "deals", deals["closed_on"])
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


_CRITERIA = {
    "size": "size: share of the market",
    "growth": "growth: change of its share of new records",
    "won_amount": "amount of a won deal (mean)",
    "won_amount_per_decided": "won amount per decided deal (win rate times amount)",
    "needs_served": "wishes that the offer serves",
    "win_rate": "win rate",
    "sales_cycle": "days to win (median; fewer is better)",
    "materials_ready": "wishes with a message, a proof and an answer",
}
_BARS = {
    "smallest_share": "large enough: share of the market",
    "smallest_accounts": "large enough: known accounts",
    "least_recognised": "recognisable: share of its members whom the personas' rule finds",
    "least_stability": "found again in other samples (1 is always)",
}
_AXES = {"attractiveness": "attractiveness", "strength": "own strength"}
_SCORES = {f"{axis}_score": name for axis, name in _AXES.items()}
_MOST_WISHES = 3


def show_criteria(shown: Evidence, title: str) -> Sequence[Piece]:
    """The bars and the weights that were set before the data were cut."""
    bars = [claim for name in _BARS if (claim := shown.first(name)) is not None]
    weights = [(axis, claim) for axis in _AXES for claim in records(shown.of(f"{axis}_weight"))]
    text = "market.toml sets no criteria, so the usual ones count alike. Set your own there, under [criteria]."
    if shown.result("are_criteria_set"):
        text = "These criteria stand in market.toml, so they were set before the cut."
    if shown.result("are_criteria_given"):
        text = "Some of these criteria are this notebook's own; the others are as the market says."
    words = shown.words
    asked = tuple((_BARS[str(claim["measure"])], f"at least {value(claim, words)}") for claim in bars)
    counted = tuple((_named(str(claim["level"])), _AXES[axis], value(claim, words)) for axis, claim in weights)
    return (
        Table(("a target has to be", "asked"), asked, (False, True), title,
              claims=tuple(claim_ids(claim) for claim in bars)),
        Table(("criterion", "speaks for", "weight"), counted, (False, False, True),
              claims=tuple(claim_ids(claim) for _, claim in weights)),
        Sentence(text),
    )  # fmt: skip


def _named(criterion: str) -> str:
    return _CRITERIA.get(criterion, criterion.replace("_", " "))


def show_targets(shown: Evidence, title: str) -> Sequence[Piece]:
    """Both axes, every criterion in every segment, and the choice."""
    rows = shown.table("targets")
    said = []
    for row in records(rows):
        name = named(shown, str(row["segment"]))
        text = f"{name[:1].upper()}{name[1:]} – {row['choice']}: {row['reason']}."
        said.append(stating(text, where(shown.cell("targets"), field="segment", level=str(row["segment"]))))
    picture = _positions(shown, rows, title or "Which segments are attractive, and where are we strong?")
    return (*([] if picture is None else [picture]), _components(shown, rows), Listing(said))


def named(shown: Evidence, segment: str, most: int | None = None) -> str:
    """A segment with the personas that stand for it, or the first of them: "segment 0 (persona Low price)"."""
    rows = shown.table("targets")
    personas = rows.loc[rows["segment"] == segment, "personas"] if len(rows) else pd.Series(dtype="str")
    names = [shown.words.told(name) for ids in personas if ids for name in ids.split(", ")][:most]
    return f"{shown.words.name(segment)} ({' and '.join(names)})" if names else shown.words.name(segment)


def _positions(shown: Evidence, rows: pd.DataFrame, title: str) -> Picture | None:
    """The segments on both axes; nothing when either axis is unknown."""
    points = []
    for row in records(rows):
        x, y = (shown.first(f"{axis}_score", level=str(row["segment"])) for axis in ("strength", "attractiveness"))
        if x is None or y is None:
            return None
        place = {"x": x["estimate"], "x_low": x["low"], "x_high": x["high"]}
        place |= {"y": y["estimate"], "y_low": y["low"], "y_high": y["high"]}
        label = named(shown, str(row["segment"]), most=1)
        points.append({**place, "label": label, "is_sure": row["choice"] == "target", "claims": claim_ids(x, y)})
    caption = (
        "Filled: a target; hollow: not, or nobody can tell. Bars: 90 % intervals that hold for all segments at once."
    )
    return positions(pd.DataFrame(points), title, ("own strength", "attractiveness"), caption=caption)


def _components(shown: Evidence, rows: pd.DataFrame) -> Table:
    """Every criterion (rows) in every segment (columns), with its interval."""
    segments = [str(name) for name in rows["segment"]]
    measures = {f"criterion_{name}": text for name, text in _CRITERIA.items()}
    measures |= {"recognised_share": "members whom the rule finds", **_SCORES}
    cells, ids = [], []
    for measure, text in measures.items():
        claims = shown.of(measure)
        if len(claims):
            cells.append((text, *(ranged(first(claims, level=segment), shown.words) for segment in segments)))
            ids.append(claim_ids(claims))
    heads = ("criterion", *map(shown.words.name, segments))
    return Table(heads, tuple(cells), (False, *(True for _ in segments)), claims=tuple(ids))


def show_offer(shown: Evidence, title: str) -> Sequence[Piece]:
    """Whom to adapt the offer for, what each of them wants, and the pages to work with."""
    rows = shown.table("targets")
    aimed = rows[rows["choice"] == "target"]
    listed = aimed if len(aimed) else rows[rows["choice"] == "cannot tell"]
    names = ", ".join(named(shown, str(segment)) for segment in listed["segment"])
    text = "No segment is a target, nor close to one: one offer for everyone is a valid answer."
    if len(aimed):
        text = f"Adapt offer, price, channels and messages for {names}."
    elif len(listed):
        text = f"No segment is shown to be a target, so one offer for everyone stays valid; look first at {names}."
    if listed.empty:
        return (Sentence(text),)
    found = [_offered(shown, row) for row in records(listed)]
    heads = ("segment", "wants more than the market", "texts ready for its wishes", "pages to work with")
    table = Table(heads, tuple(cells for cells, _ in found), (False, False, True, False), title,
                  claims=tuple(ids for _, ids in found))  # fmt: skip
    scores = where(shown.ledger, cell="targets")
    return table, stating(text, scores[scores["level"].isin(listed["segment"])])


def _offered(shown: Evidence, row: Claim) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a segment wants, how far the team's texts are, and the pages of its personas."""
    segment, words = str(row["segment"]), shown.words
    wishes = _wishes(shown, segment)
    ready = shown.first("criterion_materials_ready", level=segment)
    wanted = [f"{words.short(str(c['field']), c['level'])} {value(c, words)}" for c in wishes]
    pages = [words.told(name) for name in str(row["personas"]).split(", ") if name]
    where_to = (
        f"campaign brief and sales playbook of {' and of '.join(pages)}" if pages else "none: no persona stands for it"
    )
    cited = [*wishes, *([] if ready is None else [ready])]
    return (named(shown, segment), ", ".join(wanted) or MISSING, value(ready, words), where_to), claim_ids(*cited)


def _wishes(shown: Evidence, segment: str) -> list[dict[str, Any]]:
    """The answers that are most above the market's, with the segment's own share."""
    claims = shown.of("profile_share").set_index(["field", "level"])
    mine, whole = claims[claims["subject"] == segment], claims[claims["subject"] == "market"]
    gap = (mine["estimate"] - whole["estimate"]).dropna().sort_values(ascending=False, kind="stable")
    top = mine.loc[[key for key in gap.index if gap[key] > 0][:_MOST_WISHES]]
    return records(top.reset_index())
