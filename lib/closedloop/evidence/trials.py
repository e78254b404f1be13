"""Planned tests of two drawn arms: how many records each needs, and when to stop half-way."""

from dataclasses import dataclass
from math import ceil, sqrt

import scipy

from closedloop.errors import ParameterError

HARM_Z = 2.373  # O'Brien & Fleming's bound at the first of two looks of a two-sided test at 10 %


@dataclass(frozen=True)
class Trial:
    """A test of two arms of equal size, judged once at the end, and stopped half-way only for harm.

    ``n_per_arm``: records each arm needs. ``harm``: how far (a fraction) the new arm may be behind when half of them
    are decided; further behind, stop.
    """

    n_per_arm: int
    harm: float


def trial(usual: float, other: float, *, level: float = 0.90, power: float = 0.80) -> Trial:
    """The smallest test of two arms that finds the difference of ``other`` from ``usual`` with this power.

    ``usual``, ``other``: rates of success within (0, 1), which differ. Two proportions, sides of the interval equal,
    variances of the rates themselves (Fleiss, Levin & Paik 2003, section 4). Half-way the new arm is stopped when it
    is behind by more than O'Brien & Fleming's (1979) bound; ahead, the test goes on, so the error at the end stays as
    planned. Raises ParameterError for other rates.
    """
    if not (0 < usual < 1 and 0 < other < 1 and usual != other):
        raise ParameterError(f"rates {usual!r} and {other!r} are not two different rates between 0 and 1")
    mean = (usual + other) / 2
    at_end, found = scipy.stats.norm.ppf((1 + level) / 2), scipy.stats.norm.ppf(power)
    spread = at_end * sqrt(2 * mean * (1 - mean)) + found * sqrt(usual * (1 - usual) + other * (1 - other))
    n = ceil((spread / (other - usual)) ** 2)
    return Trial(n, float(HARM_Z * sqrt(2 * usual * (1 - usual) / ceil(n / 2))))
