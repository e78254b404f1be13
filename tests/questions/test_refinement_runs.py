"""Refinement over eight periods of simulated deals: quiet when nothing differs, and finding what was planted."""

from dataclasses import dataclass, field
from datetime import date
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from closedloop.market.periods import Period
from closedloop.period.counting import by_close
from closedloop.period.store import no_claims
from closedloop.personas.persona_set import Persona, PersonaSet, renewed
from closedloop.personas.proposal import Proposal
from closedloop.questions.refinement.champion_challenger import NOT_TOLD
from closedloop.questions.refinement.edits import challenger_of, proposal_of
from closedloop.questions.refinement.splits import SPLIT_RATE
from closedloop.statistics.rules import Among, Branch, Rule
from closedloop.terms import Moment

from tests.statistics.simulated import runs

BASE, PRACTICAL, N_HISTORY, N_DEALS, N_PERIODS = 0.30, 0.03, 300, 200, 8
SIZES = {"kind": 2, "site": 5, "region": 5, "size": 5, "system": 5}  # 22 levels; personas are the kinds
KINDS = ("a", "b")


@dataclass
class _Situation:
    """A market of deals on the last day of a period, as far as refinement looks at one."""

    number: int
    deals: pd.DataFrame
    is_dated: bool = True
    view: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(has=lambda table: table == "deals"))
    claims: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(
            planned_periods=N_PERIODS, smallest_worth=0.1, practical_threshold=PRACTICAL
        )
    )

    @property
    def closed_deals(self) -> pd.DataFrame:
        return self.in_window(self.deals, self.deals["closed_on"])

    @property
    def period(self) -> Period:
        return PERIODS[self.number]

    @property
    def about(self) -> dict[str, str]:
        return {"market": "simulated", "period": self.period.name}

    @property
    def warehouse(self) -> SimpleNamespace:
        return SimpleNamespace(periods=PERIODS)

    def rng(self, step: str) -> np.random.Generator:
        return np.random.default_rng([self.number, len(step)])

    def deal_fields(self, up_to: Moment) -> list[str]:
        return list(SIZES)

    def names_of(self, days: pd.Series) -> pd.Series:
        return days.dt.to_period("Q").astype(str)

    def span(self, days: pd.Series) -> tuple[str, str]:
        return _name(0), _name(self.number)

    def in_window(self, frame: pd.DataFrame, days: pd.Series) -> pd.DataFrame:
        return frame[days >= pd.Timestamp(_start(self.number - 3))]

    def in_period(self, days: pd.Series) -> pd.Series:
        return days >= pd.Timestamp(_start(self.number))


def _start(number: int) -> date:
    return (pd.Timestamp(2022, 1, 1) + pd.DateOffset(months=3 * number)).date()


def _name(number: int) -> str:
    return f"{_start(number):%Y}-q{(_start(number).month + 2) // 3}"


PERIODS = [Period(_start(number), _start(number + 1), _name(number)) for number in range(N_PERIODS + 2)]


def _deals(rng: np.random.Generator, number: int, n: int, planted: dict[str, tuple[str, str, float]]) -> pd.DataFrame:
    """Decided deals of one period; ``planted``: kind -> field, level and the points of win rate it adds there."""
    frame = pd.DataFrame({name: rng.integers(0, size, n).astype(str) for name, size in SIZES.items()})
    frame["kind"] = np.array(KINDS)[frame["kind"].astype(int)]
    chance = np.full(n, BASE)
    for kind, (name, level, points) in planted.items():
        chance += points * ((frame["kind"] == kind) & (frame[name] == level)).to_numpy()
    days = pd.Timestamp(_start(number)) + pd.to_timedelta(np.sort(rng.integers(0, 90, n)), unit="D")
    ids = [f"{number}-{i:04d}" for i in range(n)]
    outcome = np.where(rng.random(n) < chance, "won", "lost")
    return frame.assign(deal_id=ids, closed_on=days, created_on=days, outcome=outcome, chance=chance)


def _first_set(deals: pd.DataFrame) -> PersonaSet:
    rule = Rule((Branch((Among("kind", ("a",)),), "a", 0, 0.0),), "b", ("kind",))
    personas = (Persona("a", "A"), Persona("b", "B"))
    base = PersonaSet("simulated", _name(0), "research", rule, personas, fields=("kind",))
    return renewed(base, _Situation(0, deals))  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Run:
    """What eight periods brought: permanent edits (subject, field, level, is_true), and the last set in force."""

    edits: pd.DataFrame
    last: PersonaSet


def _refined(situation: _Situation, in_force: PersonaSet, coming: str) -> tuple[Proposal, pd.DataFrame]:
    """What a period's refinement proposes, and the claims of all its edits."""
    found = challenger_of(situation, by_close(situation.deals), in_force)  # type: ignore[arg-type]
    return proposal_of(NOT_TOLD, found, (), no_claims(), in_force, coming), found.edits


def _run(seed: int, planted: dict[str, tuple[str, str, float]]) -> _Run:
    rng = np.random.default_rng(seed)
    deals = _deals(rng, 0, N_HISTORY, planted)
    in_force, edits = _first_set(deals), []
    for number in range(1, N_PERIODS + 1):
        deals = pd.concat([deals, _deals(rng, number, N_DEALS, planted)], ignore_index=True)
        proposal, tested = _refined(_Situation(number, deals), in_force, _name(number + 1))
        made = tested[tested["verdict"] == "supported"]
        edits.append(made.assign(is_true=[_is_true(edit, deals, in_force) for _, edit in made.iterrows()]))
        in_force = renewed(proposal.personas or in_force, _Situation(number, deals))  # type: ignore[arg-type]
    return _Run(pd.concat(edits, ignore_index=True), in_force)


def _is_true(edit: pd.Series, deals: pd.DataFrame, in_force: PersonaSet) -> bool:
    """Do the true win rates differ the way that the edit says, by more than the practical threshold?"""
    own = deals[in_force.assign(deals) == edit["subject"]]
    if edit["measure"] == SPLIT_RATE:
        is_level = own[edit["field"]] == edit["level"]
        truth = own.loc[is_level, "chance"].mean() - own.loc[~is_level, "chance"].mean()
    else:  # simpler again: true when the difference is small
        return bool(abs(own["chance"].mean() - deals["chance"].mean()) < 0.10)
    return bool(abs(truth) > PRACTICAL and np.sign(truth) == np.sign(edit["effect"]))


def _planted(rng: np.random.Generator, points: float) -> dict[str, tuple[str, str, float]]:
    """In each kind one level of one field, up or down."""
    names = rng.choice([name for name in SIZES if name != "kind"], len(KINDS))
    return {
        kind: (str(name), str(rng.integers(0, SIZES[name])), float(rng.choice([-1, 1]) * points))
        for kind, name in zip(KINDS, names, strict=True)
    }


def test_eight_periods_of_luck_are_left_alone(validity) -> None:
    found = [_run(seed, {}) for seed in runs(5)]
    validity("edits-null-runs", [run.edits.empty for run in found])
    assert all(run.last.ids == ["a", "b"] for run in found)


@pytest.mark.parametrize("points", [15, 20])
def test_planted_differences_are_found_and_little_else_is(validity, points: int) -> None:
    found, adopted, false = [], [], []
    for seed in runs(3):
        planted = _planted(np.random.default_rng(1000 + seed), points / 100)
        run = _run(seed, planted)
        splits = run.edits[run.edits["measure"] == SPLIT_RATE]
        for kind, (name, level, _) in planted.items():
            is_it = (splits["field"] == name) & (splits["level"] == level)
            found.append(bool((is_it & splits["subject"].str.startswith(kind)).any()))
            adopted.append(any(p.id.startswith(kind) and p.id.endswith(f"{name}-{level}") for p in run.last.personas))
        if len(run.edits):
            false.append(1 - run.edits.drop_duplicates(["subject", "measure", "field", "level"])["is_true"].mean())
        else:
            false.append(0.0)
    validity(f"edits-recall-{points}", found)
    validity(f"edits-fdr-{points}", false)
    validity(f"edits-adopted-{points}", adopted)
