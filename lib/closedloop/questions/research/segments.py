"""Segments: how many can be trusted, and what else is different about them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from closedloop.claims.ledger import share_looks
from closedloop.errors import ParameterError, allowed
from closedloop.period.counting import levels, share_counts
from closedloop.period.records import Sample
from closedloop.personas.research import FEWEST_ROWS, Research, segments_of
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Piece, Sentence, stating
from closedloop.presentation.charts import stability
from closedloop.presentation.findings import Column, table_of, value, where
from closedloop.presentation.sentences import records
from closedloop.questions.research.sample import asked_of, days_of, is_too_small
from closedloop.statistics.segmentation.segments import STABLE_ARI, STABLE_SEGMENT, Segmentation
from closedloop.terms import Moment
from closedloop.workbench.answer import Answer, Evidence, Render
from closedloop.workbench.comparison import comparison, level_of
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import ShareRedraw

LEAST_ROWS = 20  # two segments of ten
_CRITERIA = {
    "ari_median": "ari",
    "ari_null_median": "ari_shuffled",
    "bic": "bic",
    "icl": "icl",
    "held_out_log_likelihood": "held_out_log_likelihood",
    "smallest_slsw": "weakest_slsw",
}
_LEAST = {"ari": STABLE_ARI, "weakest_slsw": STABLE_SEGMENT}  # what counts as found again
_NAMED = ("recommended_k", "lowest_k", "highest_k", "bic_k", "icl_k", "held_out_k")
_FIT = {"bic_k": "BIC", "icl_k": "ICL", "held_out_k": "held-out rows"}
_COLUMNS: dict[str, str | tuple[str, Column]] = {
    "ari": "found again",
    "ari_shuffled": "shuffled answers",
    "weakest_slsw": "weakest segment",
    "bic": "BIC (lower is better)",
    "icl": "ICL (lower is better)",
    "held_out_log_likelihood": "held-out log-likelihood",
}
_MEANINGS = {
    "natural": "which means clear groups that every criterion sees",
    "reproducible": "which means found again in other samples, though without clear gaps between them",
    "constructive": "which means a useful way to cut a market that changes without steps",
    "unstable": "which means that this number was asked for, and does not come back in other samples",
    "no segments": "which means that no cut comes back in other samples",
}


def segments(
    sample: pd.DataFrame,
    by: Sequence[str] | None = None,
    *,
    number: int | None = None,
    method: str | None = None,
    least: int | None = None,
    among: str | None = None,
    known_at: str = "",
) -> Answer:
    """The sample cut into segments, and whether they would come back.

    ``sample``: one row a person or record; ``by``: the columns to cut by (None: as the market says). Latent classes,
    or k-means where every column is a measured number; taken is the largest number of segments that bootstrap samples
    find again (adjusted Rand index >= .75, .3 above shuffled columns, every segment's Jaccard >= .75: Dolnicar, Gruen &
    Leisch, 2018, ch. 7). ``number``: take this many all the same; ``method``: latent_classes or k_means; ``least``:
    fewer rows are not cut (50). ``among``: which rows these are, in words, where a cell chose them; ``known_at``: when
    that is known. Errors: ParameterError.
    """
    now, fewest = opened(), FEWEST_ROWS if least is None else least
    if fewest < LEAST_ROWS:
        raise ParameterError(f"least = {least}: segments need {LEAST_ROWS} rows; give that or more")
    answer = asked_of(now, "segments", "criteria", sample, by, _show_segments, among=among, number=number,
                      known_at=known_at, method=method, least=least)  # fmt: skip
    known: Sample = answer.fitted
    answer.headline, answer.fitted = headline, Research(known, None)
    if is_too_small(answer, known, fewest, "criteria", "slsw"):
        answer.results |= {"recommended_k": 1, "verdict": "no segments", "ari": None, "method": None}
        return answer
    found = segments_of(now.situation, known, number=number, method=method or "auto", least=fewest)
    assert found is not None
    answer.fitted = Research(known, found)
    _state(answer, found, days_of(known.rows))
    answer.results["is_number_given"] = number is not None
    return answer


def _state(answer: Answer, found: Segmentation, days: pd.Series) -> None:
    """For each number of segments how well it is found again and what other criteria say; then every segment."""
    k, origin = found.recommended_k, answer.origin(days)
    for name, measure in _CRITERIA.items():
        known = found.criteria[found.criteria[name].notna()]
        known = known[known["k"] > 1] if name == "smallest_slsw" else known
        rows = pd.DataFrame({"estimate": known[name], "level": known["k"].astype(int).astype(str), "field": "k"})
        rows = rows.assign(n=len(found.labels), baseline=_LEAST.get(measure))
        answer.estimate(rows, origin, measure, unit="ratio")
    if k > 1:
        weak = found.slsw[found.slsw["k"] == k].rename(columns={"slsw": "estimate", "size": "n"})
        weak = weak.assign(field="segment", level=weak["segment"].astype(str))
        answer.estimate(weak, answer.origin(days, "slsw"), "slsw", unit="ratio")
    answer.results |= {
        "recommended_k": k,
        "verdict": found.verdict,
        "ari": float(found.criteria.set_index("k")["ari_median"][k]) if k > 1 else None,
        "lowest_k": found.disagreement[0],
        "highest_k": found.disagreement[1],
        "bic_k": found.reason.bic_k,
        "icl_k": found.reason.icl_k,
        "held_out_k": found.reason.held_out_k,
        "method": found.method,
        "is_sample_small": found.sample_warning,
    }


def of_segments(verb: str, section: str, found: Answer, render: Render, **arguments: Any) -> Answer:
    """An answer about the same rows and segments as ``found``, the answer of ``segments``."""
    if not isinstance(found.fitted, Research):
        raise ParameterError(f"{verb} is asked of the answer of {found.verb}; allowed: that of segments(sample)")
    given = dict(found.arguments) | arguments
    answer = opened().ask(verb, section, found.rows, found.table_name, render, among=found.among, **given)
    answer.is_recorded, answer.fitted = found.is_recorded, found.fitted
    return answer


def cut_known_at(answer: Answer) -> Moment:
    """When the segments of an answer are known: with the last column that they are cut by."""
    return max(answer.now.known_at(name) for name in answer.fitted.sample.items)


def describe(found: Answer, by: Sequence[str] | None = None) -> Answer:
    """Shares of the levels of fields that took no part in the cut, in each segment against all others.

    ``by``: fields; None takes every one that is held apart. Shares are drawn together over the segments; p is the exact
    mid-p value of a segment against the others, of a weighted survey with the effective n. Errors: ParameterError for
    fields that made the segments.
    """
    answer = of_segments("describe", "described", found, _show_described, fields=by)
    known, segmentation = answer.fitted
    apart = list(known.held_apart if by is None else by)
    if wrong := [name for name in apart if name in known.items or name not in known.rows]:
        raise ParameterError(
            f"by = {wrong}: fields of the sample that took no part; allowed: {allowed(known.held_apart)}"
        )
    if segmentation is None:
        answer.missing["described"] = found.missing["criteria"]
    elif segmentation.recommended_k == 1:
        answer.missing["described"] = "There is one market without segments, so there is nothing to describe."
    elif not apart:
        answer.missing["described"] = (
            "Every field was used to cut; none is held apart. Collect further fields to describe the segments by."
        )
    else:
        groups, cut = segmentation.labels.astype(str), levels(known.rows, apart)
        looks = share_looks(share_counts(cut, groups, known.weights), answer.origin(days_of(known.rows)))
        late = cut_known_at(answer)
        moment = late.name.lower() if late > Moment.HANDOFF else ""
        answer.compare(looks, ShareRedraw(cut, groups, "share", known.weights), moment)
    return answer


def headline(shown: Evidence) -> list[Sentence]:
    """How many rows show how many segments, and of which kind."""
    k, n = shown.result("recommended_k"), _first_of(shown, "n_rows")
    what = f"{k} segments" if k and k > 1 else "one market, without segments that could be trusted"
    verdict = shown.result("verdict") or "not judged"
    if n is None:
        return [Sentence("Nothing is recorded that could be cut into segments.")]
    found = f"{value(n, shown.words)} rows of {n['source_table']} show {what} (verdict: {verdict})."
    return [stating(found, n, _chosen(shown))]


def _first_of(shown: Evidence, measure: str) -> dict[str, Any] | None:
    """The notebook's first claim on a measure."""
    found = where(shown.ledger, measure=measure)
    return records(found.head(1))[0] if len(found) else None


def _chosen(shown: Evidence) -> pd.DataFrame:
    """The claims on the number of segments that is used, and on those that the criteria name."""
    named = {str(k) for k in (shown.result(name) for name in _NAMED) if k}
    criteria = shown.cell("criteria")
    return criteria[criteria["level"].isin(named)]


def _show_segments(shown: Evidence, title: str) -> Sequence[Piece]:
    k, claims, name = shown.result("recommended_k"), shown.cell("criteria"), level_of(shown.words)
    heading = title or "How many segments can be trusted, and what else speaks for a number?"
    listed = claims.sort_values("level", kind="stable")
    verdict = str(shown.result("verdict") or "not judged")
    meaning = f", {_MEANINGS[verdict]}" if verdict in _MEANINGS else ""
    weak = shown.of("slsw")
    pieces: list[Piece] = [
        stability(claims, heading, recommended=k if k and k > 1 else None),
        table_of(listed, shown.words, "segments", _COLUMNS, label=name),
    ]
    said = [_reason(shown), _range(shown), stating(f"Verdict: {verdict}{meaning}.", _chosen(shown))]
    if len(weak):
        columns: dict[str, str | tuple[str, Column]] = {
            "n": ("rows", lambda row: numbers.count(row["slsw"]["n"])),
            "slsw": "found again (1 is always)",
        }
        pieces.append(table_of(weak, shown.words, "segment", columns, label=name))
        weakest = records(weak.sort_values("estimate", kind="stable").head(1))[0]
        found = numbers.plain(weakest["estimate"])
        said.append(
            stating(f"The weakest segment is {name(weakest)}: found again at {found} on a scale to 1.", weakest)
        )
    return *pieces, Listing(said)


def _reason(shown: Evidence) -> Sentence:
    """Why this number of segments, in one sentence."""
    k = shown.result("recommended_k")
    if not k or k == 1:
        return _no_reason(shown)
    whole, shuffled, weakest = (shown.first(name, level=str(k)) for name in ("ari", "ari_shuffled", "weakest_slsw"))
    is_asked = bool(shown.result("is_number_given"))
    why = "this number was asked for" if is_asked else "the largest number that is found again"
    text = f"{k} segments are used: {why}"
    if whole is None or shuffled is None or weakest is None:
        return stating(f"{text}.", _chosen(shown))
    found, asked, luck, least = (
        numbers.decimal(part) for part in
        (whole["estimate"], whole["baseline"], shuffled["estimate"], weakest["estimate"])
    )  # fmt: skip
    text += f" (agreement {found} where {asked} is asked, and {luck} for shuffled answers)"
    text += f"; its weakest segment is at {least}" if is_asked else f" with every segment (the weakest {least})"
    return stating(f"{text}.", whole, shuffled, weakest)


def _no_reason(shown: Evidence) -> Sentence:
    """Why no number of segments is used, beside the one that came closest."""
    text = "No number of segments can be trusted: one market"
    tried = shown.of("ari").sort_values("estimate", ascending=False, kind="stable")
    if tried.empty:
        return stating(f"{text}.", _chosen(shown))
    best = records(tried.head(1))[0]
    weakest = shown.first("weakest_slsw", level=str(best["level"]))
    beside = "" if weakest is None else f", its weakest segment at {numbers.decimal(weakest['estimate'])}"
    found, asked = numbers.decimal(best["estimate"]), numbers.decimal(best["baseline"])
    text += f". The best number, {best['level']}, is found again at {found}{beside}; {asked} is asked of both."
    return stating(text, *[claim for claim in (best, weakest) if claim is not None])


def _range(shown: Evidence) -> Sentence:
    """What fit alone would choose, and how far the criteria lie apart."""
    preferred = {name: shown.result(key) for key, name in _FIT.items()}
    listed = ", ".join(f"{name} {'one market' if k == 1 else k}" for name, k in preferred.items() if k)
    lowest, highest = shown.result("lowest_k"), shown.result("highest_k")
    if not lowest or lowest == highest:
        text = "The criteria agree on the number." if listed else "No other criterion could be computed."
        return stating(text, _chosen(shown))
    apart = f"The criteria name {lowest} to {highest}{f' ({listed})' if listed else ''}"
    tail = "fit alone goes on rewarding finer cuts, and only what is found again can be worked with"
    return stating(f"{apart}: {tail}.", _chosen(shown))


def _show_described(shown: Evidence, title: str) -> Sequence[Piece]:
    name = title or "Where do segments differ on what they were not made from?"
    return comparison(shown.of("share"), shown, name, "share of the segment")
