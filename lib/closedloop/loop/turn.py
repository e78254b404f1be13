"""A whole moment of a period, without notebooks: every look is taken, its family closed, and all of it written."""

from pathlib import Path

import numpy as np
import pandas as pd

from closedloop.evidence.claims import CLAIM_COLUMNS, STATEMENT_COLUMNS, close_family, outside, stacked
from closedloop.loop.basis import is_of, written_on
from closedloop.loop.call_list import plainly, to_log
from closedloop.loop.comparisons import REP_LUCK, turning
from closedloop.loop.in_force import (
    OUTCOME,
    PLAN,
    moment_basis,
    previous,
    refined_by,
    replayed,
    set_in_force,
    write_proposal,
)
from closedloop.loop.persona import write_set
from closedloop.loop.situation import Situation
from closedloop.loop.step import Step, as_csv, merged, read_frame, replace_file, write_frame, write_step
from closedloop.market.periods import Period, find_period
from closedloop.market.warehouse import open_warehouse
from closedloop.terms import Verdict

# The steps are imported where they run: a notebook that only reads what was computed starts without the estimators.

# who they are, and what they cost: true differences there must not carry rates past the correction
_FAMILIES = {
    "share": "profile",
    "wave_share": "profile",
    "cost_per_won_amount": "cost",
    "score_auc": "score",
    "gain_over_stage": "score",
    "association": "answers",
    "rep_spread": "sellers",
    "order_won_rate": "order",
    "drift_win_rate": "drift",
    "drift_share": "drift mix",
}
_RECORDING = ("recorded_share", "arm_share")
# of error, where it is not one in ten
_RATES = {"plan recording": 0.01, "outcome recording": 0.01, "sellers": REP_LUCK}
_WORTH_RATIO = {"cost": 1.0}  # what is worth knowing: a cost twice as high; of other amounts and days a quarter more
_FINDING = ["notebook", "measure", "subject", "field", "level", "within", "side"]

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
    today = moment_basis(situation, PLAN)
    in_force = set_in_force(market, found.name, out)
    material = research.research(situation)
    held, before = _held_before(situation, "plan", out), previous(warehouse.periods, found)
    old = set_in_force(market, before.name, out) if before else None
    described = personas.personas(situation, material.sample, material.segments, in_force, old)
    found_leads = leads.leads(situation, in_force)
    chosen = targets.targets(situation, material.sample, material.segments, in_force)
    steps = [merged(material.step, chosen), described, found_leads]
    judged = _closed(situation, PLAN, steps, held)
    steps[-1] = merged(found_leads, experiments.planned_tests(situation, in_force, judged))
    folder = period_folder(market, found.name, out)
    claims = _closed(situation, PLAN, steps, held)
    with written_on(folder, PLAN, today):
        _keep_held(situation, PLAN, claims, out)
        write_set(folder / "personas.yml", in_force)
        _write(folder, steps, PLAN, claims)
        _write_both(market, found.name, PLAN, out)
        _write_lists(folder, found_leads)
    return folder


def look_back(market: str, period: str, out: Path) -> Path:
    """Compute and write what looks back on a period: hand-off, deals, refinement, review and the outcome claims."""
    from closedloop.loop import deals, handoff, review

    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period, planning=False)
    situation = Situation.looking_back(warehouse, found)
    today = moment_basis(situation, OUTCOME)
    in_force = set_in_force(market, found.name, out)
    proposal, refined = refined_by(market, found.name, out)
    steps = {
        "handoff": handoff.handoff(situation, in_force),
        "deals": deals.deals(situation, in_force),
        "refinement": refined,
    }
    claims = _closed(situation, OUTCOME, list(steps.values()), _held_before(situation, OUTCOME, out))
    steps["deals"].results.update(_claim_counts(claims))
    steps["review"] = review.review(in_force, proposal, steps, claims)
    folder = period_folder(market, found.name, out)
    write_proposal(replayed(situation, OUTCOME, out), proposal)
    with written_on(folder, OUTCOME, today):
        _keep_held(situation, OUTCOME, claims, out)
        write_set(folder / "personas.yml", in_force)  # as the plan did, if it was computed
        write_proposal(folder / "proposal.yml", proposal)
        _write(folder, list(steps.values()), OUTCOME, claims)
        _write_both(market, found.name, OUTCOME, out)
    return folder


def is_current(market: str, period: str, moment: str, out: Path) -> bool:
    """Would the moment find today what it has written: same code, settings, committed sets and rows that it may see?"""
    warehouse = open_warehouse(market)
    found = find_period(warehouse.periods, period)
    situation = (Situation.planning if moment == PLAN else Situation.looking_back)(warehouse, found)
    return is_of(period_folder(market, found.name, out), moment, moment_basis(situation, moment))


def _claim_counts(claims: pd.DataFrame) -> dict[str, int]:
    looked = claims[claims["family"] == OUTCOME]
    is_held = (looked["verdict"] == "supported") & ~turning(looked, claims)
    return {"n_looks": len(looked), "n_supported": int(is_held.sum())}


def _closed(
    situation: Situation, family: str, steps: list[Step], held_before: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Every figure of a moment as a claim: the closed families of its comparisons, and what stands outside them.

    Who they are (shares), what they cost and how they end (rates, amounts, days) are families of their own: with many
    true shares or costs in one family, Benjamini-Hochberg would let rates pass that are luck. ``held_before``: the
    findings of a period ago, with which the window overlaps; only a finding that comes back says how many of its cases
    it had then as well.
    """
    settings, market, period = situation.claims, situation.market, situation.period.name
    fingerprint, expires_on = situation.warehouse.fingerprint(situation.on), situation.expires_on
    looks = stacked(step.looks for step in steps)
    told = stacked((step.statements for step in steps), STATEMENT_COLUMNS)
    recording = f"{family} recording"
    of_family = looks["measure"].map({**_FAMILIES, **dict.fromkeys(_RECORDING, recording)}).fillna(family)
    compared = [
        close_family(
            looks[of_family == name],
            family=name,
            market=market,
            period=period,
            smallest_worth=settings.smallest_worth,
            rate=_RATES.get(name, 0.10),
            worth_ratio=_WORTH_RATIO.get(name, 0.25),
            fingerprint=fingerprint,
            expires_on=expires_on,
        )
        for name in dict.fromkeys([*_FAMILIES.values(), recording, family])
    ]
    compared[-1] = _only_repeated(compared[-1], held_before)
    others = outside(told, market=market, period=period, fingerprint=fingerprint, expires_on=expires_on)
    closed = [step.closed.assign(fingerprint=fingerprint) for step in steps]
    return stacked([*compared, others, *closed], CLAIM_COLUMNS)


def _only_repeated(claims: pd.DataFrame, held_before: pd.DataFrame | None) -> pd.DataFrame:
    """The claims, with ``n_before`` where the same finding held a period ago, and nowhere else."""
    known = set() if held_before is None else set(map(tuple, held_before[_FINDING].to_numpy()))
    found = _held(claims)[_FINDING].apply(tuple, axis=1) if len(_held(claims)) else pd.Series(dtype=object)
    is_repeated = found.isin(known).reindex(claims.index, fill_value=False)
    return claims.assign(n_before=claims["n_before"].where(is_repeated))


def _held(claims: pd.DataFrame) -> pd.DataFrame:
    """What holds, and on which side."""
    held = claims[(claims["verdict"] == Verdict.SUPPORTED) & claims["family"].isin([PLAN, OUTCOME])]
    return held.assign(side=np.sign(held["effect"]))


def _held_before(situation: Situation, moment: str, out: Path) -> pd.DataFrame | None:
    """What held at the same moment of the period before; computed where that moment left nothing behind."""
    from closedloop.loop import deals, leads, personas

    before = situation.previous
    if before is None:
        return None
    path = replayed(before, moment, out, "held.parquet")
    if not path.exists():
        in_force = set_in_force(before.market, before.period.name, out)
        compared = (personas, leads) if moment == PLAN else (deals,)
        steps = [step.comparisons(before, in_force) for step in compared]
        _keep_held(before, moment, _closed(before, moment, steps), out)
    return read_frame(path)


def _keep_held(situation: Situation, moment: str, claims: pd.DataFrame, out: Path) -> None:
    write_frame(replayed(situation, moment, out, "held.parquet"), _held(claims)[_FINDING])


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


def _write_lists(folder: Path, leads: Step) -> None:
    """The lists to call and to wake up for the CRM; an earlier one must not be called when nobody is on it any more."""
    tables = leads.tables
    lists = {"call-list.csv": to_log(tables["next_leads"])} if "next_leads" in tables else {}
    lists |= {"wake-up-list.csv": plainly(tables["wake_up"])} if "wake_up" in tables else {}
    for name in ("call-list.csv", "wake-up-list.csv"):
        (folder / name).unlink(missing_ok=True)
    for name, table in lists.items():
        replace_file(folder / name, as_csv(table).encode())
