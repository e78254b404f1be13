"""A whole moment of a period, without notebooks: every look is taken, its family closed, and all of it written."""

import hashlib
from functools import cache
from pathlib import Path

import pandas as pd
import yaml

from closedloop.evidence.claims import CLAIM_COLUMNS, STATEMENT_COLUMNS, close_family, outside, stacked
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
    in_force = set_in_force(market, found.name, out)
    material = research.research(situation)
    before = _previous(warehouse.periods, found)
    old = set_in_force(market, before.name, out) if before else None
    described = personas.personas(situation, material.sample, material.segments, in_force, old)
    found_leads = leads.leads(situation, in_force)
    chosen = targets.targets(situation, material.sample, material.segments, in_force)
    steps = [merged(material.step, chosen), described, found_leads]
    judged = _closed(situation, "plan", steps)
    steps[-1] = merged(found_leads, experiments.planned_tests(situation, in_force, judged))
    folder = period_folder(market, found.name, out)
    write_set(folder / "personas.yml", in_force)
    _write(folder, "plan", steps, _closed(situation, "plan", steps))
    _write_lists(folder, found_leads)
    return folder


def look_back(market: str, period: str, out: Path) -> Path:
    """Compute and write what looks back on a period: hand-off, deals, refinement, review and the outcome claims."""
    from closedloop.loop import deals, handoff, review

    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period, planning=False)
    situation = Situation.looking_back(warehouse, found)
    in_force = set_in_force(market, found.name, out)
    proposal, refined = _refined(market, found.name, out)
    steps = {
        "handoff": handoff.handoff(situation, in_force),
        "deals": deals.deals(situation, in_force),
        "refinement": refined,
    }
    claims = _closed(situation, "outcome", list(steps.values()))
    steps["deals"].results.update(_claim_counts(claims))
    steps["review"] = review.review(in_force, proposal, steps, claims)
    folder = period_folder(market, found.name, out)
    path = _replayed(warehouse, out) / f"{found.name}.proposal.yml"
    _write_proposal(path, proposal)
    _write_proposal(folder / "proposal.yml", proposal)
    _write(folder, "outcome", list(steps.values()), claims)
    return folder


def _claim_counts(claims: pd.DataFrame) -> dict[str, int]:
    looked = claims[claims["family"] == "outcome"]
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


def _write(folder: Path, family: str, steps: list[Step], claims: pd.DataFrame) -> None:
    for step in steps:
        write_step(folder, step)
    write_frame(folder / f"claims-{family}.parquet", claims)
    merged = [read_frame(p) for p in (folder / "claims-plan.parquet", folder / "claims-outcome.parquet") if p.exists()]
    both = pd.concat(merged, ignore_index=True)
    write_frame(folder / "claims.parquet", both)
    replace_file(folder / "claims.csv", as_csv(both).encode())


def _write_lists(folder: Path, leads: Step) -> None:
    """The lists to call and to wake up for the CRM; an earlier one must not be called when nobody is on it any more."""
    tables = leads.tables
    lists = {"call-list.csv": to_log(tables["next_leads"])} if "next_leads" in tables else {}
    lists |= {"wake-up-list.csv": tables["wake_up"]} if "wake_up" in tables else {}
    for name in ("call-list.csv", "wake-up-list.csv"):
        (folder / name).unlink(missing_ok=True)
    for name, table in lists.items():
        replace_file(folder / name, as_csv(table).encode())


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
    path = _replayed(warehouse, out) / f"{period.name}.personas.yml"
    if not path.exists():
        from closedloop.loop import personas, research

        situation = Situation.planning(warehouse, period)
        material = research.research(situation)
        write_set(path, personas.research_set(situation, material.sample, material.segments))
    return read_set(path)


def _proposal(market: str, period: str, out: Path) -> Proposal:
    """What refinement concluded at the end of ``period``; computed once, then read."""
    path = _replayed(open_warehouse(market), out) / f"{period}.proposal.yml"
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


def _replayed(warehouse: Warehouse, out: Path) -> Path:
    """Where replayed sets are kept: one folder for these data, this code and these committed sets."""
    digest = hashlib.sha256(_source_fingerprint().encode() + warehouse.folder.name.encode())
    for path in sorted((warehouse.definition.folder / "personas").glob("*.yml")):
        digest.update(path.name.encode() + path.read_bytes())
    return out / ".replayed" / warehouse.definition.name / digest.hexdigest()[:16]


@cache
def _source_fingerprint() -> str:
    """Of the package's own code: what other code computed is never taken for current."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
