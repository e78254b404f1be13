"""The list of whom to call next: by rank, with places for records that are drawn, so that the order can be judged."""

import numpy as np
import pandas as pd
from numpy.random import Generator

CALL_LIST = "call-list"  # how the list is called in leads.experiment, where a CRM logs it
RANKED, RANDOM = "ranked", "random"
LIST_LENGTH = 200


def listed(ranked: pd.DataFrame, random_share: float, rng: Generator, length: int = LIST_LENGTH) -> pd.DataFrame:
    """The rows that get on the list, in the order to call, with ``rank``, ``slot`` and ``arm_rate``.

    ``ranked``: every waiting record, the best first. Of ``length`` places a ``random_share`` (a fraction) goes to
    records drawn with equal chances from all that are not ranked onto the list; these places are drawn as well, so
    that nobody is called last for being drawn. ``arm_rate`` is the probability with which a record got on the list by
    its slot: 1 by rank, places over candidates by the draw. A list that holds everybody draws nobody.
    """
    n = min(length, len(ranked))
    n_drawn = round(random_share * n) if len(ranked) > n else 0
    n_candidates = len(ranked) - (n - n_drawn)
    drawn = n - n_drawn + rng.permutation(n_candidates)[:n_drawn]
    is_drawn = rng.permutation(n) < n_drawn
    row = np.empty(n, dtype=int)
    row[~is_drawn], row[is_drawn] = np.arange(n - n_drawn), drawn
    slot = np.where(is_drawn, RANDOM, RANKED)
    rate = np.where(is_drawn, n_drawn / max(n_candidates, 1), 1.0)
    return ranked.iloc[row].assign(rank=range(1, n + 1), slot=slot, arm_rate=rate)


def to_log(table: pd.DataFrame) -> pd.DataFrame:
    """The list as a CRM imports it: with experiment, arm and arm_rate, the columns of ``leads`` that log the draw."""
    return plainly(table).assign(experiment=CALL_LIST, arm=table["slot"]).drop(columns="slot")


def plainly(table: pd.DataFrame) -> pd.DataFrame:
    """A list with reasons and caution as text, "role: planner", by the names of columns and levels in the data."""

    def told(parts: pd.Series) -> list[str]:
        return ["; ".join(f"{field}: {level}" for field, level in row) for row in parts]

    return table.assign(reasons=told(table["reasons"]), caution=told(table["caution"]))
