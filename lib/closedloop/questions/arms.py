"""What experiments showed: drawn arms compared with each other by every outcome, and held against the draw itself."""

from collections.abc import Sequence

import pandas as pd

from closedloop.documents.arms import ARM_RATES, compared_by, winners
from closedloop.documents.findings import Column, joined, table_of, where
from closedloop.documents.measures import measure_of
from closedloop.documents.pieces import Listing, Piece, Sentence
from closedloop.documents.wording import records, sentence
from closedloop.evidence.arms import amount_differences, arm_amount_looks, arm_differences, arm_looks, uneven_look
from closedloop.evidence.claims import Origin
from closedloop.loop.comparisons import control_of, handed_off
from closedloop.loop.counting import LEAST_SHOWN, rates
from closedloop.loop.records import column
from closedloop.questions.answer import Answer
from closedloop.questions.arm_outcomes import AMOUNT, Outcome, experiments, outcomes
from closedloop.questions.comparison import comparison
from closedloop.questions.evidence import Evidence
from closedloop.questions.gaps import no_leads
from closedloop.questions.period import opened
from closedloop.questions.redraws import ArmRedraw

_RECORD = {
    "accepted_rate": "leads.sales_accepted_on",
    "qualified_rate": "leads.sales_qualified_on",
    "won_rate": "deals with lead_id and outcome",
    AMOUNT: "deals.won_amount",
}
_NO_EXPERIMENT = (
    "No randomised comparison of messages is recorded. Collect `leads.experiment`, `arm` and `arm_rate`: "
    "only drawn arms can show causes."
)
_ALL_DRAWN = 0.02  # shares that are drawn sum to 1, up to their rounding
_UNEVEN = 0.001  # sizes less likely than this under the draw: leads of an arm got lost, and no comparison is fair
_GIVES = 0.10  # of amounts: the factor less 1 that ``arm_amount_looks`` takes to matter


def arms(leads: pd.DataFrame, *, threshold: float | None = None, among: str | None = None) -> Answer:
    """Every experiment's arms by every outcome: the only place where a cause is shown, since arms are drawn by lot.

    Rates of arms are compared exactly, amounts by permutation (METHODS 5); the control is market.toml's, else two arms
    stand against each other. Arms of sizes that the draw does not give are not compared. ``leads``: all that are known.
    """
    answer = opened().ask("arms", "experiments", leads, "leads", _show, among=among, threshold=threshold)
    answer.headline = _headline
    if no_leads(answer):
        return answer
    drawn, known = list(experiments(answer.rows)), set[str]()
    if not drawn:
        answer.missing["experiments"] = _NO_EXPERIMENT
        return answer
    for name, part in drawn:
        origin = answer.origin(column(part, "created_on"))
        for measure, by in {"n_arm_leads": "arm", "n_drawn_leads": "channel"}.items():
            n = part[by].value_counts() if by in part else pd.Series(dtype="int64")
            rows = [{"field": by, "level": level, "estimate": size} for level, size in n[n >= LEAST_SHOWN].items()]
            answer.count(rows, origin, measure, subject=name)
        sizes = uneven(part, name, origin)
        if len(sizes):
            answer.compare(sizes)
        if sizes.empty or sizes["p"].iloc[0] >= _UNEVEN:
            known |= _by_outcomes(answer, name, part, origin, threshold)
        else:
            answer.missing["experiments"] = (
                f"The arms of {name} are not compared: sizes so far from the shares in arm_rate come up less than once "
                f"in {round(1 / _UNEVEN):,d} draws. Find out where leads of an arm got lost."
            )
    lacking = [place for measure, place in _RECORD.items() if measure not in known]
    if lacking:
        answer.missing["arm_outcomes"] = f"Other outcomes of the arms. Record {'; '.join(lacking)}."
    return answer


def uneven(leads: pd.DataFrame, name: str, origin: Origin) -> pd.DataFrame:
    """The comparison of an experiment's sizes with its draw; empty where the draw is not recorded.

    It is recorded when every arm has one ``arm_rate``, and all of them make 1.
    """
    if "arm_rate" not in leads or leads["arm_rate"].isna().all():
        return pd.DataFrame()
    rate = leads.groupby("arm")["arm_rate"].agg(["min", "max"]).astype(float)
    is_recorded = len(rate) > 1 and (rate["min"] == rate["max"]).all() and abs(rate["min"].sum() - 1) <= _ALL_DRAWN
    if not is_recorded:
        return pd.DataFrame()
    sizes, shares = leads["arm"].value_counts().reindex(rate.index), rate["min"] / rate["min"].sum()
    return uneven_look(sizes, shares, origin, measure="arm_share", experiment=name)


def _by_outcomes(answer: Answer, name: str, leads: pd.DataFrame, origin: Origin, threshold: float | None) -> set[str]:
    """State and compare one experiment's arms; returns the measures of which something is known."""
    situation, known = answer.now.situation, set[str]()
    control, gate = control_of(situation.definition, name), threshold or situation.claims.practical_threshold
    for outcome in outcomes(situation, leads):
        table, measure = outcome.by_arm(leads), outcome.measure
        known |= {measure} if outcome.amount is None else {measure, AMOUNT}
        answer.count(table.assign(field="arm", estimate=table["k"]), origin, ARM_RATES[measure], subject=name)
        answer.estimate(rates(table.to_numpy(), "arm"), origin, f"arm_{measure}", subject=name)
        if outcome.days is not None and situation.definition.clock != "order":
            days = {"estimate": outcome.days, "n": int(outcome.hit.notna().sum())}
            answer.count([days], origin, f"arm_{measure}_days", unit="days", subject=name)
        if control is not None and control not in set(table["level"]):
            answer.missing["experiments"] = (
                f"The arms of {name} cannot be compared: what became of its control {control!r} is known of fewer than "
                f"ten leads. Wait for more, or mend [experiments.{name}] in market.toml."
            )
            continue
        told = leads[outcome.hit.notna() & leads["arm"].astype("str").isin(table["level"])]
        drawn = ("leads", told["lead_id"], told["arm"], handed_off(told), outcome.hit[told.index])
        compared = arm_looks(table, origin, measure=measure, experiment=name, control=control, threshold=gate)
        answer.compare(compared, ArmRedraw(*drawn, measure, gate, name, control))
        gaps = arm_differences(table, control)
        answer.estimate(gaps, origin, f"arm_{measure}_difference", unit="points", subject=name, kind="causal")
        if outcome.amount is not None:
            redraw = ArmRedraw(*drawn, AMOUNT, _GIVES, name, control, outcome.amount[told.index])
            _by_amount(answer, outcome, leads, origin, redraw)
    if not known:
        answer.missing["experiments"] = (
            f"The arms of {name} are logged, but nothing is known yet of what became of their leads."
        )
    return known


def _by_amount(answer: Answer, outcome: Outcome, leads: pd.DataFrame, origin: Origin, redraw: ArmRedraw) -> None:
    """What a lead of each arm brought, won or not."""
    brought, name, control = outcome.brought(leads), redraw.experiment, redraw.control
    if brought.empty:
        answer.missing["arm_amounts"] = (
            f"What a lead of each arm of {name} brought is not compared: an arm has fewer than ten leads with a won "
            "amount, or one lead brought more than a third of all."
        )
        return
    answer.compare(arm_amount_looks(brought, origin, measure=AMOUNT, experiment=name, control=control), redraw)
    gaps = amount_differences(brought, control)
    answer.estimate(gaps, origin, f"arm_{AMOUNT}_difference", unit="amount", subject=name, kind="causal")


def _headline(shown: Evidence) -> list[Sentence]:
    return winners(shown.claims, shown.words)[:1]


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: dict[str, str | tuple[str, Column]] = {
        "n_arm_leads": "leads drawn",
        "arm_accepted_rate": ("accepted (90 % interval)", "backed"),
        "n_arm_accepted": "accepted leads",
        "arm_qualified_rate": ("qualified (90 % interval)", "backed"),
        "arm_won_rate": ("won (90 % interval)", "backed"),
    }
    listed = table_of(shown.of(*columns), shown.words, "experiment and arm", columns)
    causal = where(shown.claims, kind="causal").loc[lambda claims: claims["family"] != "none"]
    said = [*winners(shown.claims, shown.words), *_uneven_sizes(shown), *compared_by(shown.claims, shown.words)]
    judged: list[Piece] = []
    for measure in causal["measure"].unique():
        name = measure_of(measure).name
        judged += comparison(
            where(causal, measure=measure), shown, f"{title or 'What did the experiments show?'} {name}", name
        )
    return *((Listing(said),) if said else ()), listed, *judged


def _uneven_sizes(shown: Evidence) -> list[Sentence]:
    """Arms that are not as large as they were drawn."""
    tail = "Leads of an arm may be lost: find out why before you rely on the comparison."
    held = where(shown.of("arm_share"), verdict="supported")
    return [joined([sentence(claim, shown.words), Sentence(tail)]) for claim in records(held)]
