"""01 Research: who is in the target market, and in which segments?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin, share_looks
from closedloop.evidence.segments import Segmentation, segmentation
from closedloop.loop.counting import levels, share_counts
from closedloop.loop.records import Sample
from closedloop.loop.situation import Situation, fetched
from closedloop.loop.step import Draft, Step
from closedloop.terms import Moment

_SOURCES = (("leads", "lead_id"), ("accounts", "account_id"), ("deals", "deal_id"))
_FEWEST_ROWS = 50
_MOST_FIELDS = 12


@dataclass(frozen=True)
class Research:
    """The step, and what the personas are made from: the sample and its segments (none: too little to cut)."""

    step: Step
    sample: Sample
    segments: Segmentation | None


def sample_of(situation: Situation) -> Sample:
    """Survey answers when there are any; else leads, accounts or deals by the fields known at creation."""
    view, definition = situation.view, situation.definition
    if view.has("respondents") and definition.items:
        rows = fetched(view.known("respondents", Moment.RESEARCH), "respondent_id")
        if len(rows) >= _FEWEST_ROWS:
            items = [item for item in definition.items if item in rows]
            apart = [name for name in view.fields("respondents") if name not in items]
            return Sample("respondents", rows, items, apart)
    return _sample_of_records(situation)


def _sample_of_records(situation: Situation) -> Sample:
    view = situation.view
    for table, key in _SOURCES:
        if not view.has(table):
            continue
        inherited = table != "accounts"
        rows = fetched(view.with_fields(table, Moment.CREATION) if inherited else view.known(table), key)
        own = view.inherited(table) if inherited else view.fields(table)
        fields = [
            name
            for name in own
            if name in rows and rows[name].nunique() >= 2 and name not in ("campaign", "experiment", "arm")
        ]
        if fields and (len(rows) >= _FEWEST_ROWS or table == "deals"):
            return Sample(table, rows, fields[:_MOST_FIELDS], fields[_MOST_FIELDS:])
    return Sample("none", pd.DataFrame(), [], [])


def research(situation: Situation) -> Research:
    """Cut the market into segments, say how far they can be trusted, and describe them by variables held apart."""
    sample = sample_of(situation)
    draft = Draft("research")
    draft.tables["sample"] = _sample_table(situation, sample)
    draft.results |= {"source": sample.source, "n": len(sample.rows), "n_items": len(sample.items)}
    if len(sample.rows) < _FEWEST_ROWS or not sample.items:
        _nothing_to_cut(draft, sample)
        return Research(draft.done(), sample, None)
    found = segmentation(sample.rows[sample.items], rng=situation.rng("research"))
    _describe(draft, situation, sample, found)
    if sample.source != "respondents":
        draft.missing["needs"] = (
            "No survey: the segments describe records, not needs. Collect `respondents`: "
            "a dozen yes/no questions about needs, asked of at least 60 people per question."
        )
    return Research(draft.done(), sample, found)


def _nothing_to_cut(draft: Draft, sample: Sample) -> None:
    text = (
        f"Only {len(sample.rows)} rows with {len(sample.items)} columns were known at the period's start: "
        "too little to cut into segments. Collect survey answers (`respondents`), "
        "or fields of leads or accounts that are known at creation."
    )
    draft.missing |= dict.fromkeys(("criteria", "slsw", "profile", "segments"), text)
    draft.results |= {"recommended_k": 1, "verdict": "no segments", "ari": None, "method": None}


def _sample_table(situation: Situation, sample: Sample) -> pd.DataFrame:
    day = next((c for c in ("answered_on", "created_on", "closed_on") if c in sample.rows), None)
    days = pd.to_datetime(sample.rows[day]).dropna() if day else pd.Series(dtype="datetime64[us]")
    edges = [str(days.min().date()), str(days.max().date())] if len(days) and situation.is_dated else ["", ""]
    return pd.DataFrame(
        [[sample.source, len(sample.rows), len(sample.items), 60 * len(sample.items), *edges]],
        columns=["source", "n", "n_items", "n_needed", "first_on", "last_on"],
    )


def _describe(draft: Draft, situation: Situation, sample: Sample, found: Segmentation) -> None:
    k = found.recommended_k
    chosen = found.criteria.set_index("k")["ari_median"]
    draft.tables |= {"criteria": found.criteria, "slsw": found.slsw, "profile": _profile(found)}
    draft.tables["segments"] = _sizes(situation, found)
    draft.results |= {
        "recommended_k": k,
        "verdict": found.verdict,
        "ari": float(chosen[k]) if k > 1 else None,
        "lowest_k": found.disagreement[0],
        "highest_k": found.disagreement[1],
        "method": found.method,
        "is_sample_small": found.sample_warning,
    }
    if k > 1 and sample.held_apart:
        draft.looks.append(_held_apart(situation, sample, found))
    elif k > 1:
        draft.missing["described"] = (
            "Every field was used to cut; none is held apart. Collect further fields to describe the segments by."
        )


def _profile(found: Segmentation) -> pd.DataFrame:
    tall = found.profile.rename_axis("segment").reset_index().melt("segment", var_name="item", value_name="share")
    market = tall[tall["segment"] == "market"].set_index("item")["share"]
    rows = tall[tall["segment"] != "market"]
    n = found.labels.astype(str).value_counts()
    return rows.assign(market_share=rows["item"].map(market), n=rows["segment"].map(n)).reset_index(drop=True)


def _sizes(situation: Situation, found: Segmentation) -> pd.DataFrame:
    sizes = found.sizes.rename(columns={"size": "n"}).assign(segment=found.sizes["segment"].astype(str))
    n_accounts = int(situation.view.known("accounts").count().execute()) if situation.view.has("accounts") else np.nan
    columns = {"n_accounts": "share", "n_accounts_low": "low", "n_accounts_high": "high"}
    return sizes.assign(**{name: sizes[share] * n_accounts for name, share in columns.items()})


def _held_apart(situation: Situation, sample: Sample, found: Segmentation) -> pd.DataFrame:
    rows = levels(sample.rows, sample.held_apart)
    day = next((c for c in ("answered_on", "created_on") if c in sample.rows), None)
    first, last = situation.span(pd.to_datetime(sample.rows[day])) if day else (situation.period.name,) * 2
    return share_looks(
        share_counts(rows, found.labels.astype(str)), Origin("01_research", "described", sample.source, first, last)
    )
