"""Segments: how many can be trusted, what tells them apart, and whether they have held since the last wave."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from closedloop.claims.ledger import Origin, share_looks
from closedloop.errors import ParameterError, allowed
from closedloop.period.counting import levels, share_counts, sizes_told
from closedloop.personas.research import FEWEST_ROWS, Research, Sample, segmented, segments_of
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Missing, Piece, Sentence, Table, claim_ids, stating
from closedloop.presentation.charts import heat, stability
from closedloop.presentation.sentences import backed, cases, first, is_small, on_scale, ranged, records, value
from closedloop.presentation.tables import Column, dots_of, table_of
from closedloop.questions.research.sample import MARKET, asked_of, is_too_small, last_wave, means_of, shares_of
from closedloop.statistics.proportions import difference_interval
from closedloop.statistics.segmentation.segments import STABLE_ARI, STABLE_SEGMENT, Segmentation, agreement, matched
from closedloop.terms import RARE, Moment
from closedloop.workbench.answer import Answer, Evidence, Render
from closedloop.workbench.comparison import comparison, level_of
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import ShareRedraw

LEAST_ROWS = 20  # two segments of ten
_CRITERIA = {  # measure -> column of the segmentation, heading
    "ari": ("ari_median", "found again"),
    "ari_shuffled": ("ari_null_median", "shuffled answers"),
    "weakest_slsw": ("smallest_slsw", "weakest segment"),
    "bic": ("bic", "BIC (lower is better)"),
    "icl": ("icl", "ICL (lower is better)"),
    "held_out_log_likelihood": ("held_out_log_likelihood", "held-out log-likelihood"),
}
_LEAST = {"ari": STABLE_ARI, "weakest_slsw": STABLE_SEGMENT}  # what counts as found again
_FIT = {"bic_k": "BIC", "icl_k": "ICL", "held_out_k": "held-out rows"}
_MEANINGS = {
    "natural": "which means clear groups that every criterion sees",
    "reproducible": "which means found again in other samples, though without clear gaps between them",
    "constructive": "which means a useful way to cut a market that changes without steps",
    "unstable": "which means that this number was asked for, and does not come back in other samples",
    "no segments": "which means that no cut comes back in other samples",
}

_QUICK = {"bootstraps": 10, "most_rows": 2_000}  # the older cut is only the yard-stick of the newer one
_INTERVAL_ERRORS = 3.29  # standard errors between the ends of a 90 % interval: so it tells the standard deviation
_LATEST, _EARLIER = "the last wave", "the waves before"
_VERDICTS = {"supported": "changed", "leaning": "may have changed", "indistinguishable": "no detectable change",
             "refused": "cannot tell"}  # fmt: skip


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
    answer.headline, answer.fitted = _headline, Research(known, None)
    if is_too_small(answer, known, fewest, "criteria", "slsw"):
        answer.results |= {"recommended_k": 1, "verdict": "no segments", "ari": None, "method": None}
        return answer
    found = segments_of(now.situation, known, number=number, method=method or "auto", least=fewest)
    assert found is not None
    answer.fitted = Research(known, found)
    k, days = found.recommended_k, known.days
    origin = answer.origin(days)
    for measure, (name, _) in _CRITERIA.items():
        tried = found.criteria[found.criteria[name].notna()]
        tried = tried[tried["k"] > 1] if name == "smallest_slsw" else tried
        rows = pd.DataFrame({"estimate": tried[name], "level": tried["k"].astype(int).astype(str), "field": "k"})
        rows = rows.assign(n=len(found.labels), baseline=_LEAST.get(measure))
        answer.estimate(rows, origin, measure, unit="ratio")
    if k > 1:
        weak = found.slsw[found.slsw["k"] == k].rename(columns={"slsw": "estimate", "size": "n"})
        weak = weak.assign(field="segment", level=weak["segment"].astype(str))
        answer.estimate(weak, answer.origin(days, "slsw"), "slsw", unit="ratio")
        if (n_cut := int(weak["n"].sum())) < len(found.labels):
            answer.count([{"estimate": n_cut, "n": len(found.labels)}], answer.origin(days, "slsw"), "n_cut")
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
        "is_number_given": number is not None,
    }
    return answer


def of_segments(verb: str, section: str, found: Answer, render: Render, **arguments: Any) -> Answer:
    """An answer about the same rows and segments as ``found``, the answer of ``segments``."""
    if not isinstance(found.fitted, Research):
        raise ParameterError(f"{verb} is asked of the answer of {found.verb}; allowed: that of segments(sample)")
    given = dict(found.arguments) | arguments
    answer = opened().ask(verb, section, found.rows, found.table_name, render, among=found.among, **given)
    answer.is_recorded, answer.fitted = found.is_recorded, found.fitted
    return answer


def _cut_known_at(answer: Answer) -> Moment:
    """When the segments of an answer are known: with the last column that they are cut by."""
    return max(answer.now.known_at(name) for name in answer.fitted.sample.items)


def profile(found: Answer, *, apart: bool = False, by: Sequence[str] | None = None) -> Answer:
    """Every answer in every segment beside the market's, and how large each segment is.

    ``found``: of ``segments``. Shares with Wilson's interval, numbers as means with Student's; of a weighted survey
    both are weighted, with the effective n. They made the segments, so they describe them and prove nothing. ``apart``:
    the shares of the levels of fields that took no part in the cut (all, or these ``by``), in each segment against
    all others; they are drawn together over the segments, p is the exact mid-p value, of a weighted survey with the
    effective n. Errors: ParameterError for fields that made the segments.
    """
    apart = apart or by is not None
    section, show = ("described", _show_apart) if apart else ("profile", _show_profile)
    answer = of_segments("profile", section, found, show, apart=apart, fields=by)
    known, segmentation = answer.fitted
    fields = list(known.held_apart if by is None else by)
    if apart and (wrong := [name for name in fields if name in known.items or name not in known.rows]):
        free = allowed(known.held_apart)
        raise ParameterError(f"by = {wrong}: fields of the sample that took no part; allowed: {free}")
    if segmentation is None:
        answer.missing |= dict.fromkeys(("described",) if apart else ("profile", "segments"), found.missing["criteria"])
    elif not apart:
        _state_profile(answer, known, segmentation)
    elif segmentation.recommended_k == 1:
        answer.missing["described"] = "There is one market without segments, so there is nothing to describe."
    elif not fields:
        answer.missing["described"] = "Every field was used to cut. Collect further fields to describe the segments by."
    else:
        groups, cut = segmentation.labels.astype(str), levels(known.rows, fields, RARE)
        looks = share_looks(share_counts(cut, groups, known.weights), answer.origin(known.days))
        late = _cut_known_at(answer)
        moment = late.name.lower() if late > Moment.HANDOFF else ""
        answer.compare(looks, ShareRedraw(cut, groups, "share", known.weights), moment)
    return answer


def _state_profile(answer: Answer, known: Sample, found: Segmentation) -> None:
    """The answers of every segment, how large it is, and about how many of the known accounts it holds."""
    situation, days, labels = answer.now.situation, known.days, found.labels.astype(str)
    origin, shares = answer.origin(days), shares_of(known, labels, found.profile)
    is_market = shares["subject"] == MARKET  # of everybody before any cut: as ``explore`` says it
    answer.estimate(shares[~is_market], origin, "profile_share")
    answer.estimate(shares[is_market], answer.origin(days, "explore"), "profile_share")
    answer.estimate(means_of(known, labels, found.profile), origin, "profile_mean", unit="ratio")
    origin = answer.origin(days, "segments")
    rows = found.sizes.assign(estimate=found.sizes["share"], field="segment", level=found.sizes["segment"].astype(str))
    rows["n"] = len(labels)
    answer.estimate(rows, origin, "segment_share")
    if situation.holds("accounts"):
        n = len(situation.known("accounts"))
        scaled = {name: rows[name] * n for name in ("estimate", "low", "high")}
        answer.estimate(rows.assign(**scaled), origin, "n_accounts", unit="count")


def _headline(shown: Evidence) -> list[Sentence]:
    """How many rows show how many segments, and of which kind."""
    k, n = shown.result("recommended_k"), first(shown.ledger, measure="n_rows")
    if n is None or not n["estimate"]:
        return [Sentence("Nothing is known that could be cut into segments.")]
    what = f"{k} segments" if k and k > 1 else "one market, without segments that could be trusted"
    found = f"{value(n, shown.words)} rows of {n['source_table']} show {what} (verdict: {_verdict(shown)})."
    return [stating(found, n, _chosen(shown))]


def _verdict(shown: Evidence) -> str:
    return str(shown.result("verdict") or "not judged")


def _chosen(shown: Evidence) -> pd.DataFrame:
    """The claims on the number of segments that is used, and on those that the criteria name."""
    named = {str(shown.result(name)) for name in ("recommended_k", "lowest_k", "highest_k", *_FIT)}
    criteria = shown.cell("criteria")
    return criteria[criteria["level"].isin(named)]


def _show_segments(shown: Evidence, title: str) -> Sequence[Piece]:
    k, claims, name = shown.result("recommended_k"), shown.cell("criteria"), level_of(shown.words)
    heading = title or "How many segments can be trusted, and what else speaks for a number?"
    verdict, weak = _verdict(shown), shown.of("slsw")
    meaning = f", {_MEANINGS[verdict]}" if verdict in _MEANINGS else ""
    columns: dict[str, str | tuple[str, Column]] = {measure: heading for measure, (_, heading) in _CRITERIA.items()}
    pieces: list[Piece] = [
        stability(claims, heading, recommended=k if k and k > 1 else None),
        table_of(claims.sort_values("level", kind="stable"), shown.words, "segments", columns, label=name),
    ]
    said = [_reason(shown), _range(shown), stating(f"Verdict: {verdict}{meaning}.", _chosen(shown))]
    if len(weak):
        columns = {"n": ("rows", lambda row: numbers.count(row["slsw"]["n"])), "slsw": "found again (1 is always)"}
        pieces.append(table_of(weak, shown.words, "segment", columns, label=name))
        weakest = records(weak.sort_values("estimate", kind="stable").head(1))[0]
        text = f"The weakest segment is {name(weakest)}: found again at {numbers.plain(weakest['estimate'])}"
        said.append(stating(f"{text} on a scale to 1.", weakest))
    if cut := shown.first("n_cut"):
        of = f"{value(cut, shown.words)} rows, drawn by lot of {numbers.count(cut['n'])}"
        said.append(stating(f"Cut were {of}; the others were then assigned to the segments.", cut))
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
    figures = (whole["estimate"], whole["baseline"], shuffled["estimate"], weakest["estimate"])
    found, asked, luck, least = map(numbers.decimal, figures)
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
    apart = f"With what is found again they name {lowest} to {highest}{f' ({listed})' if listed else ''}"
    tail = "fit alone goes on rewarding finer cuts, and only what is found again can be worked with"
    return stating(f"{apart}: {tail}.", _chosen(shown))


def _show_profile(shown: Evidence, title: str) -> Sequence[Piece]:
    claims, words = shown.of("profile_share", "profile_mean"), shown.words
    claims = claims[claims["subject"] != MARKET]
    labels = [words.short(f, v) if v else words.column(f) for f, v in claims[["field", "level"]].to_numpy()]
    most = claims.sort_values(["n", "n_effective"], ascending=False, kind="stable")
    largest = [records(most[most["subject"] == name].head(1))[0] for name in claims["subject"].unique()]
    segments = [f"{words.name(str(claim['subject']))} ({cases(claim)})" for claim in largest]
    wide = claims.assign(item=labels).pivot_table(index="item", columns="subject", values="estimate", sort=False)
    if len(segments) < 2:
        return (Missing("the market was not cut into segments, and one alone has no profile."),)
    deviation = (claims["high"] - claims["low"]) * claims["n"].astype(float) ** 0.5 / _INTERVAL_ERRORS
    scale = deviation.where(claims["measure"] == "profile_mean", 1.0).groupby(labels).mean().replace(0.0, 1.0)
    order = ((wide.max(axis=1) - wide.min(axis=1)) / scale).sort_values(ascending=False, kind="stable").index
    unit = "rate" if (claims["unit"] == "rate").all() else "ratio"
    drawn = wide.loc[order].set_axis(segments, axis=1)
    sizes = shown.of("segment_share").sort_values("estimate", ascending=False, kind="stable")
    name, top = level_of(words), records(sizes.head(1))[0]
    accounts = shown.first("n_accounts", level=str(top["level"]))
    reach = "" if accounts is None else f", about {value(accounts, words)} known accounts"
    text = f"The largest is {name(top)}: {backed(top, words)} of the market{reach}."
    return (
        heat(drawn, claims.assign(item=labels), title or "What tells the segments apart?", unit=unit),
        stating(f"They are cut above all by: {', '.join(map(str, order[:3]))}.", claims),
        dots_of(sizes, words, "How large is each segment?", "share of the market", name),
        stating(text, *([top] if accounts is None else [top, accounts])),
    )


def _show_apart(shown: Evidence, title: str) -> Sequence[Piece]:
    name = title or "Where do segments differ on what they were not made from?"
    return comparison(shown.of("share"), shown, name, "share of the segment")


def waves(found: Answer, *, least: int | None = None) -> Answer:
    """Has the segmentation held? The rows before the last wave are cut alone, and both cuts label the newest rows.

    ``found``: of ``segments``; ``least``: a wave with fewer rows is not compared (50). Agreement is the adjusted Rand
    index with its bootstrap interval (Hubert & Arabie, 1985); sizes are compared by today's cut, their difference with
    Newcombe's interval (1998).
    """
    fewest = FEWEST_ROWS if least is None else least
    answer = of_segments("waves", "held", found, _show_waves, wave=least)
    sample, now = answer.fitted
    situation, days = answer.now.situation, sample.days
    if now is None:
        answer.missing["held"] = found.missing["criteria"]
        return answer
    is_last, is_survey = last_wave(situation, sample.days, fewest), sample.source == "respondents"
    if is_last is None:
        why = f"fewer than {fewest} rows came in the last periods, or before them"
        if not situation.is_dated or days.empty:
            why = f"the {'answers' if is_survey else 'rows'} have no days; record the day of each"
        elif is_survey:
            why = f"there is one wave of answers only, or one of fewer than {fewest} people; ask as many the same "
            why += "questions again, and the two cuts are compared"
        answer.missing["held"] = f"Cannot tell: {why}."
        return answer
    origin, items = answer.origin(days[is_last]), sample.rows[sample.items]
    weights = None if sample.weights is None else sample.weights[~is_last]
    ks = range(2, max(now.recommended_k, 2) + 3)
    old = segmented(situation, "wave", items[~is_last], weights, others=items[is_last], ks=ks, **_QUICK)
    answer.count([{"estimate": int(is_last.sum()), "n": len(items)}], origin, "n_last_wave")
    answer.count([{"estimate": old.recommended_k, "n": int((~is_last).sum())}], origin, "earlier_segments")
    answer.results |= {"recommended_k": now.recommended_k}
    answer.results |= {"earlier_k": old.recommended_k, "earlier_verdict": old.verdict}
    if min(old.recommended_k, now.recommended_k) < 2:
        return answer
    alike = agreement(old.others, now.labels[is_last], situation.rng("agreement"))
    answer.estimate([alike], origin, "wave_agreement", unit="ratio")
    pairs = matched(old.profile.drop(index="market"), now.profile.drop(index="market"))
    ids = [str(segment) for segment in range(now.recommended_k)]
    earlier = [pairs.get(segment, "") for segment in ids]
    answer.tables["matched"] = pd.DataFrame({"segment": ids, "earlier": earlier}, dtype="str")
    wave = pd.Series(_EARLIER, index=now.labels.index).mask(is_last, _LATEST)
    _compare_sizes(answer, now.labels.astype(str).to_frame("segment"), wave, sample.weights, origin)
    return answer


def _compare_sizes(
    answer: Answer, labels: pd.DataFrame, wave: pd.Series, weights: pd.Series | None, origin: Origin
) -> None:
    """Each segment's share of the last wave against the waves before, both by today's cut."""
    counted = share_counts(labels, wave, weights)
    mine, looks = counted[counted["subject"] == _LATEST], share_looks(counted, origin, measure="wave_share")
    looks = looks[looks["subject"] == _LATEST].assign(subject="market")
    redraw = ShareRedraw(labels, wave, "wave_share", weights, _LATEST)
    answer.compare(looks, redraw, _cut_known_at(answer).name.lower())
    gap, low, high = difference_interval(mine["k"], mine["n"], mine["k_rest"], mine["n_rest"])
    rows = sizes_told(mine).assign(estimate=gap, low=low, high=high)
    answer.estimate(rows, origin, "wave_share_change", unit="points")


def _show_waves(shown: Evidence, title: str) -> Sequence[Piece]:
    found, last = shown.first("wave_agreement"), shown.first("n_last_wave")
    before = shown.first("earlier_segments")
    if before is None or last is None:
        return ()
    verdict, now = shown.result("earlier_verdict"), shown.result("recommended_k")
    text = f"Before the last wave of {value(last, shown.words)} rows the cut gave "
    text += f"{value(before, shown.words)} segments ({verdict})" if before["estimate"] > 1 else "no segments"
    same = "as many as now" if before["estimate"] == now else "not the number of now"
    if found is None:
        return (stating(f"{text}, {same}; so no segment can be followed.", before, last),)
    agreed = stating(
        f"{text}, {same}. On the rows of the last wave, which it had never seen, it agrees with today's cut at "
        f"{on_scale(found)} on a scale to 1.", before, last, found,
    )  # fmt: skip
    compared = shown.of("wave_share")
    names = [shown.words.name(str(level)) for level in compared.loc[compared["verdict"] == "supported", "level"]]
    changed = (
        f"Changed in size: {', '.join(names)}." if names else "No segment is shown to have grown or shrunk by much."
    )
    return _wave_sizes(shown, title), agreed, stating(changed, compared)


def _wave_sizes(shown: Evidence, title: str) -> Table:
    """Each segment: which it was, its share of the last wave, and the change against the waves before."""
    earlier = shown.table("matched")
    was = dict(zip(earlier["segment"], earlier["earlier"], strict=True)) if len(earlier) else {}
    cells, ids = [], []
    for claim in records(shown.of("wave_share").sort_values("level")):
        segment, verdict = str(claim["level"]), str(claim["verdict"])
        change = shown.first("wave_share_change", level=segment)
        old = was.get(segment, "")
        cells.append((
            shown.words.name(segment), f"segment {old}" if old else "new", backed(claim, shown.words),
            ranged(change, shown.words), "changed too little to count" if is_small(claim) else _VERDICTS[verdict],
        ))  # fmt: skip
        ids.append(claim_ids(claim, *([] if change is None else [change])))
    heads = ("segment", "was before", "share of the last wave", "change since the waves before", "verdict")
    return Table(heads, tuple(cells), (False, False, True, True, False), title, claims=tuple(ids))
