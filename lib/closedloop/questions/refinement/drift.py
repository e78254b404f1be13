"""Does the market drift? Who came, and how it ended, in the period against the periods before."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closedloop.claims.comparisons import LOOK_COLUMNS, Origin, meta_of, typed
from closedloop.market.definition import Definition
from closedloop.market.periods import period_of
from closedloop.period.counting import LEAST_SHOWN
from closedloop.presentation.blocks import Listing, Note, Piece, Sentence, stating
from closedloop.presentation.sentences import backed, sentences
from closedloop.presentation.tables import dots_of
from closedloop.questions.refinement.splits import FEWEST_DEALS, refinable
from closedloop.statistics.proportions import at_rate, wilson
from closedloop.statistics.segmentation.indicators import Floats, is_metric, level_text
from closedloop.statistics.stratified import FEWEST_EARLIER, Drift
from closedloop.statistics.stratified import drift as moved
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import DriftRedraw

MOST_EARLIER = 8  # periods before this one that it is compared with: what is older says little of today
RATE, SHARE = "drift_win_rate", "drift_share"
SHARE_THRESHOLD = 0.05
_LATE = 0.1  # of a period: where the records begin later than that, it is not whole
_FIGURES = {
    RATE: ("Are they won as often as before?", "share of decided deals won"),
    SHARE: ("Do they come as often as before?", "share of decided deals"),
}


def drift(
    deals: pd.DataFrame, *, earlier: int | None = None, least: int | None = None, among: str | None = None
) -> Answer:
    """Each persona's win rate, and its share of decided deals, against those of earlier periods together.

    The variance between earlier periods beyond luck is estimated by moments (DerSimonian & Laird, 1986) and added to
    the error. ``earlier``: how many periods before this one, eight unless given, and none in which the records only
    begin; ``least`` as of ``edits``.
    """
    now = opened()
    answer = now.ask("drift", "drift", deals, "deals", _show, among=among, earlier=earlier, least=least)
    decided = refinable(answer, FEWEST_DEALS if least is None else least)
    if decided is None:
        return answer
    situation, personas = now.situation, now.personas
    decided = decided[decided["closed_on"] < pd.Timestamp(now.period.end)]
    decided = _of_whole_periods(decided, situation.definition)
    decided = decided.assign(persona=personas.assign(decided), period=situation.names_of(decided["closed_on"]))
    names = list(dict.fromkeys(decided["period"]))[-(MOST_EARLIER if earlier is None else earlier) - 1 :]
    decided = decided[decided["period"].isin(names)]
    if names[-1:] != [now.period.name] or len(names) < 2:
        answer.missing["drift"] = "There is no earlier period, recorded from its start, to compare with."
        return answer
    threshold = situation.claims.practical_threshold
    found = compared(decided, names, personas.ids, threshold)
    answer.results |= {"n_earlier_periods": len(names) - 1, "period_deviation": found[RATE][1].deviation}
    before = names[0] if len(names) == 2 else f"{names[0]} to {names[-2]}"
    records = (decided["deal_id"], decided["persona"], decided["period"]) if answer.is_recorded else None
    for measure in (RATE, SHARE):
        redraw = records and DriftRedraw(*records, names, personas.ids, measure, threshold)
        answer.compare(_comparisons(*found[measure], answer.origin_now, measure, before), redraw)
    strange, is_now = pd.Series(False, index=decided.index), decided["period"] == now.period.name
    for name in [f for f in personas.rule.fields if f in decided and not is_metric(decided[f])]:
        text = level_text(decided[name])
        strange |= text.notna() & ~text.isin(set(text[~is_now].dropna()))
    k, n = strange[is_now].sum(), is_now.sum()
    low, high = wilson(k, n)
    unseen = {"estimate": k / n, "low": float(low), "high": float(high), "n": n}
    answer.estimate([unseen], answer.origin_now, "unseen_share")
    return answer


def _of_whole_periods(deals: pd.DataFrame, definition: Definition) -> pd.DataFrame:
    """The ``deals`` without those of the first period where the records begin late in it, for its days are unlike."""
    if definition.periods is None or deals.empty:
        return deals
    began = deals["closed_on"].min()
    period = period_of(began.date(), definition.periods)
    is_late = (began.date() - period.start) > _LATE * (period.end - period.start)
    return deals[deals["closed_on"] >= pd.Timestamp(period.end)] if is_late else deals


def compared(
    deals: pd.DataFrame, names: list[str], personas: list[str], threshold: float
) -> dict[str, tuple[pd.DataFrame, Drift]]:
    """Rates and shares by persona in each of the periods ``names``, the last of which is now, and how they moved.

    ``deals``: is_won, persona, period. Groups with fewer than ten cases now or before are left out; of one persona the
    share is not compared.
    """
    won, n = (
        deals.pivot_table(values="is_won", index="persona", columns="period", aggfunc=of, fill_value=0)
        .reindex(index=personas, columns=names, fill_value=0)
        .to_numpy(dtype=float)
        for of in ("sum", "size")
    )
    sizes = {RATE: n[:, -1], SHARE: np.full(len(personas), n[:, -1].sum())}  # a share is of the whole period's deals
    groups = {measure: pd.DataFrame({"subject": personas, "n": of}) for measure, of in sizes.items()}
    return {measure: (groups[measure][shown], found) for measure, (shown, found) in moves(won, n, threshold).items()}


def moves(won: Floats, n: Floats, threshold: float) -> dict[str, tuple[NDArray[np.bool_], Drift]]:
    """``compared`` of the won deals and all, (personas, periods): which personas are shown, and how they moved."""
    enough = (n[:, -1] >= LEAST_SHOWN) & (n[:, :-1].sum(axis=1) >= LEAST_SHOWN)
    shown = enough & (len(n) > 1)
    everyone = np.broadcast_to(n.sum(axis=0), n.shape)
    threshold = float(at_rate(threshold, won.sum() / max(n.sum(), 1.0)))
    return {
        RATE: (enough, moved(won[enough], n[enough], threshold=threshold)),
        SHARE: (shown, moved(n[shown], everyone[shown], threshold=SHARE_THRESHOLD)),
    }


def _comparisons(groups: pd.DataFrame, found: Drift, origin: Origin, measure: str, before: str) -> pd.DataFrame:
    figures = {
        "estimate": found.now,
        "low": found.low,
        "high": found.high,
        "baseline": found.before,
        "effect": found.now - found.before,
        "n_effective": found.sizes,
        "p": found.p,
        "beyond": found.beyond,
    }
    meta = meta_of(origin, measure, "rate", "descriptive") | {"field": "", "level": "", "against": before}
    return typed(groups.assign(**figures, **meta), LOOK_COLUMNS)


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    """What moved, how much was compared, and values that were never seen before."""
    pieces: list[Piece] = []
    for measure, (asked, axis) in _FIGURES.items():
        claims = shown.of(measure)
        if len(claims):
            name = f"{title} {asked}" if title else asked
            pieces.append(dots_of(claims, shown.words, name, axis, caption="Line: the earlier periods together."))
    both = pd.concat([shown.of(measure) for measure in _FIGURES])
    held = both[both["verdict"].isin(["supported", "leaning"])]
    pieces += [Listing(sentences(held, shown.words))] if len(held) else []
    n, new = int(shown.result("n_earlier_periods") or 0), shown.first("unseen_share")
    if both.empty:
        pieces.append(Sentence("Whether the market drifts cannot be told: no persona has ten deals now and before."))
    else:
        n_moved, n_few = (int((both["verdict"] == verdict).sum()) for verdict in ("supported", "refused"))
        compared_n = f"Of {len(both)} comparisons" if len(both) > 1 else "The one comparison"
        told = f"{n_moved} show{'s' * (n_moved == 1)} a move" if n_moved else "none shows a move"
        told = told if len(both) > 1 else f"shows {'a' if n_moved else 'no'} move"
        few = f"; for {'all' if n_few == len(both) else n_few} the deals are too few to tell" if n_few else ""
        if n_few == len(both) == 1:
            told, few = "cannot be told", ": the deals are too few"
        pieces.append(stating(f"{compared_n} with the periods before {told}{few}.", both))
        pieces += [Listing(sentences(both, shown.words))] if len(both) == 1 and held.empty else []
    if new is not None and new["estimate"] > 0:
        text = f"{backed(new, shown.words)} of the period's deals have values, in the fields of the rule, never seen"
        pieces.append(stating(f"{text} before: look whether the personas still mean what they meant.", new))
    if n >= FEWEST_EARLIER:
        return *pieces, Note("The verdicts count how far earlier periods differed anyway, beyond luck.")
    are = "is 1" if n == 1 else f"are {n}"
    known = f"How far periods differ anyway is known from {FEWEST_EARLIER} earlier ones on"
    return *pieces, Note(f"{known}; there {are}, so only luck is counted.")
