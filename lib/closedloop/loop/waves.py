"""01 Research: has the segmentation held since the last wave of answers (records: since the last period)?"""

from typing import NamedTuple

import pandas as pd

from closedloop.evidence.agreement import agreement, difference_interval, matched
from closedloop.evidence.claims import Origin, share_looks
from closedloop.evidence.segments import Segmentation, segmentation
from closedloop.loop.counting import share_counts, sizes_told
from closedloop.loop.records import Sample
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft

DAYS = ("answered_on", "created_on", "closed_on")
_FEWEST_ROWS = 50
_QUICK = {"bootstraps": 10, "most_rows": 2_000}  # the older cut is only the yard-stick of the newer one
_LATEST, _EARLIER = "the last wave", "the waves before"


class Waves(NamedTuple):
    """Which rows came with the last wave, and the periods that the earlier rows are of."""

    is_last: pd.Series
    first: str
    last: str


def waves_of(situation: Situation, sample: Sample) -> Waves | None:
    """The last wave: the rows of the latest periods in a row; of the latest one alone when no period is without rows.

    None when the rows have no days, or when either side has too few.
    """
    day = next((name for name in DAYS if name in sample.rows), None)
    if day is None or not situation.is_dated:
        return None
    days = pd.to_datetime(sample.rows[day])
    names = situation.names_of(days)
    order = [period for period in _in_order(days, names) if period]
    if len(order) < 2:
        return None
    latest = _last_run(situation, days, order)
    is_last = names.isin(latest)
    if min(is_last.sum(), (~is_last).sum()) < _FEWEST_ROWS:
        return None
    return Waves(is_last, *situation.span(days[is_last]))


def _in_order(days: pd.Series, names: pd.Series) -> list[str]:
    """The periods that hold any day, oldest first."""
    first = days.groupby(names).min().dropna().sort_values()
    return [str(name) for name in first.index]


def _last_run(situation: Situation, days: pd.Series, order: list[str]) -> list[str]:
    """The latest periods without a gap between them; the latest alone when there is no gap at all."""
    length = (situation.period.end - situation.period.start).days
    names = situation.names_of(days)
    last, first = days.groupby(names).max(), days.groupby(names).min()
    run = [order[-1]]
    for before, after in zip(order[-2::-1], order[:0:-1], strict=True):
        if (first[after] - last[before]).days > length:
            return run
        run.append(before)
    return [order[-1]]


def _why_one_wave(situation: Situation, sample: Sample) -> str:
    """What keeps an earlier cut from being compared with today's."""
    is_survey = sample.source == "respondents"
    if not situation.is_dated or not any(name in sample.rows for name in DAYS):
        return f"the {'answers' if is_survey else 'rows'} have no days; record the day of each"
    if is_survey:
        return (
            f"there is one wave of answers only, or one of fewer than {_FEWEST_ROWS} people; ask as many the same "
            "questions again, and the two cuts are compared"
        )
    return f"fewer than {_FEWEST_ROWS} rows came in the last periods, or before them"


def held(draft: Draft, situation: Situation, sample: Sample, found: Segmentation, waves: Waves | None) -> None:
    """Cut the rows before the last wave by themselves, and compare sizes and membership with today's cut."""
    if waves is None:
        draft.missing["held"] = f"Cannot tell: {_why_one_wave(situation, sample)}."
        return
    origin = Origin("01_research", "held", sample.source, waves.first, waves.last)
    items = sample.rows[sample.items]
    most = max(found.recommended_k, 2) + 2
    weights = None if sample.weights is None else sample.weights[~waves.is_last]
    rng, ks = situation.rng("wave"), range(2, most + 1)
    old = segmentation(items[~waves.is_last], weights=weights, rng=rng, ks=ks, **_QUICK)  # type: ignore[arg-type]
    draft.count([{"estimate": int(waves.is_last.sum()), "n": len(items)}], origin, "n_last_wave")
    draft.count([{"estimate": old.recommended_k, "n": int((~waves.is_last).sum())}], origin, "earlier_segments")
    draft.results |= {"earlier_k": old.recommended_k, "earlier_verdict": old.verdict}
    if min(old.recommended_k, found.recommended_k) < 2:
        return
    _state_agreement(draft, situation, items[waves.is_last], old, found, origin)
    _state_sizes(draft, found, waves, sample.weights, origin)


def _state_agreement(
    draft: Draft, situation: Situation, rows: pd.DataFrame, old: Segmentation, found: Segmentation, origin: Origin
) -> None:
    """Agreement on the rows of the last wave, which the older cut has never seen; and which segment was which."""
    now, before = found.labels.loc[rows.index], old.predict(rows)
    draft.estimate([agreement(before, now, situation.rng("agreement"))], origin, "wave_agreement", unit="ratio")
    pairs = matched(old.profile.drop(index="market"), found.profile.drop(index="market"))
    ids = [str(segment) for segment in range(found.recommended_k)]
    earlier = [pairs.get(segment, "") for segment in ids]
    draft.tables["matched"] = pd.DataFrame({"segment": ids, "earlier": earlier}, dtype="str")


def _state_sizes(draft: Draft, found: Segmentation, waves: Waves, weights: pd.Series | None, origin: Origin) -> None:
    """Each segment's share of the last wave against the waves before, both by today's cut."""
    wave = pd.Series(_EARLIER, index=found.labels.index).mask(waves.is_last, _LATEST)
    labels = found.labels.astype(str)
    counted = share_counts(labels.to_frame("segment"), wave, weights)
    mine = counted[counted["subject"] == _LATEST]
    looks = share_looks(counted, origin, measure="wave_share")
    draft.looks.append(looks[looks["subject"] == _LATEST].assign(subject="market"))
    gap, low, high = difference_interval(mine["k"], mine["n"], mine["k_rest"], mine["n_rest"])
    rows = sizes_told(mine).assign(estimate=gap, low=low, high=high)
    draft.estimate(rows, origin, "wave_share_change", unit="points")
