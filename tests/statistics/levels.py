"""Cases with planted effects of levels, for tests of the fit of levels and of signals."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy
from closedloop.statistics.level_effects import PERSONA

LEVELS = {PERSONA: "pqr", "channel": "abcde", "size": "sml", "region": "nwes"}
N_PERIODS = 6


def drawn_cases(
    seed: int, n: int, planted: Mapping[tuple[str, str], float], within: Mapping[tuple[str, str, str], float] = {}
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Outcomes, periods and levels of ``n`` cases; effects are log odds, those ``within`` one persona only there."""
    rng = np.random.default_rng(seed)
    levels = pd.DataFrame({name: rng.choice(list(own), n) for name, own in LEVELS.items()})
    chance = np.full(n, -0.5)
    for (field, level), effect in planted.items():
        chance += effect * (levels[field] == level).to_numpy()
    for (field, level, persona), effect in within.items():
        chance += effect * ((levels[field] == level) & (levels[PERSONA] == persona)).to_numpy()
    won = (rng.random(n) < scipy.special.expit(chance)).astype(float)
    return won, np.arange(n) * N_PERIODS // n, levels
