"""The persona set in force in a period: rules that refinement let in, with rates renewed at the period's start."""

import hashlib
from pathlib import Path

import yaml

from closedloop.loop.basis import Basis, basis
from closedloop.loop.persona import PersonaSet, Proposal, read_set, renewed, write_set
from closedloop.loop.persona_changes import committed
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step, replace_file
from closedloop.market.periods import Period, find_period
from closedloop.market.warehouse import Warehouse, open_warehouse

# Research and refinement are imported where they run: a notebook that only reads starts without the estimators.

PLAN, OUTCOME = "plan", "outcome"


def previous(every: list[Period], period: Period) -> Period | None:
    """The period before; None for the first."""
    index = every.index(period)
    return every[index - 1] if index else None


def _following(every: list[Period], period: Period) -> Period | None:
    index = every.index(period)
    return every[index + 1] if index + 1 < len(every) else None


def committed_set(warehouse: Warehouse, period: str) -> Path:
    """Where people put a persona set that is to be in force in ``period`` whatever refinement says."""
    return warehouse.definition.folder / "personas" / f"{period}.yml"


def set_in_force(market: str, period: str, out: Path) -> PersonaSet:
    """The rules in force in a period, with the rates of the window before it; computed once, then read."""
    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    situation = Situation.planning(warehouse, found)
    path = replayed(situation, PLAN, out)
    if not path.exists():
        write_set(path, renewed(_rules_in_force(warehouse, found, out), situation))
    return read_set(path)


def _rules_in_force(warehouse: Warehouse, found: Period, out: Path) -> PersonaSet:
    """The committed set; else the last period's winning proposal; else its set; for the first period, research's."""
    market, path = warehouse.definition.name, committed_set(warehouse, found.name)
    if path.exists():
        return committed(read_set(path), found.name)
    before = previous(warehouse.periods, found)
    if before is None:
        from closedloop.loop.first_set import research_set
        from closedloop.loop.research import research

        situation = Situation.planning(warehouse, found)
        material = research(situation)
        return research_set(situation, material.sample, material.segments)
    proposal = _proposal(market, before.name, out)
    if proposal.personas is not None and warehouse.definition.accept == "auto":
        return proposal.personas
    return set_in_force(market, before.name, out).carried_to(found.name)


def _is_set_known(warehouse: Warehouse, period: Period, out: Path) -> bool:
    """Can the set in force be told as ``set_in_force`` does, from sets and proposals that are there?"""
    before = previous(warehouse.periods, period)
    if before is None or committed_set(warehouse, period.name).exists():
        return True
    if replayed(Situation.planning(warehouse, period), PLAN, out).exists():
        return True
    path = replayed(Situation.looking_back(warehouse, before), OUTCOME, out)
    if not path.exists():
        return False
    wins = _read_proposal(path).personas is not None and warehouse.definition.accept == "auto"
    return wins or _is_set_known(warehouse, before, out)


def _proposal(market: str, period: str, out: Path) -> Proposal:
    """What refinement concluded at the end of ``period``; computed once, then read."""
    warehouse = open_warehouse(market)
    situation = Situation.looking_back(warehouse, find_period(warehouse.periods, period))
    path = replayed(situation, OUTCOME, out)
    if not path.exists():
        write_proposal(path, refined_by(market, period, out)[0])
    return _read_proposal(path)


def refined_by(market: str, period: str, out: Path) -> tuple[Proposal, Step]:
    """What refinement concludes at the end of a period, and the step that shows how."""
    from closedloop.loop import refinement

    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    following = None if found.running else _following(warehouse.periods, found)
    situation = Situation.looking_back(warehouse, found)
    return refinement.refine(situation, set_in_force(market, found.name, out), following.name if following else None)


def replayed(situation: Situation, moment: str, out: Path, what: str = "yml") -> Path:
    """Where a period's set (plan) or proposal (outcome), or what held in it, is kept for today's basis."""
    digest = hashlib.sha256(repr(moment_basis(situation, moment)).encode()).hexdigest()[:16]
    return out / ".replayed" / situation.market / f"{situation.period.name}-{moment}-{digest}.{what}"


def needs_replay(market: str, period: str, out: Path) -> bool:
    """Would the moment have to compute earlier periods first, because today's persona sets of theirs are not there?"""
    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    before = previous(warehouse.periods, found)
    return not all(_is_set_known(warehouse, one, out) for one in (found, before) if one)


def write_proposal(path: Path, proposal: Proposal) -> None:
    """Write the proposed set, or why the one in force stays."""
    if proposal.personas is not None:
        write_set(path, proposal.personas)
    else:
        stays = {"verdict": proposal.verdict, "reason": proposal.reason, "note": "no proposal: the set in force stays"}
        replace_file(path, yaml.safe_dump(stays, sort_keys=False, width=110).encode())


def _read_proposal(path: Path) -> Proposal:
    stored = yaml.safe_load(path.read_text("utf-8"))
    if "personas" in stored:
        return Proposal("improved", read_set(path))
    return Proposal(stored["verdict"], reason=stored["reason"])


def moment_basis(situation: Situation, moment: str) -> Basis:
    """What a moment would be computed from today."""
    rows = situation.warehouse.fingerprint(situation.on)
    return basis(situation.definition, situation.period.name, moment, rows)
