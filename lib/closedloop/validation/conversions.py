"""Leads that become won ones in null worlds: which of a cohort do is drawn anew, each with its days."""

from dataclasses import dataclass

import pandas as pd

from closedloop.evidence.conversions import Followed, compare_conversions
from closedloop.loop.counting import LEAST_SHOWN, RARE
from closedloop.validation.worlds import Pool, Repeated, Tests, World


@dataclass(frozen=True)
class Conversions(Repeated):
    """Shares of leads won ``until`` the usual day, as ``loop.conversions`` compares them by the levels ``by``.

    ``pool`` holds the ``leads`` in their order: whether each was won, after how many days, and for how many it was
    seen. What a world shuffles is all three, so that the usual time stays.
    """

    pool: str
    leads: Followed
    by: pd.DataFrame
    until: float
    threshold: float
    measure: str

    @staticmethod
    def pool_of(leads: Followed) -> Pool:
        """The pool of these leads."""
        return Pool(leads.is_won.astype(float), leads.cohort, {"days": leads.days, "seen": leads.seen})

    def tested(self, world: World) -> Tests:
        """Each level against all leads of its cohorts."""
        days, seen = (world[f"{self.pool} {name}"] for name in ("days", "seen"))
        leads = self.leads._replace(days=days, is_won=world[self.pool] == 1, seen=seen)
        about = {"least": LEAST_SHOWN, "rare": RARE, "threshold": self.threshold}
        tables = [compare_conversions(leads, self.by[name], self.until, **about) for name in self.by]  # type: ignore[arg-type]
        return Tests.of(pd.concat(tables, ignore_index=True))
