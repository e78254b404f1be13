"""What would have done better: new personas than those in force, another order of calling than the one that was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.claims.comparisons import gain_looks
from closedloop.claims.ledger import close_family, stacked
from closedloop.market.warehouse import fetched
from closedloop.period.counting import rates
from closedloop.period.lead_records import lead_frame
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet, estimate
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Piece, Sentence, stating
from closedloop.presentation.sentences import Claim, backed, records
from closedloop.presentation.tables import Column, Columns, dots_of, table_of
from closedloop.questions.leads.call_list import CALL_LIST
from closedloop.questions.refinement import splits
from closedloop.questions.refinement.splits import FEWEST_DEALS, refinable, simplified
from closedloop.statistics.proportions import shrink_rates
from closedloop.statistics.scoring.accuracy import (
    LEAST_EFFECTIVE,
    auc_within,
    log_loss,
    paired_bootstrap,
    rule_value,
    taken_first,
)
from closedloop.statistics.segmentation.indicators import level_text
from closedloop.terms import Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import DuelRedraw, OrderRedraw


@dataclass(frozen=True)
class Challenger:
    """A persona set as the deals known so far would have it, and the claims of every edit that was tested."""

    personas: PersonaSet
    edits: pd.DataFrame


def challenger_of(
    situation: Situation,
    closed: pd.DataFrame,
    in_force: PersonaSet,
    fields: Sequence[str] | None = None,
    notebook: str = "06_refinement",
) -> Challenger:
    """The challenger learned from ``closed`` deals, with its permanent edits made; and claims of all edits tested.

    Claims (``CLAIM_COLUMNS``, family ``edit``): subject the persona; measure ``win_rate`` a split, and those of
    ``merges``; supported is permanent, leaning on watch. Only rules are edited: rates are renewed every period.
    ``fields``: tried as splits; all of the people known at creation unless given.
    """
    tried = splits.split_fields(situation, closed) if fields is None else [name for name in fields if name in closed]
    claims = splits.split_claims(situation, closed, in_force, tried, notebook)
    changed, undone = simplified(situation, closed, in_force, notebook)
    made = claims[(claims["verdict"] == Verdict.SUPPORTED) & claims["subject"].isin(changed.ids)]
    for edit in made.sort_values(["q", "subject", "field", "level"]).drop_duplicates("subject").itertuples():
        changed = splits.with_split(changed, str(edit.subject), str(edit.field), str(edit.level))
    changed = replace(changed, fields=tuple(dict.fromkeys([*in_force.fields, *changed.rule.fields])))
    if changed.rule != in_force.rule:
        changed = replace(changed, rule_error=None, guess_error=None, rule_n=None)
    wholes = {*made["subject"], *undone.loc[undone["verdict"] == Verdict.SUPPORTED, "level"]}
    changed, recent = _with_shares(changed, closed, wholes), situation.in_window(closed, closed["closed_on"])
    with_rates = estimate(changed, recent, situation.names_of(recent["closed_on"]))
    return Challenger(with_rates, pd.concat([claims, undone], ignore_index=True))


def _with_shares(changed: PersonaSet, closed: pd.DataFrame, wholes: set[str]) -> PersonaSet:
    """The set with the share of the ``wholes``' deals that have the level they are called by, as far as deals hold it.

    What was cut out of a persona or went back to it may have had that level more often, or less often, than the rest.
    """
    assigned = changed.assign(closed)
    personas = []
    for persona in changed.personas:
        if persona.id in wholes and persona.level and persona.field in closed:
            has_level = level_text(closed.loc[assigned == persona.id, persona.field]).dropna() == persona.level
            persona = replace(persona, share=float(has_level.mean()) if len(has_level) else None)
        personas.append(persona)
    return replace(changed, personas=tuple(personas))


Floats = NDArray[np.float64]

IMPROVED, NOT_IMPROVED, CANNOT_TELL = "improved", "no improvement shown", "cannot tell"
GAINS: dict[str, Literal["log_loss", "auc_within"]] = {"log_loss_gain": "log_loss", "auc_within_gain": "auc_within"}
_CONTENDERS = ("proposal", "in force", "no personas", "stage")
_BLOCKS = 4
_LAGGED_DEALS = 400


@dataclass(frozen=True)
class Duel:
    """Deals of a period, block by block: was each won, and how probable each contender called it before it ended."""

    won: Floats
    block: Floats
    predicted: Mapping[str, Floats]

    def gain(self, contender: str, measure: str, rng: np.random.Generator) -> dict[str, Any]:
        """The contender's gain over the set in force with its paired bootstrap interval, as a row of statements."""
        resample = partial(paired_bootstrap, self.won, self.predicted["in force"], block=self.block)
        found = resample(self.predicted[contender], rng=rng, measure=GAINS[measure])
        return self.row(contender, found.estimate) | {"low": found.low, "high": found.high}

    def row(self, contender: str, estimate: float) -> dict[str, Any]:
        """A figure of a contender as a row of statements."""
        return {"field": "contender", "level": contender, "estimate": estimate, "n": len(self.won)}


def duel(situation: Situation, closed: pd.DataFrame, in_force: PersonaSet, fields: Sequence[str] | None = None) -> Duel:
    """Block by block through the period, what every contender says of the deals that closed after it was made.

    Both sets get their rates from the same deals, those that closed before the block: only the rules compete.
    ``closed``: decided deals by the day they closed; ``fields``: tried as splits by the challenger.
    """
    in_period = closed[situation.in_period(closed["closed_on"])]
    won, block_of, at_start = [], [], _stages(situation, situation.period.start)
    predicted: dict[str, list[Floats]] = {name: [] for name in _CONTENDERS}
    for number, rows in enumerate(np.array_split(in_period.index.to_numpy(), _BLOCKS)[1:], 1):
        begins = closed.loc[rows[0], "closed_on"]
        before, block = closed[closed["closed_on"] < begins], closed.loc[rows]
        rate = lagged_rate(before)
        challenger = challenger_of(situation, before, in_force, fields).personas
        recent = situation.in_window(before, before["closed_on"])
        defender = estimate(in_force, recent, situation.names_of(recent["closed_on"]))
        predicted["proposal"].append(predict(challenger, block, rate))
        predicted["in force"].append(predict(defender, block, rate))
        predicted["no personas"].append(np.full(len(block), rate))
        predicted["stage"].append(_by_stage(situation, at_start, begins, before, block, rate))
        won.append(block["is_won"].to_numpy(float))
        block_of.append(np.full(len(block), number, dtype=float))
    joined = {name: np.concatenate(parts) for name, parts in predicted.items()}
    known = {name: p for name, p in joined.items() if not np.isnan(p).any()}
    return Duel(np.concatenate(won), np.concatenate(block_of), known)


def predict(personas: PersonaSet, deals: pd.DataFrame, base: float) -> Floats:
    """Win probability of each deal: the lagged base rate, moved by its persona's deviation."""
    deviation = personas.assign(deals).map(personas.deviations()).fillna(0.0)
    return np.asarray(scipy.special.expit(scipy.special.logit(base) + deviation.to_numpy(float)))


def lagged_rate(before: pd.DataFrame) -> float:
    """Win rate of the last deals that had closed before; one win and one loss are added, so it is never 0 or 1."""
    recent = before.tail(_LAGGED_DEALS)["is_won"]
    return float((recent.sum() + 1) / (len(recent) + 2))


def _stages(situation: Situation, day: date) -> pd.Series | None:
    """The stage of every deal as known on a day, by deal_id; None where stages are not recorded as they change."""
    if not situation.view.has("stage_history") or "stage" not in situation.deals:
        return None
    stages: pd.Series = fetched(situation.warehouse.view(day).known("deals")).set_index("deal_id")["stage"]
    return stages


def _by_stage(
    situation: Situation,
    at_start: pd.Series | None,
    begins: pd.Timestamp,
    before: pd.DataFrame,
    block: pd.DataFrame,
    base: float,
) -> Floats:
    """The rep's view: win rates by the deals' stage at the block's start, learned from those at the period's start."""
    now = _stages(situation, begins.date())
    if at_start is None or now is None:
        return np.full(len(block), np.nan)
    learned = before.assign(stage=before["deal_id"].map(at_start)).dropna(subset=["stage"])
    learned = learned[situation.in_period(learned["closed_on"])]
    table = learned.groupby("stage")["is_won"].agg(["sum", "size"])
    if len(table) < 2:
        return np.full(len(block), base)
    rates = dict(zip(table.index, shrink_rates(table["sum"], table["size"]).mean, strict=True))
    return block["deal_id"].map(now).map(rates).fillna(base).to_numpy(float)


def verdict_of(gains: pd.DataFrame) -> str:
    """The verdict on the proposal: improved only if both its gains hold, as claims of the family ``duel``.

    Probabilities that are a little nearer, without a better order of the deals, are not worth new personas.
    """
    gained = gains[(gains["verdict"] == Verdict.SUPPORTED) & (gains["effect"] > 0)]
    return IMPROVED if set(gained["measure"]) == set(GAINS) else NOT_IMPROVED  # a missing gain is none


def champion_challenger(
    deals: pd.DataFrame, by: Sequence[str] | None = None, *, least: int | None = None, among: str | None = None
) -> Answer:
    """New personas against those in force on the same deals, out of time; nothing is replaced unless both gains hold.

    Gains in log loss, and in AUC inside the blocks of the period, with paired bootstrap intervals (METHODS); beside
    them no personas at all, and the stage of the deal. ``by`` and ``least`` as of ``edits``.
    """
    now = opened()
    answer = now.ask("champion_challenger", "duel", deals, "deals", _show, among=among, by=by, least=least)
    answer.headline = duel_verdict
    answer.results |= {"verdict": CANNOT_TELL, "n_deals": 0}
    closed = refinable(answer, FEWEST_DEALS if least is None else least)
    if closed is None:
        return answer
    situation, origin = now.situation, answer.origin_now
    fought = duel(situation, closed, now.personas, by)
    losses = [fought.row(name, log_loss(fought.won, p)) for name, p in fought.predicted.items()]
    orders = [fought.row(name, auc_within(fought.won, p, fought.block)) for name, p in fought.predicted.items()]
    answer.estimate(losses, origin, "log_loss", unit="ratio", kind="predictive")
    answer.estimate(orders, origin, "auc_within", unit="ratio", kind="predictive")
    compared = []
    for measure in GAINS:
        rivals = sorted(fought.predicted.keys() - {"in force"})
        gains = {name: fought.gain(name, measure, situation.rng(f"duel-{name}")) for name in rivals}
        compared.append(gain_looks([gains.pop("proposal")], origin, measure=measure))
        answer.estimate(list(gains.values()), origin, measure, unit="ratio", kind="predictive")
    judged = close_family(stacked(compared), family="duel", **situation.about)
    answer.closed.append(judged)
    answer.results |= {"verdict": verdict_of(judged), "n_deals": len(fought.won)}
    answer.redraws += [DuelRedraw(closed["deal_id"], closed, now.personas, situation, by)] if answer.is_recorded else []
    return answer


def duel_verdict(shown: Evidence) -> list[Sentence]:
    """What the duel of the proposal against the set in force says."""
    verdict = shown.result("verdict") or CANNOT_TELL
    gain, order = (shown.first(name, level="proposal") for name in GAINS)
    if gain is None or order is None:
        return [Sentence(f"Duel of new against old personas: {verdict}.")]
    text = (
        f"Duel of new against old personas on {numbers.count(gain['n'])} deals: {verdict} "
        f"(gain in log loss {_signed(gain)}, in AUC within blocks {_signed(order)}; both must lie above 0)."
    )
    return [stating(text, gain, order)]


def _signed(claim: Claim) -> str:
    """A gain with both ends of its interval, which may lie on either side of 0."""
    return f"{numbers.plain(claim['estimate'])}, {numbers.plain(claim['low'])} to {numbers.plain(claim['high'])}"


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    gains, name = shown.of("log_loss_gain").assign(baseline=0.0), level_of(shown.words)
    if gains.empty:
        return duel_verdict(shown)

    def gained(measure: str) -> Column:
        return lambda row: _signed(row[measure]) if measure in row else numbers.MISSING

    asked = title or "Who predicts the next deals better than the personas in force?"
    picture = dots_of(gains, shown.words, asked, "gain in log loss over the set in force", name)
    columns: Columns = {
        "log_loss": "log loss (lower is better)",
        "auc_within": "AUC within blocks",
        "log_loss_gain": ("gain in log loss", gained("log_loss_gain")),
        "auc_within_gain": ("gain in AUC", gained("auc_within_gain")),
    }
    listed = table_of(shown.cell("duel"), shown.words, "contender", columns, label=name)
    return picture, *duel_verdict(shown), listed


AS_CALLED, BY_PERSONAS, AT_RANDOM = "as called", "by the personas' promise", "at random"
_COLUMNS = ["field", "level", "estimate", "low", "high", "n"]
_NO_LOG = (
    "The value of another order of calling is not identified: the outcomes known are those of leads that an order "
    "chose. Call the drawn records of the list as well, and log the random slot (leads.experiment, arm, arm_rate)."
)
_NONE_DRAWN = (
    "The value of another order of calling is not identified: {n} leads of the list were decided in this period, and "
    "none of them was drawn. Call the drawn records of the list as well."
)
_ALIKE = "The personas in force promise alike, so they give no order of calling whose value could be told."


def other_orders(leads: pd.DataFrame, *, among: str | None = None) -> Answer:
    """What calling by the personas' promise, and at random, would have won, beside what was called.

    Judged on leads logged from the list to call whose outcome became known in the period, after the personas in force
    had made their promise: each stands for 1 / ``arm_rate`` of those who waited (self-normalised inverse propensities).
    Without a drawn lead among them, or when the log is worth fewer than 50 leads, no value is given.
    """
    now = opened()
    answer = now.ask("other_orders", "off_policy", leads, "leads", _show_orders, among=among)
    log = _log(now.situation, answer.rows)
    if not (log["arm_rate"] < 1).any():
        answer.missing["off_policy"] = _NO_LOG if log.empty else _NONE_DRAWN.format(n=len(log))
        return answer
    y, logged = log["is_won"].to_numpy(float), log["arm_rate"].to_numpy(float)
    orders = {AT_RANDOM: rule_value(y, logged, np.ones(len(log)))}
    promise = now.personas.assign(log).map(now.personas.deviations()).fillna(0.0)
    if promise.nunique() > 1:
        orders[BY_PERSONAS] = rule_value(y, logged, taken_first(promise, logged, len(log)))
    else:
        answer.missing["off_policy"] = _ALIKE
    origin = answer.origin_now
    rows = [
        {"field": "order", "level": name, "estimate": v.estimate, "low": v.low, "high": v.high, "n": v.n}
        for name, v in orders.items()
        if not v.is_refused
    ]
    answer.estimate(rates([(AS_CALLED, log["is_won"].sum(), len(log))], "order"), origin, "order_won_rate")
    told = pd.DataFrame(rows, columns=_COLUMNS).assign(baseline=float(log["is_won"].mean()))
    redraw = OrderRedraw(log["lead_id"], log["arm_rate"], promise) if answer.is_recorded else None
    answer.compare(gain_looks(told, origin, measure="order_won_rate", unit="rate"), redraw)
    sizes = [
        {"field": "order", "level": name, "estimate": v.effective_n, "n": v.n, "baseline": LEAST_EFFECTIVE}
        for name, v in orders.items()
    ]
    answer.estimate(sizes, origin, "effective_sample", unit="count", kind="predictive")
    return answer


def _log(situation: Situation, leads: pd.DataFrame) -> pd.DataFrame:
    """Leads logged from the list with a probability and an outcome that was not yet known at the period's start."""
    nothing = pd.DataFrame({"arm_rate": [], "is_won": []})
    if not situation.is_dated or not {"lead_id", "experiment", "arm_rate"} <= set(leads.columns):
        return nothing
    known = leads[leads["experiment"].eq(CALL_LIST).fillna(False).astype(bool) & leads["is_won"].notna()]
    log = known[known["arm_rate"].gt(0) & known["arm_rate"].le(1)]
    if log.empty:
        return nothing
    before = lead_frame(Situation.planning(situation.warehouse, situation.period))
    return log[~log["lead_id"].isin(before.loc[before["is_won"].notna(), "lead_id"])]


def _show_orders(shown: Evidence, title: str) -> Sequence[Piece]:
    claims = shown.of("order_won_rate", "effective_sample")
    if claims.empty:
        return ()

    def won(row: Mapping[str, Claim]) -> str:
        return backed(row["order_won_rate"], shown.words) if "order_won_rate" in row else "cannot tell"

    columns: Columns = {
        "order_won_rate": ("won", won),
        "effective_sample": "leads that the log is worth",
    }
    name = level_of(shown.words)
    listed = table_of(claims, shown.words, "order of calling", columns, label=name, caption=title)
    said, called = [], shown.first("order_won_rate", level=AS_CALLED)
    for size in records(shown.of("effective_sample")):
        order, found = f"Calling {size['level']}", shown.first("order_won_rate", level=size["level"])
        if found is None or called is None:
            of, needed = numbers.count(size["estimate"]), numbers.count(size["baseline"])
            said.append(stating(f"{order}: cannot tell; the log is worth {of} leads, {needed} are needed.", size))
            continue
        more = "more" if found["effect"] > 0 else "fewer"
        shows = f"{more} would have been won" if found["verdict"] == Verdict.SUPPORTED else "no difference is shown"
        beside = f"{backed(found, shown.words)} won, against {backed(called, shown.words)} as called"
        said.append(stating(f"{order}: {beside}: {shows}.", found, called))
    return listed, Listing(said)
