"""The sample of market research and its segments: the one home of both, for 01, 02 and the first persona set."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import pandas as pd

from closedloop.market.kept import Frames, fingerprint_of, kept
from closedloop.period.situation import Situation
from closedloop.statistics.segmentation.segments import Reason, Segmentation, segmentation
from closedloop.terms import Moment

FEWEST_ROWS = 50  # fewer are not segmented
_SOURCES = (("leads", "lead_id"), ("accounts", "account_id"), ("deals", "deal_id"))
_MOST_FIELDS = 12
_DAYS = ("answered_on", "created_on", "closed_on")
_NO_FIELDS = ("campaign", "experiment", "arm")  # chosen by us, so they say nothing about whom we meet


@dataclass(frozen=True)
class Sample:
    """The rows that are cut into segments: from which table, and the columns that are cut by.

    ``n_without_weight``: answers of a weighted survey that are left out, as nobody knows how many people they are of.
    """

    source: str
    rows: pd.DataFrame
    items: list[str]
    held_apart: list[str]
    n_without_weight: int = 0

    @property
    def days(self) -> pd.Series:
        """The days that the rows are of; empty where none is recorded."""
        name = next((name for name in _DAYS if name in self.rows), None)
        return pd.to_datetime(self.rows[name]) if name else pd.Series(dtype="datetime64[us]")

    @property
    def weights(self) -> pd.Series | None:
        """What each respondent counts, of which only the ratios matter; None where all rows count the same."""
        if self.source != "respondents" or "weight" not in self.rows:
            return None
        found = self.rows["weight"].astype(float)
        return found if found.nunique() > 1 else None


class Research(NamedTuple):
    """The sample and its segments (None: too little to segment)."""

    sample: Sample
    segments: Segmentation | None


def research(situation: Situation) -> Research:
    """The sample of the day and its segments by the market's own settings."""
    sample = sample_of(situation)
    return Research(sample, segments_of(situation, sample))


@lru_cache(maxsize=2)  # frames, settings and figures of a notebook are made of it
def sample_of(situation: Situation) -> Sample:
    """Survey answers when there are any; else leads, accounts or deals by the fields known at creation."""
    rows, items = survey_of(situation)
    weighted = rows
    if "weight" in rows and rows["weight"].notna().any():  # else nobody knows how many people an answer stands for
        weighted = rows.dropna(subset=["weight"]).reset_index(drop=True)
    if len(weighted) >= FEWEST_ROWS and weighted[items].notna().any(axis=None):
        apart = [name for name in situation.view.fields("respondents") if name not in items]
        return Sample("respondents", weighted, items, apart, len(rows) - len(weighted))
    return _sample_of_records(situation)


@lru_cache(maxsize=2)
def survey_of(situation: Situation) -> tuple[pd.DataFrame, list[str]]:
    """The respondents known on the day, and the questions that they were asked."""
    if not situation.view.has("respondents"):
        return pd.DataFrame(), []
    rows = situation.known("respondents", Moment.RESEARCH).sort_values("respondent_id", ignore_index=True)
    return rows, [item for item in situation.definition.items if item in rows]


def _sample_of_records(situation: Situation) -> Sample:
    view = situation.view
    for table, key in _SOURCES:
        if not view.has(table):
            continue
        inherited = table != "accounts"
        rows = view.with_fields(table, Moment.CREATION) if inherited else view.frame(table)
        rows = rows.sort_values(key, ignore_index=True)
        own = situation.fields(table) if inherited else view.fields(table)
        fields = [name for name in own if name in rows and rows[name].nunique() >= 2 and name not in _NO_FIELDS]
        if fields and (len(rows) >= FEWEST_ROWS or table == "deals"):
            return Sample(table, rows, fields[:_MOST_FIELDS], fields[_MOST_FIELDS:])
    return Sample("none", pd.DataFrame(), [], [])


def segments_of(
    situation: Situation, sample: Sample, *, number: int | None = None, method: str = "auto", least: int = FEWEST_ROWS
) -> Segmentation | None:
    """The segments of the sample (``segments.segmentation``); None with fewer than ``least`` rows."""
    if len(sample.rows) < least or not sample.items:
        return None
    rows = sample.rows[sample.items]
    return segmented(situation, "research", rows, sample.weights, number=number, method=method)


def segmented(
    situation: Situation,
    draw: str,
    items: pd.DataFrame,
    weights: pd.Series | None,
    *,
    others: pd.DataFrame | None = None,
    **settings: Any,
) -> Segmentation:
    """``segments.segmentation``, made once for the same rows and settings (``market.kept``), whatever the period.

    ``draw``: the name of the random draw in this market; ``settings``: further arguments.
    """
    given = [fingerprint_of(part) if part is not None else "" for part in (items, weights, others)]
    of = " ".join([situation.market, draw, *given, repr(sorted(settings.items()))])

    def make() -> Frames:
        rng = situation.rng(draw, each_period=False)
        return _as_frames(segmentation(items, weights=weights, rng=rng, others=others, **settings))

    index = items.index[:0] if others is None else others.index
    return _from_frames(kept("segments", of, make), items.index, index)


def _as_frames(found: Segmentation) -> Frames:
    labels = {name: getattr(found, name).to_frame("segment") for name in ("labels", "others")}
    figures = asdict(found.reason) | {"stable_ks": list(found.reason.stable_ks)}
    least, most = found.disagreement
    about = {"method": found.method, "k": found.recommended_k, "verdict": found.verdict, "least": least, "most": most}
    about |= {"is_small": found.sample_warning}
    frames = {"criteria": found.criteria, "slsw": found.slsw, "sizes": found.sizes}
    frames |= {"profile": found.profile.reset_index(), "reason": pd.DataFrame([figures])}
    return {**frames, **labels, "about": pd.DataFrame([about])}


def _from_frames(frames: Frames, index: pd.Index, others: pd.Index) -> Segmentation:
    about, figures = frames["about"].iloc[0], frames["reason"].iloc[0].to_dict()
    stable = tuple(int(k) for k in figures.pop("stable_ks"))
    return Segmentation(
        method=str(about["method"]),
        criteria=frames["criteria"],
        slsw=frames["slsw"],
        recommended_k=int(about["k"]),
        verdict=about["verdict"],
        reason=Reason(stable_ks=stable, **{str(name): figure for name, figure in figures.items()}),
        disagreement=(int(about["least"]), int(about["most"])),
        labels=frames["labels"]["segment"].set_axis(index),
        profile=frames["profile"].set_index("segment"),
        sizes=frames["sizes"],
        sample_warning=bool(about["is_small"]),
        others=frames["others"]["segment"].set_axis(others),
    )
