"""Advantages, before their family is closed: a gain in accuracy, or a rate under another rule."""

from typing import Any

import numpy as np
import pandas as pd
import scipy

from closedloop.evidence.looks import LOOK_COLUMNS, Origin, meta_of, typed


def gain_looks(
    rows: Any, origin: Origin, *, measure: str, unit: str = "ratio", subject: str = "market", level: float = 0.90
) -> pd.DataFrame:
    """Looks at whether each gain differs from its baseline (0 unless the rows have one).

    ``rows`` (a frame or a list of dicts): field, level, estimate, low, high, n; the interval is that of the estimate
    against the baseline, and p its two-sided normal p value. Without a finite interval nothing can be told. ``beyond``
    is the probability that the sign is right: any advantage is worth telling.
    """
    frame = pd.DataFrame(rows)
    baseline = frame["baseline"] if "baseline" in frame else pd.Series(0.0, index=frame.index)
    effect = frame["estimate"].astype(float) - baseline
    error = (frame["high"] - frame["low"]).astype(float) / (2 * scipy.stats.norm.isf((1 - level) / 2))
    z = np.where(error > 0, effect.abs() / error.where(error > 0), np.nan)
    meta = meta_of(origin, measure, unit, "predictive") | {"subject": subject}
    p, beyond = 2 * scipy.stats.norm.sf(z), scipy.stats.norm.cdf(z)
    return typed(frame.assign(effect=effect, baseline=baseline, p=p, beyond=beyond, **meta), LOOK_COLUMNS)
