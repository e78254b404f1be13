"""Persona sets: the personas of a period with their ids, rule, promised rates and changelog, read and written."""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import yaml

from closedloop.errors import DefinitionError
from closedloop.market.files import write_atomic
from closedloop.period.counting import LEAST_SHOWN, by_close, counts, won
from closedloop.period.situation import Situation
from closedloop.personas.points_card import CardRow, PointsCard, cases_by_level, points_card
from closedloop.personas.signals import Cases, Signal, in_force
from closedloop.statistics.proportions import compare_in_strata
from closedloop.statistics.rules import Rule
from closedloop.terms import Moment

_LONGEST, _LONGEST_PART = 48, 64  # a part bears the id of its whole
_MARK = 8
_TELLING = re.compile(r"[A-Za-z0-9 _.=-]*")  # text of which hyphens for all else leave enough to know it by


def persona_id(said: str, taken: Collection[str] = (), whole: str = "") -> str:
    """The field and level that a persona is made of as an id: its small Latin letters and digits, joined by hyphens.

    Text that would lose other signs or its end, and text whose id is ``taken``, bears a mark of its own behind them.
    ``whole``: the id of the persona that it is a part of. Letters a-z, digits, hyphens; at most 64 characters.
    """
    plain = said.removeprefix("wants_").removeprefix("is_").lower()
    letters = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    parts = ([whole] if whole else []) + re.findall(r"[a-z0-9]+", letters)
    longest, found = _LONGEST_PART if whole else _LONGEST, "-".join(parts)
    is_telling = _TELLING.fullmatch(said) is not None and letters.strip() != ""
    if is_telling and 0 < len(found) <= longest and found not in taken:
        return found
    mark = hashlib.sha256(f"{whole}/{said}".encode()).hexdigest()[:_MARK]
    return f"{(found or 'persona')[: longest - _MARK - 1].rstrip('-')}-{mark}"


SPLIT, MERGE, RETIRE, COMMIT = "split", "merge", "retire", "commit"
SIGNAL, WITHDRAW = "signal", "withdraw"  # a signal entered, a signal is in force no longer
# the measure of an edit's claim -> what the edit does
EDITS: Mapping[str, str] = MappingProxyType({"win_rate": SPLIT, "merge_gap": MERGE, "remaining_share": RETIRE})
_TEXTS = ("field", "level", "first_period", "last_period", "claim_id")
_FIGURES = ("estimate", "low", "high", "baseline", "q")


@dataclass(frozen=True)
class Change:
    """One edit of a persona set, in force from ``period``, with the figures of its claim.

    ``edit``: split, merge, retire, signal, withdraw, or commit (people put another set into force). Of signals
    ``estimate`` is points of the win rate, a fraction, and ``persona`` empty for all. ``persona``: whose; ``into``:
    the persona that was cut out of it, or that took its people. ``field`` and ``level``: what it was split by.
    ``estimate`` with ``low`` and ``high`` and ``baseline`` are fractions, of deals that closed ``first_period`` to
    ``last_period``; what the claim lacks is missing. ``by_duel``: a signal left since all sets together had predicted
    worse than renewed rates.
    """

    period: str
    edit: str
    persona: str = ""
    into: str = ""
    field: str = ""
    level: str = ""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    q: float | None = None
    n: int | None = None
    first_period: str = ""
    last_period: str = ""
    claim_id: str = ""
    by_duel: bool = False


def plain_changes(changelog: tuple[Change, ...]) -> list[dict[str, Any]]:
    """The entries as plain values for YAML; what is empty is left out."""
    return [
        {key: value for key, value in asdict(entry).items() if value not in ("", None, False)} for entry in changelog
    ]


def change_of(claim: Mapping[str, Any], *, period: str, edit: str, into: str) -> Change:
    """The entry of an edit whose claim this is."""
    # significant digits rather than decimals: a q value may be tiny
    figures: dict[str, Any] = {
        name: float(f"{float(claim[name]):.6g}") if np.isfinite(claim[name]) else None for name in _FIGURES
    }
    texts: dict[str, Any] = {name: str(claim[name]) for name in _TEXTS}
    return Change(period, edit, persona=str(claim["subject"]), into=into, n=int(claim["n"]), **texts, **figures)


EVERYONE = "everyone"
GATE = 0.05  # a difference that is worth a change of the set, at a rate of one half (``at_rate``)


@dataclass(frozen=True)
class Persona:
    """One persona: id (a stable slug), the segment it came from, and its promised win rate.

    ``name`` is what people wrote; without one it is called by what set its segment most apart: ``level`` of ``field``
    (no level: more of a number), which ``share`` of its members had when it was found. ``rule`` says in words how to
    recognise it. ``win_rate`` (narrow, a fraction) with ``low`` and ``high`` is what the set promises for the period,
    from ``n_won`` of ``n`` decided deals; all are missing while nothing is known (``is_assumed``).
    """

    id: str
    name: str = ""
    segment: str = ""
    rule: tuple[str, ...] = ()
    win_rate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    n_won: int = 0
    is_assumed: bool = True
    field: str = ""
    level: str = ""
    share: float | None = None


SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same loader, ten times as fast where libyaml is there


@dataclass(frozen=True)
class PersonaSet:
    """All personas in force in a period: rule and signals that refinement changes, rates and card renewed each period.

    ``card``: points of every level of every field, for deals (None: too few are decided); ``signals``: the levels that
    were tested and entered, those withdrawn among them.

    ``origin``: research, refined, carried over or committed. ``base_rate``: the market's win rate in the deals that the
    personas' rates are of, so that each persona's deviation can be carried to another base rate; those deals closed
    from ``first_period`` to ``last_period``, and ``deals`` is their digest. ``rule_error``: share of
    the ``rule_n`` people of ``rule_periods`` (first, last) that the rule assigns to another segment than their own
    (cross-validated when research made the rule), beside that of always guessing the largest; missing after the rule
    has changed.
    """

    market: str
    period: str
    origin: str
    rule: Rule
    personas: tuple[Persona, ...]
    base_rate: float | None = None
    fields: tuple[str, ...] = ()
    rule_error: float | None = None
    guess_error: float | None = None
    rule_n: int | None = None
    rule_periods: tuple[str, ...] = ()
    changelog: tuple[Change, ...] = ()
    first_period: str = ""
    last_period: str = ""
    deals: str = ""
    card: PointsCard | None = None
    signals: tuple[Signal, ...] = ()

    @property
    def signals_in_force(self) -> list[Signal]:
        """The signals that were not withdrawn."""
        return in_force(self.signals)

    @property
    def splits(self) -> list[Change]:
        """The split that made each part in force; of a part that was made, taken back and made again, the last."""
        made = {entry.into: entry for entry in self.changelog if entry.edit == SPLIT}
        return [entry for part, entry in made.items() if part in self.ids]

    @property
    def ids(self) -> list[str]:
        """The personas' ids, largest first as they were found."""
        return [persona.id for persona in self.personas]

    def persona(self, persona_id: str) -> Persona:
        """The persona with this id."""
        return next(persona for persona in self.personas if persona.id == persona_id)

    def assign(self, frame: pd.DataFrame) -> pd.Series:
        """Persona id of each row; fields that the frame lacks count as missing."""
        lacking = {name: None for name in (*self.fields, *self.rule.fields) if name not in frame}
        return self.rule.assign(frame.assign(**lacking)).astype("str")

    def deviations(self) -> dict[str, float]:
        """Log-odds by which each persona's win rate differs from the base rate; 0 while it is only assumed."""
        base = self.base_rate
        return {
            p.id: 0.0 if p.win_rate is None or base is None else float(_logit(p.win_rate) - _logit(base))
            for p in self.personas
        }

    def carried_to(self, period: str) -> "PersonaSet":
        """The same set, in force in another period."""
        return replace(self, period=period, origin="carried over")


def _logit(rate: float) -> float:
    clipped = min(max(rate, 1e-4), 1 - 1e-4)
    return float(np.log(clipped / (1 - clipped)))


def write_set(path: Path, personas: PersonaSet) -> None:
    """Write a set as YAML that a person can read and change."""
    content: dict[str, Any] = {
        "market": personas.market,
        "period": personas.period,
        "origin": personas.origin,
        "base_rate": _rounded(personas.base_rate),
        "first_period": personas.first_period,
        "last_period": personas.last_period,
        "deals": personas.deals,
        "rule_error": _rounded(personas.rule_error),
        "guess_error": _rounded(personas.guess_error),
        "rule_n": personas.rule_n,
        "rule_periods": list(personas.rule_periods),
        "fields": list(personas.fields),
        "personas": [_plain(persona) for persona in personas.personas],
        "rule": personas.rule.to_dict(),
        "changelog": plain_changes(personas.changelog),
        "signals": [_plain_signal(signal) for signal in personas.signals],
        "card": None if personas.card is None else _plain_card(personas.card),
    }
    write_atomic(path, yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110).encode())


class _Row(list[Any]):
    """A list that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Plain YAML; rows on a line each."""


_Dumper.add_representer(
    _Row, lambda dumper, row: dumper.represent_sequence("tag:yaml.org,2002:seq", row, flow_style=True)
)


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 6)


def _plain(persona: Persona) -> dict[str, Any]:
    values = asdict(persona) | {"rule": list(persona.rule)}
    return values | {key: _rounded(values[key]) for key in ("win_rate", "low", "high", "share")}


def _plain_signal(signal: Signal) -> dict[str, Any]:
    """A signal as plain values; what is empty is left out."""
    rounded = {name: _rounded(value) if isinstance(value, float) else value for name, value in asdict(signal).items()}
    return {name: value for name, value in rounded.items() if value not in ("", None)}


def _plain_card(card: PointsCard) -> dict[str, Any]:
    ends = {name: _Row(map(float, edges)) for name, edges in card.edges.items()}
    return vars(card) | {"rows": [_Row(vars(row).values()) for row in card.rows], "edges": ends}


def read_set(path: Path) -> PersonaSet:
    """The set in a YAML file; errors name the file and what is wrong."""
    try:
        stored = yaml.load(path.read_text("utf-8"), Loader=SAFE)
        personas = tuple(Persona(**(entry | {"rule": tuple(entry.get("rule", ()))})) for entry in stored["personas"])
        rule = Rule.from_dict(stored["rule"])
        changelog = tuple(Change(**entry) for entry in stored.get("changelog", ()))
        plain = {field.name: stored[field.name] for field in fields(PersonaSet) if field.name in stored}
        made = {"rule": rule, "personas": personas, "changelog": changelog}
        made |= {name: tuple(plain.get(name, ())) for name in ("fields", "rule_periods")}
        if card := stored.get("card"):
            edges = {name: tuple(ends) for name, ends in card["edges"].items()}
            made["card"] = PointsCard(**card | {"rows": tuple(CardRow(*row) for row in card["rows"]), "edges": edges})
        made |= {"signals": tuple(Signal(**entry) for entry in stored.get("signals", ()))}
        return PersonaSet(**plain | made)
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DefinitionError(
            f"{path}: is no persona set: {error}; compare it with a personas.yml under runs/"
        ) from error


def promises(personas: PersonaSet) -> list[dict[str, Any]]:
    """The promised win rates as rows of statements, without what is only assumed: field, level, estimate to n_won."""
    return [
        {"field": "persona", "level": p.id, "estimate": p.win_rate, "low": p.low, "high": p.high, "n": p.n}
        | {"n_won": p.n_won}
        for p in personas.personas
        if p.win_rate is not None and not p.is_assumed
    ]


def estimate(personas: PersonaSet, deals: pd.DataFrame | None, periods: pd.Series | None = None) -> PersonaSet:
    """The set with each persona's shrunk win rate among ``deals`` that ended; without any it stays assumed.

    ``periods``: the name of the period in which each deal closed.
    """
    hit = won(deals).dropna() if deals is not None else pd.Series(dtype="boolean")
    if hit.empty or deals is None or periods is None:
        assumed = tuple(
            replace(p, win_rate=None, low=None, high=None, n=0, n_won=0, is_assumed=True) for p in personas.personas
        )
        return replace(personas, personas=assumed)
    return promised(personas, personas.assign(deals.loc[hit.index]), hit, periods[hit.index])


def promised(personas: PersonaSet, assigned: pd.Series, hit: pd.Series, periods: pd.Series) -> PersonaSet:
    """The set with each persona's shrunk win rate: ``hit`` says which deals were won, ``assigned`` whose they are.

    The rates are those that 02 and 05 compare (``proportions.compare_in_strata``).
    """
    table = counts(assigned.to_frame("persona"), ["persona"], hit, periods).set_index("level")
    table = table.reindex(personas.ids)[["k", "n", "expected", "contrast"]].fillna(0.0)
    base, total = float(hit.mean()), float(len(hit))
    found = compare_in_strata(table["k"], table["n"], table["expected"], table["contrast"], base, total)
    rows = zip(found.estimate, found.low, found.high, table["n"].astype(int), table["k"].astype(int), strict=True)
    updated = tuple(
        replace(
            persona,
            win_rate=float(estimate),
            low=float(low),
            high=float(high),
            n=int(n),
            n_won=int(k),
            is_assumed=int(n) < LEAST_SHOWN,
        )
        for persona, (estimate, low, high, n, k) in zip(personas.personas, rows, strict=True)
    )
    return replace(personas, personas=updated, base_rate=base)


def renewed(personas: PersonaSet, situation: Situation) -> PersonaSet:
    """The set with the rates of the deals that were decided within the window before the situation's day."""
    if not situation.view.has("deals"):
        return estimate(personas, None)
    deals = situation.closed_deals[won(situation.closed_deals).notna()]
    first, last = situation.span(deals["closed_on"])
    digest = hashlib.sha256("\n".join(sorted(deals["deal_id"])).encode()).hexdigest()[:16]
    with_rates = estimate(personas, deals, situation.names_of(deals["closed_on"]))
    edges = personas.card.edges if personas.card else {}
    cases, edges = decided_cases(situation, by_close(situation.deals), personas, edges)
    card = points_card(cases, edges)
    return replace(with_rates, first_period=first, last_period=last, deals=digest if len(deals) else "", card=card)


CHOSEN_BY_US = ("campaign", "experiment", "arm")  # compared as randomised arms alone


def card_fields(situation: Situation, deals: pd.DataFrame) -> list[str]:
    """The fields of deals that give points and are tried as signals: known at creation, more than one value."""
    known = situation.deal_fields(Moment.CREATION)
    return [f for f in known if f in deals and f not in CHOSEN_BY_US and deals[f].nunique() > 1]


def decided_cases(
    situation: Situation,
    deals: pd.DataFrame,
    personas: PersonaSet,
    edges: Mapping[str, tuple[float, ...]],
    fields: Collection[str] | None = None,
) -> tuple[Cases, Mapping[str, tuple[float, ...]]]:
    """Decided ``deals`` (``counting.by_close``) by persona, period and level, and the edges of the bands of numbers.

    Fields of numbers keep the ``edges`` that they have; others get the quartiles of these deals.
    """
    names = card_fields(situation, deals) if fields is None else list(fields)
    return cases_by_level(deals, names, edges, situation.names_of(deals["closed_on"]), personas.assign(deals))


def points_of(personas: PersonaSet, records: pd.DataFrame) -> pd.Series | None:
    """The card's points (0 to 100) of each deal, or of what is known of a lead; None without a card."""
    card = personas.card
    if card is None:
        return None
    return pd.Series(card.total(card.levels_of(records, personas.assign(records))), records.index)
