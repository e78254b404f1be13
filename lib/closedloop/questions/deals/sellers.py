"""Do sellers differ by more than luck? Only then are they compared one by one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy

from closedloop.claims.comparisons import LOOK_COLUMNS, meta_of, typed
from closedloop.claims.ledger import Origin
from closedloop.period.comparisons import REP_LUCK, known_before, shown_rates
from closedloop.period.counting import LEAST_SHOWN, RARE, counts, levels
from closedloop.period.leaks import leaking
from closedloop.period.records import ONLY_WON, won
from closedloop.period.situation import Situation
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, Sentence, stating
from closedloop.presentation.findings import value
from closedloop.statistics.logistic_regression import shrink_crossed
from closedloop.statistics.proportions import spread_beyond_luck
from closedloop.terms import Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import comparison
from closedloop.workbench.gaps import no_deals
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import RateRedraw

_WHOLE = {"subject": "market", "field": "", "level": ""}


def sellers(deals: pd.DataFrame, *, luck: float = REP_LUCK, among: str | None = None) -> Answer:
    """The spread between sellers against what luck alone would give; only with p <= ``luck`` are they compared.

    Then each seller's win rate, were all to sell to the same personas: a ridge logistic fit of both, its variance
    integrated (METHODS 5).
    """
    now = opened()
    answer = now.ask("sellers", "reps", deals, "deals", _show, among=among, luck=luck)
    answer.results |= {"rep_spread_p": None, "is_rep_spread_beyond_luck": None}
    if no_deals(answer):
        return answer
    ended, situation = answer.rows, now.situation
    if reason := _why_not(situation, ended):
        answer.missing["reps"] = reason
        return answer
    decided = ended[won(ended).notna() & ended["rep_id"].notna()]
    table = (decided["outcome"] == "won").groupby(decided["rep_id"]).agg(["sum", "size"])
    p, n, origin = spread_beyond_luck(table["sum"], table["size"]), len(decided), answer.origin(ended["closed_on"])
    answer.count([{"estimate": len(table), "n": n}], origin, "n_reps")
    spread = {"estimate": p, "n": n, "p": p, "beyond": 1 - p}
    answer.compare(typed([spread | meta_of(origin, "rep_spread", "ratio", "descriptive") | _WHOLE], LOOK_COLUMNS))
    answer.results |= {"rep_spread_p": p, "is_rep_spread_beyond_luck": bool(p <= luck)}
    redraw = RateRedraw(
        *("deals", decided["deal_id"], levels(decided, ["rep_id"], RARE), decided["closed_on"], "won", "win_rate"),
        threshold=situation.claims.practical_threshold,
        late=["rep_id"],
        within=decided["persona"],
        gate="rep_id",
        luck=luck,
    )
    answer.redraws.append(redraw)
    if p <= luck:
        answer.compare(_compared(situation, decided, origin))
    return answer


def _why_not(situation: Situation, ended: pd.DataFrame) -> str:
    """Why sellers cannot be compared; nothing where they can."""
    if situation.has_only_won:
        return ONLY_WON
    if "rep_id" in leaking(situation):
        return (
            "Sellers cannot be compared: who sold looks like a leak, recorded more often for one outcome than for the "
            "other. Record who sold every deal, from its start."
        )
    if "rep_id" not in ended or ended["rep_id"].nunique() < 2:
        return "Fewer than two reps are recorded. Collect deals.rep_id as a code."
    decided = ended[won(ended).notna() & ended["rep_id"].notna()]
    n_won, n_lost = (int((decided["outcome"] == outcome).sum()) for outcome in ("won", "lost"))
    if min(n_won, n_lost) < LEAST_SHOWN or decided["rep_id"].nunique() < 2:
        return (
            f"Sellers cannot be compared: {n_won} won and {n_lost} lost deals of {decided['rep_id'].nunique()} sellers "
            f"record one; {LEAST_SHOWN} of each and two sellers are needed. Record who sold every deal."
        )
    return ""


def _compared(situation: Situation, decided: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    """Each seller's win rate, were all to sell to the same personas (``evidence.crossed``).

    p compares a seller with the others within persona and period, as all rates are compared within periods.
    """
    hit, threshold = won(decided), situation.claims.practical_threshold
    by = levels(decided, ["rep_id"], RARE).assign(persona=decided["persona"])
    strata = situation.names_of(decided["closed_on"]) + " " + decided["persona"].astype("str")
    counted = counts(by, ["rep_id"], hit, strata, ["rep_id"], known_before(situation, decided))
    rates = shown_rates(counted, origin, "win_rate", threshold)
    table = shrink_crossed(hit.astype(float), by)
    own = table[table["column"] == "rep_id"].set_index("level")
    effect, low, high = own.loc[rates["level"], ["points", "points_low", "points_high"]].to_numpy().T
    error = (high - low) / (2 * scipy.stats.norm.isf(0.05))
    beyond = scipy.stats.norm.sf((threshold - effect) / error) + scipy.stats.norm.cdf((-threshold - effect) / error)
    figures = {
        "effect": effect,
        "estimate": rates["baseline"] + effect,
        "low": rates["baseline"] + low,
        "high": rates["baseline"] + high,
        "beyond": beyond,
    }
    is_compared = rates["reason"] == ""
    return rates.assign(within="persona", **{name: np.where(is_compared, of, np.nan) for name, of in figures.items()})


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    spread, n_sellers = shown.first("rep_spread"), shown.first("n_reps")
    if spread is None or n_sellers is None:
        return (Sentence("The spread between sellers could not be tested."),)
    found = f"{value(n_sellers, shown.words)} sellers with {numbers.count(spread['n'])} decided deals"
    if numbers.is_missing(spread["p"]):
        return (stating(f"{found}: too few to tell luck from skill.", spread, n_sellers),)
    p = f"p = {spread['p']:.2g}"
    if spread["verdict"] != Verdict.SUPPORTED:
        return (stating(f"{found} are not shown to differ beyond luck ({p}): no league table.", spread, n_sellers),)
    said = stating(f"{found} differ by more than luck ({p}); look at what they sell first.", spread, n_sellers)
    name, axis = title or "Who wins more of the same deals?", "share won, were all to sell to the same personas"
    return said, *comparison(shown.of("win_rate"), shown, name, axis)
