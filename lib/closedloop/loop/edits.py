"""Edits of a persona set: what the outcomes so far would change, each tested, the whole family corrected."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from closedloop.evidence.claims import close_family, stacked, typed
from closedloop.evidence.indicators import is_metric, level_text
from closedloop.evidence.looks import LOOK_COLUMNS
from closedloop.evidence.rates import ShrunkRates, difference_p, midp, shrink_rates, wilson
from closedloop.evidence.rules import Among, Branch, Rule
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.persona import Persona, PersonaSet, estimate
from closedloop.loop.situation import Situation
from closedloop.terms import Moment

Floats = NDArray[np.float64]

FEWEST_DEALS = 60  # decided in a period: with fewer the set is left alone
GATE = 0.05  # an edit has to be worth more than this difference of rates
_FEWEST_IN_SPLIT = 40
_VOLATILE = ("campaign", "experiment", "arm", "channel", "product", "first_touch")


def propose(situation: Situation, closed: pd.DataFrame, in_force: PersonaSet) -> tuple[PersonaSet, pd.DataFrame]:
    """The challenger learned from ``closed`` deals, with its permanent edits made; and all edits that stand out."""
    edits = _edits(situation, closed, in_force)
    rule, personas = in_force.rule, list(in_force.personas)
    splits = edits[(edits["status"] == "permanent") & (edits["edit"] == "split")]
    for edit in splits.drop_duplicates("persona").itertuples():
        rule, personas = _split(situation, rule, personas, str(edit.persona), str(edit.field), str(edit.level))
    fields = tuple(dict.fromkeys([*in_force.fields, *rule.fields]))
    recent = situation.in_window(closed, closed["closed_on"])
    changed = replace(in_force, rule=rule, personas=tuple(personas), fields=fields)
    if rule != in_force.rule:
        changed = replace(changed, rule_error=None, guess_error=None)
    return estimate(changed, recent), edits


def _split(
    situation: Situation, rule: Rule, personas: list[Persona], parent: str, field: str, level: str
) -> tuple[Rule, list[Persona]]:
    condition = Among(field, (level,))
    child = f"{parent}-{_slug(field, level)}"[:64]
    branches: list[Branch] = []
    for branch in rule.branches:
        if branch.label == parent:
            branches.append(replace(branch, conditions=(*branch.conditions, condition), label=child))
        branches.append(branch)
    if rule.default == parent:
        branches.append(Branch((condition,), child, 0, float("nan")))
    label = situation.definition.label
    name = next(p.name for p in personas if p.id == parent)
    split = Persona(child, f"{name}, {label(field)}: {label(field, level)}")
    refined = Rule(tuple(_without_nan(b) for b in branches), rule.default, tuple(dict.fromkeys([*rule.fields, field])))
    sentences = refined.sentences()
    both = [*personas, split]
    return refined, [replace(p, rule=tuple(sentences.get(p.id, p.rule))) for p in both]


def _without_nan(branch: Branch) -> Branch:
    return branch if np.isfinite(branch.share_right) else replace(branch, share_right=0.0)


def _slug(field: str, level: str) -> str:
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in f"{field.removeprefix('is_')}-{level}".lower())
    return "-".join(part for part in kept.split("-") if part)


def _edits(situation: Situation, closed: pd.DataFrame, in_force: PersonaSet) -> pd.DataFrame:
    """All edits that were looked at and stand out, permanent or on watch; the family is every one looked at."""
    assigned = in_force.assign(closed)
    looks = stacked([_adjust_looks(situation, closed, assigned, in_force), _split_looks(situation, closed, assigned)])
    planned = situation.definition.claims.planned_periods
    claims = close_family(
        looks,
        family="edit",
        market=situation.market,
        period=situation.period.name,
        rate=0.10 / planned,
        watch_rate=0.10,
    )
    status = claims["verdict"].map({"supported": "permanent", "leaning": "watch"})
    shown = claims.assign(status=status, edit=claims["measure"].map({"promise": "adjust", "win_rate": "split"}))
    shown = shown[shown["status"].notna()].sort_values(["q", "subject", "field", "level"], kind="stable")
    table = shown.rename(columns={"subject": "persona"})[
        ["persona", "edit", "field", "level", "effect", "n", "p", "q", "status"]
    ]
    reverts = "goes back when the difference of the next period's deals has the other sign"
    return table.assign(reverts_when=reverts).reset_index(drop=True)


@dataclass(frozen=True)
class _Looked:
    """Rates (k of n) beside their baselines, as the edits look at them; arrays have one entry a look."""

    measure: str
    subject: str
    field: str
    levels: Sequence[str]
    rate: Floats
    low: Floats
    high: Floats
    baseline: float
    n: Floats
    p: Floats
    beyond: Floats

    def rows(self, period: str) -> list[dict[str, Any]]:
        """The looks as rows of the ledger."""
        shared: dict[str, Any] = {
            "measure": self.measure,
            "subject": self.subject,
            "field": self.field,
            "baseline": self.baseline,
        }
        shared |= {"notebook": "06_refinement", "unit": "rate", "kind": "descriptive", "source_table": "deals"}
        shared |= {"first_period": period, "last_period": period}
        each = zip(self.levels, self.rate, self.low, self.high, self.n, self.p, self.beyond, strict=True)
        names = ("level", "estimate", "low", "high", "n", "p", "beyond")
        rows = [shared | dict(zip(names, values, strict=True)) for values in each]
        return [row | {"effect": float(row["estimate"]) - self.baseline} for row in rows]


def _adjust_looks(
    situation: Situation, closed: pd.DataFrame, assigned: pd.Series, in_force: PersonaSet
) -> pd.DataFrame:
    """Each promised win rate against the deals closed in the period."""
    now = situation.in_period(closed["closed_on"])
    table = closed.loc[now, "is_won"].groupby(assigned[now]).agg(["sum", "size"]).astype(float)
    rows = []
    for persona in in_force.personas:
        if persona.win_rate is None or persona.id not in table.index or table.loc[persona.id, "size"] < LEAST_SHOWN:
            continue
        k, n = table.loc[[persona.id], "sum"].to_numpy(), table.loc[[persona.id], "size"].to_numpy()
        low, high = wilson(k, n)
        p, beyond = midp(k, n, persona.win_rate), beyond_promise(k, n, persona.win_rate)
        promise = (k / n, low, high, persona.win_rate, n, p, beyond)
        rows += _Looked("promise", persona.id, "persona", [persona.id], *promise).rows(situation.period.name)
    return typed(rows, LOOK_COLUMNS)


def beyond_promise(k: Floats, n: Floats, promised: Floats | float) -> Floats:
    """Posterior probability that the rate is more than the gate away from the promise (uniform prior)."""
    edges = np.clip([promised - GATE, promised + GATE], 0, 1)
    below, upto = (stats.beta.cdf(edge, k + 1, n - k + 1) for edge in edges)
    return np.asarray(1 - (upto - below), dtype=float)


def _split_looks(situation: Situation, closed: pd.DataFrame, assigned: pd.Series) -> pd.DataFrame:
    """Inside each persona, every level of every creation field of the people against the persona's others."""
    return stacked(_split_field(situation, closed, assigned, name) for name in split_fields(situation, closed))


def split_fields(situation: Situation, closed: pd.DataFrame) -> list[str]:
    """The fields whose levels are tried as a split: of the people, known at creation, and no numbers."""
    return [f for f in situation.deal_fields(Moment.CREATION) if f not in _VOLATILE and not is_metric(closed[f])]


def _split_field(situation: Situation, closed: pd.DataFrame, assigned: pd.Series, name: str) -> pd.DataFrame:
    won = closed["is_won"].astype(float)
    rows = pd.DataFrame({"persona": assigned, "level": level_text(closed[name]), "won": won}).dropna()
    cells = rows.groupby(["persona", "level"])["won"].agg(["sum", "size"]).reset_index()
    found = []
    for persona, part in cells.groupby("persona"):
        found += _split_persona(str(persona), name, part).rows(situation.period.name)
    return typed(found, LOOK_COLUMNS)


def is_splittable(n: Floats, n_all: Floats | float) -> NDArray[np.bool_]:
    """Which levels, with ``n`` of the persona's ``n_all`` deals each, are large enough to be tried as a split."""
    return np.asarray((n >= _FEWEST_IN_SPLIT) & (n_all - n >= _FEWEST_IN_SPLIT))


def shrunk_splits(k: Floats, n: Floats, k_all: float, n_all: float) -> ShrunkRates:
    """The rates of the levels that are tried, and last that of the persona's other deals."""
    return shrink_rates(np.append(k, k_all - k.sum()), np.append(n, n_all - n.sum()))


def _split_persona(persona: str, name: str, cells: pd.DataFrame) -> _Looked:
    """The levels of one field within one persona; too small ones count as the others."""
    k_all, n_all = float(cells["sum"].sum()), float(cells["size"].sum())
    part = cells[is_splittable(cells["size"].to_numpy(dtype=float), n_all)]
    k, n = part["sum"].to_numpy(dtype=float), part["size"].to_numpy(dtype=float)
    shrunk = shrunk_splits(k, n, k_all, n_all)
    base, m = k_all / n_all, len(part)
    p, beyond = difference_p(k, n, k_all - k, n_all - n), shrunk.beyond(GATE, base)[:m]
    interval = (shrunk.mean[:m], shrunk.low[:m], shrunk.high[:m])
    return _Looked("win_rate", persona, name, list(part["level"]), *interval, base, n, p, beyond)
