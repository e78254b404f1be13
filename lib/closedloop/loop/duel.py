"""The duel: does the proposal predict the deals that close after it better than the set in force?"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from closedloop.evidence.rates import shrink_rates
from closedloop.evidence.scores import auc_within, log_loss, paired_bootstrap
from closedloop.loop.edits import propose
from closedloop.loop.persona import PersonaSet
from closedloop.loop.situation import Situation, fetched
from closedloop.loop.step import Draft

Floats = NDArray[np.float64]

_CONTENDERS = ("proposal", "in force", "no personas", "stage")
_BLOCKS = 4
_LAGGED_DEALS = 400


def predict(personas: PersonaSet, deals: pd.DataFrame, base: float) -> Floats:
    """Win probability of each deal: the lagged base rate, moved by its persona's deviation."""
    deviation = personas.assign(deals).map(personas.deviations()).fillna(0.0)
    return np.asarray(special.expit(special.logit(base) + deviation.to_numpy(float)))


def lagged_rate(before: pd.DataFrame) -> float:
    """Win rate of the last deals that had closed before; one win and one loss are added, so it is never 0 or 1."""
    recent = before.tail(_LAGGED_DEALS)["is_won"]
    return float((recent.sum() + 1) / (len(recent) + 2))


def duel(draft: Draft, situation: Situation, closed: pd.DataFrame, in_force: PersonaSet) -> str:
    """Block by block through the period: who predicts the deals best that closed after the proposal was made?"""
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
        predictions["proposal"].append(predict(challenger, block, rate))
        predictions["in force"].append(predict(in_force, block, rate))
        predictions["no personas"].append(np.full(len(block), rate))
        predictions["stage"].append(_by_stage(situation, begins, before, block, rate))
        y.append(block["is_won"].to_numpy(float))
        block_of.append(np.full(len(block), number))
    outcome, blocks_ = np.concatenate(y), np.concatenate(block_of)
    joined = {name: np.concatenate(parts) for name, parts in predictions.items()}
    draft.tables["duel"] = _duel_table(situation, outcome, blocks_, joined)
    gain = draft.tables["duel"].set_index("contender").loc["proposal"]
    draft.results |= {
        "gain": gain["gain"],
        "gain_low": gain["gain_low"],
        "gain_high": gain["gain_high"],
        "n_deals": len(outcome),
    }
    return "improved" if gain["gain_low"] > 0 else "no improvement shown"


def _duel_table(situation: Situation, y: Floats, block: Floats, joined: dict[str, Floats]) -> pd.DataFrame:
    rows = []
    for name, p in joined.items():
        if np.isnan(p).any():
            continue
        gain = paired_bootstrap(y, joined["in force"], p, rng=situation.rng("duel"))
        rows.append([name, log_loss(y, p), auc_within(y, p, block), len(y), gain.low, gain.estimate, gain.high])
    return pd.DataFrame(rows, columns=["contender", "log_loss", "auc_within", "n", "gain_low", "gain", "gain_high"])


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
