"""Has the segmentation held since the last wave of answers (records: since the last period)?"""

from collections.abc import Sequence

import pandas as pd

from closedloop.claims.ledger import share_looks
from closedloop.period.counting import share_counts, sizes_told
from closedloop.period.records import Sample
from closedloop.personas.research import FEWEST_ROWS, segmented
from closedloop.presentation.blocks import Piece, claim_ids, stating
from closedloop.presentation.findings import backed, on_scale, ranged, value
from closedloop.presentation.sentences import records
from closedloop.presentation.tables import Table
from closedloop.questions.research.sample import days_of, last_wave
from closedloop.questions.research.segments import cut_known_at, of_segments
from closedloop.statistics.proportions import difference_interval
from closedloop.statistics.segmentation.segments import Segmentation, agreement, matched
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.redraws import ShareRedraw

_QUICK = {"bootstraps": 10, "most_rows": 2_000}  # the older cut is only the yard-stick of the newer one
_LATEST, _EARLIER = "the last wave", "the waves before"
_VERDICTS = {"supported": "changed", "leaning": "may have changed", "indistinguishable": "no detectable change",
             "refused": "cannot tell"}  # fmt: skip


def waves(found: Answer, *, least: int | None = None) -> Answer:
    """Has the segmentation held? The rows before the last wave are cut alone, and both cuts label the newest rows.

    ``found``: of ``segments``; ``least``: a wave with fewer rows is not compared (50). Agreement is the adjusted Rand
    index with its bootstrap interval (Hubert & Arabie, 1985); sizes are compared by today's cut, their difference with
    Newcombe's interval (1998).
    """
    fewest = FEWEST_ROWS if least is None else least
    answer = of_segments("waves", "held", found, _show, wave=least)
    sample, now = answer.fitted
    situation = answer.now.situation
    if now is None:
        answer.missing["held"] = found.missing["criteria"]
        return answer
    is_last = last_wave(situation, sample.rows, fewest)
    if is_last is None:
        answer.missing["held"] = f"Cannot tell: {_why_one_wave(sample, fewest, is_dated=situation.is_dated)}."
        return answer
    origin, items = answer.origin(days_of(sample.rows)[is_last]), sample.rows[sample.items]
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
    _compare_sizes(answer, sample, now, is_last)
    return answer


def _compare_sizes(answer: Answer, sample: Sample, found: Segmentation, is_last: "pd.Series[bool]") -> None:
    """Each segment's share of the last wave against the waves before, both by today's cut."""
    origin = answer.origin(days_of(sample.rows)[is_last])
    wave = pd.Series(_EARLIER, index=found.labels.index).mask(is_last, _LATEST)
    labels = found.labels.astype(str).to_frame("segment")
    counted = share_counts(labels, wave, sample.weights)
    mine = counted[counted["subject"] == _LATEST]
    looks = share_looks(counted, origin, measure="wave_share")
    looks = looks[looks["subject"] == _LATEST].assign(subject="market")
    redraw = ShareRedraw(labels, wave, "wave_share", sample.weights, _LATEST)
    answer.compare(looks, redraw, cut_known_at(answer).name.lower())
    gap, low, high = difference_interval(mine["k"], mine["n"], mine["k_rest"], mine["n_rest"])
    rows = sizes_told(mine).assign(estimate=gap, low=low, high=high)
    answer.estimate(rows, origin, "wave_share_change", unit="points")


def _why_one_wave(sample: Sample, least: int, *, is_dated: bool) -> str:
    """What keeps an earlier cut from being compared with today's."""
    is_survey = sample.source == "respondents"
    if not is_dated or days_of(sample.rows).empty:
        return f"the {'answers' if is_survey else 'rows'} have no days; record the day of each"
    if is_survey:
        return (
            f"there is one wave of answers only, or one of fewer than {least} people; ask as many the same "
            "questions again, and the two cuts are compared"
        )
    return f"fewer than {least} rows came in the last periods, or before them"


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
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
    changed = f"Changed in size: {', '.join(names)}." if names else "No segment is shown to have grown or shrunk."
    return _sizes(shown, title), agreed, stating(changed, compared)


def _sizes(shown: Evidence, title: str) -> Table:
    """Each segment: which it was, its share of the last wave, and the change against the waves before."""
    earlier = shown.table("matched")
    was = dict(zip(earlier["segment"], earlier["earlier"], strict=True)) if len(earlier) else {}
    cells, ids = [], []
    for claim in records(shown.of("wave_share").sort_values("level")):
        segment = str(claim["level"])
        change = shown.first("wave_share_change", level=segment)
        old = was.get(segment, "")
        cells.append((
            shown.words.name(segment), f"segment {old}" if old else "new", backed(claim, shown.words),
            ranged(change, shown.words), _VERDICTS[str(claim["verdict"])],
        ))  # fmt: skip
        ids.append(claim_ids(claim, *([] if change is None else [change])))
    heads = ("segment", "was before", "share of the last wave", "change since the waves before", "verdict")
    return Table(heads, tuple(cells), (False, False, True, True, False), title, claims=tuple(ids))
