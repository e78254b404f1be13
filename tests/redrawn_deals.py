"""Harbor's decided deals with the planted chance of each: outcomes are drawn anew, everything else stays as it is."""

import tomllib
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from closedloop.market.warehouse import open_warehouse
from closedloop.period.counting import decided
from closedloop.period.situation import Situation
from closedloop.personas.lineage import research_set
from closedloop.personas.persona_set import PersonaSet, decided_cases, estimate
from closedloop.personas.research import research
from closedloop.personas.signals import Cases, Signal, refine
from closedloop.statistics.level_effects import Floats

from tests.redraws import HARBOR
from tests.simulation import hidden_win_rates

WINDOW, PLANNED = 4, 8
FIRST = 2  # periods of deals that are known when refinement begins: the quarter before the market's first, and that


@dataclass(frozen=True)
class RedrawnDeals:
    """A market's decided deals as cases, the first research's set, and what is planted (chance by deal, points)."""

    deals: pd.DataFrame
    cases: Cases
    research: PersonaSet
    chance: Floats
    planted: dict[tuple[str, str], float]

    @property
    def n_periods(self) -> int:
        """How many periods hold deals."""
        return len(self.cases.names)

    def drawn(self, seed: int, chance: Floats | None = None) -> Floats:
        """Outcomes drawn from the planted chances, or from others."""
        rng = np.random.default_rng(seed)
        return (rng.random(len(self.chance)) < (self.chance if chance is None else chance)).astype(float)

    def shuffled(self, seed: int) -> Floats:
        """Outcomes that nothing moves: drawn, and shuffled within each period."""
        won, rng = self.drawn(seed), np.random.default_rng([seed, 1])
        for number in range(self.n_periods):
            rows = np.flatnonzero(self.cases.period == number)
            won[rows] = rng.permutation(won[rows])
        return won

    def with_effect(self, points: float, field: str, level: str, *, periods: range) -> Floats:
        """The chances if a planted level moved them by so many points, and that in these periods alone."""
        has_level = (self.cases.levels[field] == level).to_numpy()
        is_on = np.isin(self.cases.period, list(periods))
        moved = self.chance + has_level * (points * is_on - self.planted[field, level])
        return np.clip(moved, 0.02, 0.98)

    def known(self, won: Floats, n_periods: int) -> Cases:
        """The cases of the first periods, in the order in which they closed."""
        rows = self.cases.period < n_periods
        levels = self.cases.levels[rows].reset_index(drop=True)
        return Cases(won[rows], self.cases.period[rows], levels, self.cases.names[:n_periods])

    def refined(self, won: Floats, *, first: int = FIRST, last: int | None = None) -> tuple[Signal, ...]:
        """The signals after refinement at the end of each period, those withdrawn among them.

        ``first`` and ``last``: after how many periods of deals it is done first, and last.
        """
        signals, coming = tuple[Signal, ...](), (*self.cases.names, "later")
        for n in range(first, (last or self.n_periods) + 1):
            cases = self.known(won, n)
            signals = refine(signals, cases, coming[n], window=WINDOW, planned_periods=PLANNED).signals
        return signals

    def place(self, name: str) -> int:
        """How many periods of deals were known when a period called so began."""
        return self.cases.names.index(name) if name in self.cases.names else self.n_periods

    def promised(self, won: Floats, first: int, end: int) -> PersonaSet:
        """The first research's rule with the rates of the deals of periods ``first`` to ``end``, without the last."""
        rows = (self.cases.period >= first) & (self.cases.period < end)
        deals = self.deals.assign(outcome=np.where(won == 1, "won", "lost"))[rows]
        names = pd.Series(np.array(self.cases.names)[self.cases.period[rows]], deals.index)
        return estimate(self.research, deals, names)


def market_cases(market: str) -> tuple[pd.DataFrame, Cases, PersonaSet]:
    """A market's decided deals as known at last, as cases by the personas of the first research."""
    warehouse = open_warehouse(market)
    begin, now = Situation.planning(warehouse, warehouse.periods[0]), Situation.latest(warehouse)
    material = research(begin)
    personas = research_set(begin, material.sample, material.segments)
    deals = decided(now)
    return deals, decided_cases(now, deals, personas, {})[0], personas


@cache
def harbor() -> RedrawnDeals:
    """The bundled market."""
    deals, cases, personas = market_cases("harbor")
    truth = tomllib.loads((HARBOR / "truth.toml").read_text("utf-8"))
    planted = {(effect["field"], str(effect["level"])): effect["points"] for effect in truth["effects"]}
    chance = deals["deal_id"].map(hidden_win_rates(HARBOR)).to_numpy(dtype=float)
    for field, level in planted:
        assert level in set(cases.levels[field]), f"no deal of {field} is called {level}"
    return RedrawnDeals(deals, cases, personas, chance, planted)
