"""Leads that become won ones in null worlds: which of a cohort do is drawn anew, each with its days."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from closedloop.evidence.conversions import compare_conversions
from closedloop.loop.comparisons import CONVERSION
from closedloop.loop.conversions import Cohorts
from closedloop.loop.counting import LEAST_SHOWN, RARE
from closedloop.validation.sizes import Sized
from closedloop.validation.worlds import Floats, Pool, World


@dataclass(frozen=True)
class Conversions:
    """Shares of leads won within the usual time, as ``loop.conversions`` compares them by the levels ``by``.

    ``pool`` holds the leads of ``cohorts`` in their order: whether each was won, after how many days, and for how many
    it was seen. What a world shuffles is all three, so that the usual time stays.
    """

    pool: str
    cohorts: Cohorts
    by: Mapping[str, "pd.Series[str]"]
    threshold: float
    measure: str = CONVERSION
    subject: str = "market"

    @staticmethod
    def pool_of(cohorts: Cohorts) -> Pool:
        """The pool of these leads."""
        leads = cohorts.leads
        return Pool(leads.is_won.astype(float), leads.cohort, {"days": leads.days, "seen": leads.seen})

    def is_made(self, world: World) -> bool:
        """It is compared in every world."""
        return True

    def tested(self, world: World) -> Sized:
        """Each level against all leads of its cohorts."""
        days, seen = (world[f"{self.pool} {name}"] for name in ("days", "seen"))
        leads = self.cohorts.leads._replace(days=days, is_won=world[self.pool] == 1, seen=seen)
        tables = [
            compare_conversions(
                leads, level, self.cohorts.until, least=LEAST_SHOWN, rare=RARE, threshold=self.threshold
            )
            for level in self.by.values()
        ]
        looks = pd.concat(tables, ignore_index=True)
        return Sized.of(np.arange(len(looks)), looks)

    def effects(self, tested: Sized, q: Floats) -> Floats:
        """The effect of each look whose claim is supported; missing for all others."""
        return tested.effects(q)
