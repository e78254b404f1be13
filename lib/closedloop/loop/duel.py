"""The duel: does the proposal predict the deals that close after it better than the set in force?"""

from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.evidence.accuracy import auc_within, log_loss, paired_bootstrap
from closedloop.evidence.claims import Origin, close_family, stacked
from closedloop.evidence.gains import gain_looks
from closedloop.evidence.rates import shrink_rates
from closedloop.loop.edits import propose
from closedloop.loop.persona import PersonaSet, estimate
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft
from closedloop.market.warehouse import fetched
from closedloop.terms import Verdict

Floats = NDArray[np.float64]

_CONTENDERS = ("proposal", "in force", "no personas", "stage")
_BLOCKS = 4
GAINS: dict[str, Literal["log_loss", "auc_within"]] = {"log_loss_gain": "log_loss", "auc_within_gain": "auc_within"}
_LAGGED_DEALS = 400


def predict(personas: PersonaSet, deals: pd.DataFrame, base: float) -> Floats:
    """Win probability of each deal: the lagged base rate, moved by its persona's deviation."""
    deviation = personas.assign(deals).map(personas.deviations()).fillna(0.0)
    return np.asarray(scipy.special.expit(scipy.special.logit(base) + deviation.to_numpy(float)))


def lagged_rate(before: pd.DataFrame) -> float:
    """Win rate of the last deals that had closed before; one win and one loss are added, so it is never 0 or 1."""
    recent = before.tail(_LAGGED_DEALS)["is_won"]
    return float((recent.sum() + 1) / (len(recent) + 2))


def duel(draft: Draft, situation: Situation, closed: pd.DataFrame, in_force: PersonaSet) -> str:
    """Block by block through the period: who predicts the deals best that closed after the proposal was made?

    Both sets get their rates from the same deals, those that closed before the block: only the rules compete.

    Returned is the verdict on the proposal.

    Improved only if the proposal's gains in log loss and in AUC inside the blocks both hold, as claims of the family
    ``duel``: probabilities that are a little nearer, without a better order of the deals, are not worth new personas.
    All of it is added to ``draft``.
    """
    in_period = closed[situation.in_period(closed["closed_on"])]
    blocks = np.array_split(in_period.index.to_numpy(), _BLOCKS)
    y: list[Floats] = []
    block_of: list[Floats] = []
    predictions: dict[str, list[Floats]] = {name: [] for name in _CONTENDERS}
    for number, rows in enumerate(blocks[1:], 1):
        begins = closed.loc[rows[0], "closed_on"]
        before, block = closed[closed["closed_on"] < begins], closed.loc[rows]
        rate = lagged_rate(before)
        challenger, _ = propose(situation, before, in_force)
        recent = situation.in_window(before, before["closed_on"])
        defender = estimate(in_force, recent, situation.names_of(recent["closed_on"]))
        predictions["proposal"].append(predict(challenger, block, rate))
        predictions["in force"].append(predict(defender, block, rate))
        predictions["no personas"].append(np.full(len(block), rate))
        predictions["stage"].append(_by_stage(situation, begins, before, block, rate))
        y.append(block["is_won"].to_numpy(float))
        block_of.append(np.full(len(block), number))
    outcome, blocks_ = np.concatenate(y), np.concatenate(block_of)
    joined = {name: np.concatenate(parts) for name, parts in predictions.items()}
    judged = _state(draft, situation, outcome, blocks_, joined)
    draft.results |= {"n_deals": len(outcome)}
    gained = judged[(judged["verdict"] == Verdict.SUPPORTED) & (judged["effect"] > 0)]
    return "improved" if set(gained["measure"]) == set(GAINS) else "no improvement shown"  # missing is no gain


def _state(draft: Draft, situation: Situation, y: Floats, block: Floats, joined: dict[str, Floats]) -> pd.DataFrame:
    """Every contender's accuracy and its gains over the set in force; the claims on the proposal's are returned."""
    period = situation.period.name
    origin = Origin("06_refinement", "duel", "deals", period, period)
    known = {name: p for name, p in joined.items() if not np.isnan(p).any()}
    losses = [_row(name, log_loss(y, p), len(y)) for name, p in known.items()]
    orders = [_row(name, auc_within(y, p, block), len(y)) for name, p in known.items()]
    for measure, rows in (("log_loss", losses), ("auc_within", orders)):
        draft.estimate(rows, origin, measure, unit="ratio", kind="predictive")
    compare = partial(paired_bootstrap, y, joined["in force"], block=block)
    looks = []
    for measure, judge in GAINS.items():
        rows = []
        for name in known.keys() - {"in force"}:
            gain = compare(joined[name], rng=situation.rng(f"duel-{name}"), measure=judge)
            rows.append(_row(name, gain.estimate, len(y), low=gain.low, high=gain.high))
        others = [row for row in rows if row["level"] != "proposal"]
        draft.estimate(sorted(others, key=lambda row: row["level"]), origin, measure, unit="ratio", kind="predictive")
        looks.append(gain_looks([row for row in rows if row["level"] == "proposal"], origin, measure=measure))
    judged = close_family(
        stacked(looks), family="duel", market=situation.market, period=period, expires_on=situation.expires_on
    )
    draft.closed.append(judged)
    return judged


def _row(contender: str, estimate: float, n: int, **ends: float) -> dict[str, Any]:
    return {"field": "contender", "level": contender, "estimate": estimate, "n": n, **ends}


def _by_stage(
    situation: Situation, begins: pd.Timestamp, before: pd.DataFrame, block: pd.DataFrame, base: float
) -> Floats:
    """The rep's view: win rates by the deals' stage at the block's start, learned from an earlier snapshot."""
    if not situation.view.has("stage_history") or "stage" not in situation.deals:
        return np.full(len(block), np.nan)
    earlier = fetched(situation.warehouse.view(situation.period.start).known("deals")).set_index("deal_id")["stage"]
    now = fetched(situation.warehouse.view(begins.date()).known("deals")).set_index("deal_id")["stage"]
    learned = before.assign(stage=before["deal_id"].map(earlier)).dropna(subset=["stage"])
    learned = learned[situation.in_period(learned["closed_on"])]
    table = learned.groupby("stage")["is_won"].agg(["sum", "size"])
    if len(table) < 2:
        return np.full(len(block), base)
    rates = dict(zip(table.index, shrink_rates(table["sum"], table["size"]).mean, strict=True))
    return block["deal_id"].map(now).map(rates).fillna(base).to_numpy(float)
