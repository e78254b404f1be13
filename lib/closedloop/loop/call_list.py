"""The list of whom to call next: by rank, with places for records that are drawn, so that the order can be judged."""

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
    places = rng.permutation(n)[:n_drawn]
    slot = pd.Series(RANKED, index=range(n), dtype="str")
    slot.iloc[places] = RANDOM
    row = pd.Series(0, index=range(n), dtype="int64")
    row[slot == RANKED] = range(n - n_drawn)
    row[slot == RANDOM] = drawn
    rate = slot.map({RANKED: 1.0, RANDOM: n_drawn / n_candidates if n_candidates else 1.0})
    found = ranked.iloc[row.to_numpy()]
    return found.assign(rank=range(1, n + 1), slot=slot.to_numpy(), arm_rate=rate.to_numpy())


def to_log(table: pd.DataFrame) -> pd.DataFrame:
    """The list as a CRM imports it: with experiment, arm and arm_rate, the columns of ``leads`` that log the draw."""
    return table.assign(experiment=CALL_LIST, arm=table["slot"]).drop(columns="slot")
