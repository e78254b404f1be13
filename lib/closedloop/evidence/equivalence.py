"""When may it be said that things are alike? Only where a difference worth knowing would have been seen."""

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

_LEVEL = 0.90


def alike(claims: pd.DataFrame, worth: float) -> NDArray[np.bool_]:
    """For each claim on a rate: does the 90 % interval of its raw difference lie within ``worth`` (a fraction)?

    Two one-sided tests at 5 % (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680), made
    from p, baseline and the cases that count. False for other units and for what could not be compared.
    """
    n = claims["n_effective"].fillna(claims["n"].astype("float64")).to_numpy(dtype=float)
    base, p = claims["baseline"].to_numpy(dtype=float), claims["p"].to_numpy(dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(base * (1 - base) / n)
        reach = (scipy.stats.norm.isf(p / 2) + scipy.stats.norm.isf((1 - _LEVEL) / 2)) * error
        return np.asarray((claims["unit"] == "rate").to_numpy() & (error > 0) & (reach < worth))
