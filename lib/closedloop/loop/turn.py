"""A whole moment of a period, without notebooks: every look is taken, its family closed, and all of it written."""

import hashlib
from pathlib import Path

import pandas as pd
import yaml

from closedloop.evidence.claims import CLAIM_COLUMNS, STATEMENT_COLUMNS, close_family, outside, stacked
from closedloop.loop.basis import Basis, basis, is_of, written_on
from closedloop.loop.call_list import to_log
from closedloop.loop.persona import PersonaSet, Proposal, read_set, write_set
from closedloop.loop.persona_changes import committed
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step, as_csv, merged, read_frame, replace_file, write_frame, write_step
from closedloop.market.periods import Period, find_period
from closedloop.market.warehouse import Warehouse, open_warehouse

# The steps are imported where they run: a notebook that only reads what was computed starts without the estimators.

# the measures of who they are: true differences there must not carry rates past the correction
_PROFILE = ("share", "wave_share")

PLAN, OUTCOME = "plan", "outcome"
PLAN_STEPS = ("research", "personas", "leads")
OUTCOME_STEPS = ("handoff", "deals", "refinement", "review")


def periods(market: str) -> list[Period]:
    """The market's periods, oldest first; the last one is running or coming."""
    return open_warehouse(market).periods


def has_begun(market: str, period: str) -> bool:
    """Is there anything to look back on? Not in a period that starts after the data's last day."""
    warehouse = open_warehouse(market)
    return warehouse.has_begun(find_period(warehouse.periods, period))


def period_folder(market: str, period: str, out: Path) -> Path:
    """Where everything of one period is written."""
    return out / market / period


def plan(market: str, period: str, out: Path) -> Path:
    """Compute and write what plans a period: research, personas, leads, the set in force and the plan claims."""
    from closedloop.loop import experiments, leads, personas, research, targets

    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    situation = Situation.planning(warehouse, found)
    today = _basis(situation, PLAN)
    in_force = set_in_force(market, found.name, out)
    material = research.research(situation)
    before = _previous(warehouse.periods, found)
    old = set_in_force(market, before.name, out) if before else None
    described = personas.personas(situation, material.sample, material.segments, in_force, old)
    found_leads = leads.leads(situation, in_force)
    chosen = targets.targets(situation, material.sample, material.segments, in_force)
    steps = [merged(material.step, chosen), described, found_leads]
    judged = _closed(situation, PLAN, steps)
    steps[-1] = merged(found_leads, experiments.planned_tests(situation, in_force, judged))
    folder = period_folder(market, found.name, out)
    with written_on(folder, PLAN, today):
        write_set(folder / "personas.yml", in_force)
        _write(folder, steps, PLAN, _closed(situation, PLAN, steps))
        _write_both(market, found.name, PLAN, out)
        _write_call_list(folder / "call-list.csv", found_leads)
    return folder


def look_back(market: str, period: str, out: Path) -> Path:
    """Compute and write what looks back on a period: hand-off, deals, refinement, review and the outcome claims."""
    from closedloop.loop import deals, handoff, review

    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period, planning=False)
    situation = Situation.looking_back(warehouse, found)
    today = _basis(situation, OUTCOME)
    in_force = set_in_force(market, found.name, out)
    proposal, refined = _refined(market, found.name, out)
    steps = {
        "handoff": handoff.handoff(situation, in_force),
        "deals": deals.deals(situation, in_force),
        "refinement": refined,
    }
    claims = _closed(situation, OUTCOME, list(steps.values()))
    steps["deals"].results.update(_claim_counts(claims))
    steps["review"] = review.review(in_force, proposal, steps, claims)
    folder = period_folder(market, found.name, out)
    _write_proposal(_replayed(situation, OUTCOME, out), proposal)
    with written_on(folder, OUTCOME, today):
        write_set(folder / "personas.yml", in_force)  # as the plan did, if it was computed
        _write_proposal(folder / "proposal.yml", proposal)
        _write(folder, list(steps.values()), OUTCOME, claims)
        _write_both(market, found.name, OUTCOME, out)
    return folder


def is_current(market: str, period: str, moment: str, out: Path) -> bool:
    """Would the moment find today what it has written: same code, settings, committed sets and rows that it may see?"""
    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    situation = (Situation.planning if moment == PLAN else Situation.looking_back)(warehouse, found)
    return is_of(period_folder(market, found.name, out), moment, _basis(situation, moment))


def needs_replay(market: str, period: str, moment: str, out: Path) -> bool:
    """Would the moment have to compute earlier periods first, because today's persona sets of theirs are not there?"""
    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    before = _previous(warehouse.periods, found) if moment == PLAN else None
    return not all(_is_set_known(warehouse, one, out) for one in (found, before) if one)


def _basis(situation: Situation, moment: str) -> Basis:
    rows = situation.warehouse.fingerprint(situation.on)
    return basis(situation.definition, situation.period.name, moment, rows)


def _claim_counts(claims: pd.DataFrame) -> dict[str, int]:
    looked = claims[claims["family"] == OUTCOME]
    return {"n_looks": len(looked), "n_supported": int((looked["verdict"] == "supported").sum())}


def _closed(situation: Situation, family: str, steps: list[Step]) -> pd.DataFrame:
    """Every figure of a moment as a claim: the closed families of its comparisons, and what stands outside them.

    Who they are (shares) and how they end (rates, amounts, days) are two families: with many true shares in one
    family, Benjamini-Hochberg would let rates pass that are luck.
    """
    settings, market, period = situation.definition.claims, situation.market, situation.period.name
    fingerprint, expires_on = situation.warehouse.fingerprint(situation.on), situation.expires_on
    looks = stacked(step.looks for step in steps)
    told = stacked((step.statements for step in steps), STATEMENT_COLUMNS)
    is_profile = looks["measure"].isin(_PROFILE)
    compared = [
        close_family(
            part,
            family=name,
            market=market,
            period=period,
            smallest_worth=settings.smallest_worth,
            fingerprint=fingerprint,
            expires_on=expires_on,
        )
        for name, part in (("profile", looks[is_profile]), (family, looks[~is_profile]))
    ]
    others = outside(told, market=market, period=period, fingerprint=fingerprint, expires_on=expires_on)
    closed = [step.closed.assign(fingerprint=fingerprint) for step in steps]
    return stacked([*compared, others, *closed], CLAIM_COLUMNS)


def _write(folder: Path, steps: list[Step], moment: str, claims: pd.DataFrame) -> None:
    for step in steps:
        write_step(folder, step)
    write_frame(folder / f"claims-{moment}.parquet", claims)


def _write_both(market: str, period: str, moment: str, out: Path) -> None:
    """The claims of the moment and, while they are current, those of the period's other one, in one table."""
    folder = period_folder(market, period, out)
    moments = [one for one in (PLAN, OUTCOME) if one == moment or is_current(market, period, one, out)]
    both = pd.concat([read_frame(folder / f"claims-{one}.parquet") for one in moments], ignore_index=True)
    write_frame(folder / "claims.parquet", both)
    replace_file(folder / "claims.csv", as_csv(both).encode())


def _write_call_list(path: Path, leads: Step) -> None:
    """The list to call for the CRM; an earlier one must not be called when there is nobody any more."""
    path.unlink(missing_ok=True)
    if "next_leads" in leads.tables:
        replace_file(path, as_csv(to_log(leads.tables["next_leads"])).encode())


def _write_proposal(path: Path, proposal: Proposal) -> None:
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


def _previous(every: list[Period], period: Period) -> Period | None:
    index = every.index(period)
    return every[index - 1] if index else None


def _following(every: list[Period], period: Period) -> Period | None:
    index = every.index(period)
    return every[index + 1] if index + 1 < len(every) else None


def committed_set(warehouse: Warehouse, period: str) -> Path:
    """Where people put a persona set that is to be in force in ``period`` whatever refinement says."""
    return warehouse.definition.folder / "personas" / f"{period}.yml"


def set_in_force(market: str, period: str, out: Path) -> PersonaSet:
    """The committed set; else the last period's winning proposal; else its set; for the first period, research's."""
    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    path = committed_set(warehouse, found.name)
    if path.exists():
        return committed(read_set(path), found.name)
    before = _previous(warehouse.periods, found)
    if before is None:
        return _first_set(warehouse, found, out)
    proposal = _proposal(market, before.name, out)
    if proposal.personas is not None and warehouse.definition.accept == "auto":
        return proposal.personas
    return set_in_force(market, before.name, out).carried_to(found.name)


def _first_set(warehouse: Warehouse, period: Period, out: Path) -> PersonaSet:
    situation = Situation.planning(warehouse, period)
    path = _replayed(situation, PLAN, out)
    if not path.exists():
        from closedloop.loop import personas, research

        material = research.research(situation)
        write_set(path, personas.research_set(situation, material.sample, material.segments))
    return read_set(path)


def _is_set_known(warehouse: Warehouse, period: Period, out: Path) -> bool:
    """Can the set in force be told as ``set_in_force`` does, from proposals that are there?"""
    before = _previous(warehouse.periods, period)
    if before is None or committed_set(warehouse, period.name).exists():
        return True
    path = _replayed(Situation.looking_back(warehouse, before), OUTCOME, out)
    if not path.exists():
        return False
    wins = _read_proposal(path).personas is not None and warehouse.definition.accept == "auto"
    return wins or _is_set_known(warehouse, before, out)


def _proposal(market: str, period: str, out: Path) -> Proposal:
    """What refinement concluded at the end of ``period``; computed once, then read."""
    warehouse = open_warehouse(market)
    situation = Situation.looking_back(warehouse, find_period(warehouse.periods, period))
    path = _replayed(situation, OUTCOME, out)
    if not path.exists():
        _write_proposal(path, _refined(market, period, out)[0])
    return _read_proposal(path)


def _refined(market: str, period: str, out: Path) -> tuple[Proposal, Step]:
    from closedloop.loop import refinement

    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    following = None if found.running else _following(warehouse.periods, found)
    situation = Situation.looking_back(warehouse, found)
    return refinement.refine(situation, set_in_force(market, found.name, out), following.name if following else None)


def _replayed(situation: Situation, moment: str, out: Path) -> Path:
    """Where the first period's set (plan) or a period's proposal (outcome) of today's basis is kept."""
    digest = hashlib.sha256(repr(_basis(situation, moment)).encode()).hexdigest()[:16]
    return out / ".replayed" / situation.market / f"{situation.period.name}-{moment}-{digest}.yml"
