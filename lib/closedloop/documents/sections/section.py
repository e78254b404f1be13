"""One section of a notebook: a question, the tables it needs, and how its answer is shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from closedloop.documents.charts import Picture
from closedloop.documents.findings import bars_of, dots_of, ends, first, joined, value, where
from closedloop.documents.pieces import Listing, Missing, Piece, Sentence, claim_ids
from closedloop.documents.summaries import summary
from closedloop.documents.turning import honestly
from closedloop.documents.wording import Words, not_compared, one_of_each_pair, recorded, records
from closedloop.loop.comparisons import turning
from closedloop.loop.step import Step, no_claims

MOST_SENTENCES = 6
FEW_EACH = "Every reason was named fewer than ten times, too seldom to be shown."
FEWEST_SHOWN = 10  # smaller groups are not shown with attributes (privacy, k = 10)
_RANKS = {"supported": 0, "leaning": 1, "indistinguishable": 2, "refused": 3}


@dataclass(frozen=True)
class Evidence:
    """All that a section may render: a step's tables and key figures, its claims, the market's words.

    ``ledger``: every claim of the moment, for a section that points to what another page found.
    """

    words: Words
    period: str
    step: Step
    claims: pd.DataFrame
    rules: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ledger: pd.DataFrame = field(default_factory=no_claims)

    def table(self, name: str) -> pd.DataFrame:
        """The step's table; an empty frame when it is absent."""
        return self.step.tables.get(name, pd.DataFrame())

    def result(self, name: str) -> Any:
        """A key figure; None when it is undefined."""
        return self.step.results.get(name)

    def of(self, *measures: str) -> pd.DataFrame:
        """The claims on these measures."""
        return self.claims[self.claims["measure"].isin(measures)]

    def cell(self, name: str) -> pd.DataFrame:
        """The claims that the section ``name`` shows."""
        return self.claims[self.claims["cell"] == name]

    def first(self, measure: str, **wanted: str) -> Mapping[str, Any] | None:
        """The first claim on a measure with these values; None when there is none."""
        return first(self.claims, measure=measure, **wanted)


Pieces = Sequence[Piece]
Render = Callable[[Evidence], Pieces]


@dataclass(frozen=True)
class Section:
    """``tables``: needed with at least one row; ``measures``: needed with at least one claim on one of them.

    ``gaps``: names under which a step says what is missing.
    """

    step: str
    name: str
    question: str
    render: Render
    tables: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()


def shown(section: Section, evidence: Evidence) -> tuple[Piece, ...]:
    """The section's pieces; one calm remark when what it needs is missing."""
    lacking = any(evidence.table(name).empty for name in section.tables)
    lacking |= bool(section.measures) and evidence.of(*section.measures).empty
    reasons = [evidence.step.missing[name] for name in _gap_names(section) if name in evidence.step.missing]
    if lacking:
        return (Missing(reasons[0] if reasons else _unexplained(section)),)
    remarks = [Missing(reason) for reason in dict.fromkeys(reasons)]
    return (*section.render(evidence), *remarks)


def _gap_names(section: Section) -> tuple[str, ...]:
    return tuple(dict.fromkeys((section.name, *section.tables, *section.gaps)))


def _unexplained(section: Section) -> str:
    return f"no rows for “{section.question}” in this period."


def ranked(claims: pd.DataFrame) -> pd.DataFrame:
    """Claims that hold first, then those to watch, the largest effects on top; groups under ten left out."""
    shown_ones = claims[claims["n"].fillna(0) >= FEWEST_SHOWN]
    order = shown_ones.assign(
        _rank=shown_ones["verdict"].map(_RANKS).fillna(4),
        _unit=shown_ones["unit"] != "rate",  # effects of different units have no common order: rates go first
        _size=-shown_ones["effect"].abs(),
        _key=shown_ones["claim_id"],
    )
    return order.sort_values(["_rank", "_unit", "_size", "_key"]).drop(columns=["_rank", "_unit", "_size", "_key"])


def claim_pieces(
    claims: pd.DataFrame, words: Words, title: str, axis: str, looked: pd.DataFrame | None = None
) -> tuple[Piece, ...]:
    """The usual answer to "what differs?": a figure, what holds in sentences, and how much was looked at.

    ``looked``: the claims to count where more was looked at than is drawn.
    """
    rows = ranked(one_of_each_pair(claims[claims["family"] != "none"], words))
    rows = rows[rows[["estimate", "low"]].notna().any(axis=1) & (rows["reason"].fillna("") == "")]
    if rows.empty:
        return compared(claims, words, looked)
    picture = dots_of(rows, words, title, axis, caption="Filled point: the difference holds; hollow: it does not.")
    return (picture, *compared(claims, words, looked))


def compared(claims: pd.DataFrame, words: Words, looked: pd.DataFrame | None = None) -> tuple[Piece, ...]:
    """``claim_pieces`` without the figure."""
    rows = ranked(one_of_each_pair(claims[claims["family"] != "none"], words))
    held = rows[rows["verdict"].isin(["supported", "leaning"])]
    is_first = pd.Series(range(len(held)), index=held.index) < MOST_SENTENCES
    said = held[is_first | turning(held, claims)]
    listed = (Listing(honestly(said, claims, words)),) if len(said) else ()
    return (joined(summary(claims if looked is None else looked, words)), *listed)


def recording(evidence: Evidence) -> tuple[Piece, ...]:
    """Fields recorded more often for one outcome, with both shares, and those not compared; nothing without any."""
    held = where(evidence.of("recorded_share"), verdict="supported")
    lines = [recorded(claim, evidence.words) for claim in records(held)]
    lines += without_comparison(where(evidence.claims, unit="rate"), evidence.words)
    return (Listing(lines),) if lines else ()


def without_comparison(claims: pd.DataFrame, words: Words) -> list[Sentence]:
    """Levels of which something else than their number hinders a comparison, by measure, field and reason."""
    unfit = claims[(claims["family"] != "none") & (claims["reason"].fillna("") != "")]
    return [not_compared(part, words) for _, part in unfit.groupby(["measure", "field", "reason"])]


def status_bars(counts: pd.DataFrame, shares: pd.DataFrame, words: Words, title: str, caption: str) -> Picture:
    """Leads at each status as bars, each with its share and interval where one is stated."""
    known = {claim["level"]: claim for claim in records(shares)}

    def remark(claim: Mapping[str, Any]) -> str:
        share = known.get(claim["level"])
        return "" if share is None else f"{value(share, words)} ({ends(share, words)})"

    picture = bars_of(counts, words, title, "leads", level_of(words), remark, caption)
    return replace(picture, claims=claim_ids(counts, shares))


def level_of(words: Words) -> Callable[[Mapping[str, Any]], str]:
    """How a claim's level is named where the heading names the field."""
    return lambda claim: words.level(str(claim["field"]), claim["level"])
