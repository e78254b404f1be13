"""01 Research: who is in the target market, and in which segments?"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import scipy

from closedloop.evidence.claims import Origin, share_looks
from closedloop.evidence.indicators import is_metric
from closedloop.evidence.profiles import profile_sizes
from closedloop.evidence.rates import wilson
from closedloop.evidence.segments import STABLE_ARI, STABLE_SEGMENT, Segmentation, segmentation
from closedloop.evidence.survey_weights import effective_size, weighted_mean
from closedloop.loop.counting import LEAST_SHOWN, levels, share_counts
from closedloop.loop.exploring import answer, explore
from closedloop.loop.records import Sample
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft, Step
from closedloop.loop.waves import DAYS, held, waves_of
from closedloop.market.warehouse import fetched
from closedloop.terms import Moment

_SOURCES = (("leads", "lead_id"), ("accounts", "account_id"), ("deals", "deal_id"))
_FEWEST_ROWS = 50
_MOST_FIELDS = 12
_ADVISED = 60  # rows for each column that segments are cut by: Dolnicar, Gruen & Leisch (2018), ch. 5
_CRITERIA = {
    "ari_median": "ari",
    "ari_null_median": "ari_shuffled",
    "bic": "bic",
    "icl": "icl",
    "held_out_log_likelihood": "held_out_log_likelihood",
    "smallest_slsw": "weakest_slsw",
}
_LEAST = {"ari": STABLE_ARI, "weakest_slsw": STABLE_SEGMENT}  # what counts as found again


@dataclass(frozen=True)
class Research:
    """The step, and what the personas are made from: the sample and its segments (none: too little to cut)."""

    step: Step
    sample: Sample
    segments: Segmentation | None


def sample_of(situation: Situation) -> Sample:
    """Survey answers when there are any; else leads, accounts or deals by the fields known at creation."""
    rows, items = _survey(situation)
    weighted = _with_weights(rows)
    if len(weighted) >= _FEWEST_ROWS and weighted[items].notna().any(axis=None):
        apart = [name for name in situation.view.fields("respondents") if name not in items]
        return Sample("respondents", weighted, items, apart, len(rows) - len(weighted))
    return _sample_of_records(situation)


@lru_cache(maxsize=2)  # the sample is made of it, and told of it
def _survey(situation: Situation) -> tuple[pd.DataFrame, list[str]]:
    """The respondents known on the day, and the questions that they were asked."""
    if not situation.view.has("respondents"):
        return pd.DataFrame(), []
    rows = fetched(situation.view.known("respondents", Moment.RESEARCH), "respondent_id")
    return rows, [item for item in situation.definition.items if item in rows]


def _with_weights(answers: pd.DataFrame) -> pd.DataFrame:
    """Of a weighted survey the answers that have a weight: of others nobody knows how many people they stand for."""
    is_weighted = "weight" in answers and answers["weight"].notna().any()
    return answers.dropna(subset=["weight"]).reset_index(drop=True) if is_weighted else answers


def _sample_of_records(situation: Situation) -> Sample:
    view = situation.view
    for table, key in _SOURCES:
        if not view.has(table):
            continue
        inherited = table != "accounts"
        rows = fetched(view.with_fields(table, Moment.CREATION) if inherited else view.known(table), key)
        own = situation.fields(table) if inherited else view.fields(table)
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
    _state_sample(draft, sample, _origin(situation, sample, "sample"))
    _state_held_back(draft, situation)
    if situation.view.has("deals"):
        ended = situation.closed_deals
        origin = Origin("01_research", "segmenting", "deals", *situation.span(ended["closed_on"]))
        draft.count([{"estimate": len(ended)}], origin, "n_ended")
    draft.results |= {"source": sample.source, "n": len(sample.rows), "n_items": len(sample.items)}
    asked, questions = _survey(situation)
    if len(asked) and questions and asked[questions].isna().all(axis=None):
        draft.missing["sample"] = (
            f"The survey is blank: none of its {len(asked)} rows answers any of its {len(questions)} questions, so it "
            "says nothing about needs. Check the columns of `respondents` that [items] in market.toml names."
        )
    if len(sample.rows) < _FEWEST_ROWS or not sample.items:
        _nothing_to_cut(draft, sample)
        return Research(draft.done(), sample, None)
    found = segmentation(sample.rows[sample.items], weights=sample.weights, rng=situation.rng("research"))
    explore(draft, situation, sample, _origin(situation, sample, "explore"))
    _describe(draft, situation, sample, found)
    held(draft, situation, sample, found, waves_of(situation, sample))
    if sample.source != "respondents" and "sample" not in draft.missing:
        draft.missing["needs"] = (
            "No survey: the segments describe records, not needs. Collect `respondents`: "
            "a dozen yes/no questions about needs, asked of at least 60 people per question."
        )
    return Research(draft.done(), sample, found)


def _nothing_to_cut(draft: Draft, sample: Sample) -> None:
    found = (
        f"Only {len(sample.rows)} rows with {len(sample.items)} columns were known at the period's start"
        if sample.items
        else f"At the period's start no table held {_FEWEST_ROWS} rows with a field that is known from the beginning"
    )
    text = (
        f"{found}: "
        "too little to cut into segments. Collect survey answers (`respondents`), "
        "or fields of leads or accounts that are known at creation."
    )
    draft.missing |= dict.fromkeys(("explore", "criteria", "slsw", "profile", "segments", "held"), text)
    draft.results |= {"recommended_k": 1, "verdict": "no segments", "ari": None, "method": None}


def _origin(situation: Situation, sample: Sample, cell: str) -> Origin:
    day = next((c for c in DAYS if c in sample.rows), None)
    days = pd.to_datetime(sample.rows[day]) if day else pd.Series(dtype="datetime64[us]")
    return Origin("01_research", cell, sample.source, *situation.span(days))


def _state_sample(draft: Draft, sample: Sample, origin: Origin) -> None:
    for measure, n in (("n_rows", len(sample.rows)), ("n_columns", len(sample.items))):
        draft.count([{"estimate": n}], origin, measure)
    draft.count([{"estimate": _ADVISED * len(sample.items)}], origin, "n_advised")
    if sample.weights is not None:
        worth = round(effective_size(sample.weights.to_numpy()))
        draft.count([{"estimate": worth, "n": len(sample.rows)}], origin, "n_effective_rows")
    if sample.n_without_weight:
        n = len(sample.rows) + sample.n_without_weight
        draft.count([{"estimate": sample.n_without_weight, "n": n}], origin, "n_without_weight")


def _state_held_back(draft: Draft, situation: Situation) -> None:
    """How many values the fields have by which nobody can be compared, and among how many records."""
    for table, fields in situation.view.held_back.items():
        rows = [
            {"field": name, "level": found.kind, "estimate": found.n_values, "n": found.n}
            for name, found in fields.items()
        ]
        known = Origin("01_research", "sample", table, situation.period.name, situation.period.name)
        draft.count(rows, known, "n_values")


def _describe(draft: Draft, situation: Situation, sample: Sample, found: Segmentation) -> None:
    k = found.recommended_k
    chosen = found.criteria.set_index("k")["ari_median"]
    _state_criteria(draft, found, _origin(situation, sample, "criteria"))
    weak = found.slsw[found.slsw["k"] == k].rename(columns={"slsw": "estimate", "size": "n"})
    origin = _origin(situation, sample, "slsw")
    if k > 1:
        draft.estimate(weak.assign(field="segment", level=weak["segment"].astype(str)), origin, "slsw", unit="ratio")
    _state_profile(draft, sample, found, _origin(situation, sample, "profile"))
    _state_sizes(draft, situation, found, _origin(situation, sample, "segments"))
    draft.results |= {
        "recommended_k": k,
        "verdict": found.verdict,
        "ari": float(chosen[k]) if k > 1 else None,
        "lowest_k": found.disagreement[0],
        "highest_k": found.disagreement[1],
        "bic_k": found.reason.bic_k,
        "icl_k": found.reason.icl_k,
        "held_out_k": found.reason.held_out_k,
        "method": found.method,
        "is_sample_small": found.sample_warning,
    }
    if k > 1 and sample.held_apart:
        draft.looks.append(_held_apart(situation, sample, found))
    elif k > 1:
        draft.missing["described"] = (
            "Every field was used to cut; none is held apart. Collect further fields to describe the segments by."
        )


def _state_criteria(draft: Draft, found: Segmentation, origin: Origin) -> None:
    """For each number of segments how well it is found again, and what the other criteria say."""
    for name, measure in _CRITERIA.items():
        known = found.criteria[found.criteria[name].notna()]
        known = known[known["k"] > 1] if name == "smallest_slsw" else known
        rows = pd.DataFrame({"estimate": known[name], "level": known["k"].astype(int).astype(str), "field": "k"})
        rows = rows.assign(n=len(found.labels), baseline=_LEAST.get(measure))
        draft.estimate(rows, origin, measure, unit="ratio")


def _state_profile(draft: Draft, sample: Sample, found: Segmentation, origin: Origin) -> None:
    """Every item in every segment and in the market: shares with Wilson's interval, numbers as means.

    Of a survey with weights both are weighted, as ``found.profile`` is, with the effective n.
    """
    labels = found.labels.astype(str)
    answered = sample.rows[sample.items].notna().groupby(labels).sum()
    answered.loc["market"] = answered.sum()
    tall = found.profile.rename_axis("subject").reset_index().melt("subject", value_name="estimate").dropna()
    tall = tall.rename(columns={tall.columns[1]: "item"})
    named = [answer(str(item), sample.rows) for item in tall["item"]]
    tall = tall.assign(field=[field for field, _ in named], level=[level for _, level in named])
    tall["n"] = [answered.loc[s, f] for s, f in zip(tall["subject"], tall["field"], strict=True)]
    tall["n_effective"] = np.nan
    if sample.weights is not None:
        sizes = profile_sizes(sample.rows[sample.items], found.labels, sample.weights.to_numpy())
        tall["n_effective"] = [sizes.loc[s, item] for s, item in zip(tall["subject"], tall["item"], strict=True)]
    tall = tall[tall["n"] >= LEAST_SHOWN]
    is_mean = tall["field"].map({name: is_metric(sample.rows[name]) for name in sample.items}).astype(bool)
    means, shares = tall[is_mean].assign(level=""), tall[~is_mean]
    sure = shares["n_effective"].fillna(shares["n"])
    low, high = wilson(shares["estimate"] * sure, sure)
    shares, is_market = shares.assign(low=low, high=high), shares["subject"] == "market"
    draft.estimate(shares[~is_market], origin, "profile_share")
    draft.estimate(shares[is_market], origin._replace(cell="explore"), "profile_share")
    spread = [_error(sample, _members(labels, s), f) for s, f in zip(means.subject, means.field, strict=True)]
    ends = {"low": means["estimate"] - spread, "high": means["estimate"] + spread}
    draft.estimate(means.assign(**ends), origin, "profile_mean", unit="ratio")


def _members(labels: pd.Series, segment: str) -> pd.Series:
    return pd.Series(segment == "market", index=labels.index) | (labels == segment)


def _error(sample: Sample, members: pd.Series, field: str) -> float:
    """Half the width of the 90 % interval of a mean (Student's t)."""
    known = sample.rows.loc[members, field].dropna().astype(float)
    if sample.weights is None:
        return float(scipy.stats.t.isf(0.05, len(known) - 1) * known.std() / np.sqrt(len(known)))
    weights = sample.weights[known.index].to_numpy()
    reach = scipy.stats.t.isf(0.05, effective_size(weights) - 1)
    return float(reach * weighted_mean(known.to_numpy(), weights)[1])


def _state_sizes(draft: Draft, situation: Situation, found: Segmentation, origin: Origin) -> None:
    """How large each segment is, and about how many of the known accounts it holds."""
    rows = found.sizes.assign(estimate=found.sizes["share"], field="segment", level=found.sizes["segment"].astype(str))
    rows["n"] = len(found.labels)
    draft.estimate(rows, origin, "segment_share")
    if situation.holds("accounts"):
        n = int(situation.view.known("accounts").count().execute())
        scaled = {name: rows[name] * n for name in ("estimate", "low", "high")}
        draft.estimate(rows.assign(**scaled), origin, "n_accounts", unit="count")


def _held_apart(situation: Situation, sample: Sample, found: Segmentation) -> pd.DataFrame:
    rows = levels(sample.rows, sample.held_apart)
    counted = share_counts(rows, found.labels.astype(str), sample.weights)
    return share_looks(counted, _origin(situation, sample, "described"))
