"""05 Deals: what was won and lost, and why, by what the deals have in common."""

import numpy as np
import pandas as pd
import scipy

from closedloop.evidence.claims import Origin
from closedloop.evidence.crossed import shrink_crossed
from closedloop.evidence.curves import win_curve
from closedloop.evidence.looks import LOOK_COLUMNS, meta_of, typed
from closedloop.evidence.rates import spread_beyond_luck
from closedloop.loop import conversions
from closedloop.loop.adjusting import adjusted, state
from closedloop.loop.comparisons import REP_LUCK, deal_levels, known_before, late_fields, recording, shown_rates
from closedloop.loop.counting import LEAST_SHOWN, RARE, counts, levels, rates, shares
from closedloop.loop.leaks import leaking
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import ONLY_WON, lead_frame, won
from closedloop.loop.remarks import remarks
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft, Step
from closedloop.loop.worth import SAME_DAY, no_days, worth
from closedloop.terms import OUTCOMES

_CURVE_POINTS = 30
_WHOLE = {"subject": "market", "field": "", "level": ""}
_SECTIONS = ("totals", "win_rates", "curve", "adjusted", "cycle", "amounts", "loss_reasons", "reps")


def deals(situation: Situation, in_force: PersonaSet) -> Step:
    """Win rates, win curves, cycle, amounts, loss reasons and comparisons, as known when the period ended."""
    draft = Draft("deals")
    if not situation.view.has("deals") or situation.deals.empty:
        draft.missing |= dict.fromkeys(_SECTIONS, "No deals are recorded: collect `deals` with dates and outcomes.")
        return draft.done()
    every, ended, by = _with_levels(situation, in_force)
    _totals(draft, situation, every)
    _curve(draft, situation, every)
    _loss_reasons(draft, situation, in_force, ended)
    _compared(draft, situation, in_force, every, ended, by)
    _adjust(draft, situation, in_force, ended, by)
    return draft.done()


def comparisons(situation: Situation, in_force: PersonaSet) -> Step:
    """All that 05 compares, and nothing else."""
    draft = Draft("deals")
    if situation.view.has("deals"):
        _compared(draft, situation, in_force, *_with_levels(situation, in_force))
    return draft.done()


def _with_levels(situation: Situation, in_force: PersonaSet) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Every deal with its persona, those that ended within the window, and the levels these are compared by."""
    every = situation.deals.assign(persona=in_force.assign(situation.deals))
    ended = every.loc[situation.closed_deals.index]
    return every, ended, deal_levels(situation, ended)


def _compared(
    draft: Draft, situation: Situation, in_force: PersonaSet, every: pd.DataFrame, ended: pd.DataFrame, by: pd.DataFrame
) -> None:
    worth(draft, situation, every, ended)
    if situation.has_only_won:
        _converted(draft, situation, in_force)
        draft.missing |= dict.fromkeys(("win_rates", "adjusted", "reps"), ONLY_WON)
        draft.results |= {"rep_spread_p": None, "is_rep_spread_beyond_luck": None}
        return
    _compare(draft, situation, ended, by)
    _reps(draft, situation, ended)


def _origin(situation: Situation, cell: str, ended: pd.DataFrame) -> Origin:
    return Origin("05_deals", cell, "deals", *situation.span(ended["closed_on"]))


def _totals(draft: Draft, situation: Situation, every: pd.DataFrame) -> None:
    """What became of the period's deals; an outcome that the source cannot record is unknown, not zero."""
    in_period = every[situation.in_period(every["closed_on"])] if situation.is_dated else every
    ended = in_period[in_period["outcome"] != "open"]
    n = {outcome: int((ended["outcome"] == outcome).sum()) for outcome in OUTCOMES[:3]}
    n["open"] = int((every["outcome"] == "open").sum())
    declared = situation.definition.deals
    named = OUTCOMES if declared is None else (*declared.outcomes, "open")
    named = tuple(name for name in named if name != "lost" or not situation.has_only_won)  # not recorded is not 0
    origin = Origin("05_deals", "totals", "deals", situation.period.name, situation.period.name)
    for outcome in named:
        draft.count([{"estimate": n[outcome], "n": sum(n.values())}], origin, f"n_{outcome}")
    amount = float(ended["won_amount"].sum()) if "won_amount" in ended else None
    if amount is not None:
        draft.count([{"estimate": amount, "n": n["won"]}], origin, "total_won_amount", unit="amount")
    decided = n["won"] + n["lost"]
    definitions = {} if situation.has_only_won else {"win_rate": decided}
    if "no_decision" in named and (definitions or (every["outcome"] == "no_decision").any()):
        definitions["win_rate_broad"] = decided + n["no_decision"]
    for measure, size in definitions.items():
        draft.estimate(rates([("", n["won"], size)], ""), origin._replace(cell="win_rates"), measure)
    if definitions and decided < LEAST_SHOWN:
        so_far = " so far" if situation.period.running else ""
        draft.missing["win_rates"] = (
            f"{decided} deals were won or lost in this period{so_far}; {LEAST_SHOWN} are needed for a rate."
        )
    _total_results(draft, n, amount)
    draft.results["only_won"] = situation.has_only_won
    if situation.has_only_won:
        draft.results |= {"n_lost": None, "win_rate": None, "win_rate_broad": None}


def _total_results(draft: Draft, n: dict[str, int], amount: float | None) -> None:
    """The key figures of the period; a rate of fewer than ten deals is not told."""
    decided, ended = n["won"] + n["lost"], n["won"] + n["lost"] + n["no_decision"]
    draft.results |= {f"n_{outcome}": count for outcome, count in n.items()}
    draft.results |= {
        "n_deals": ended,
        "win_rate": n["won"] / decided if decided >= LEAST_SHOWN else None,
        "win_rate_broad": n["won"] / ended if ended >= LEAST_SHOWN else None,
        "won_amount": amount,
    }


def _curve(draft: Draft, situation: Situation, every: pd.DataFrame) -> None:
    """The share of deals that had ended in each way by each day; a day at which nothing is known is not stated."""
    rows = every.dropna(subset=["age_days"])
    rows = situation.in_window(rows, rows["created_on"])
    if reason := ONLY_WON if situation.has_only_won else no_days(situation, every) or _no_curve(rows):
        draft.missing["curve"] = reason
        return
    last = float(rows["age_days"].quantile(0.95))
    at = np.unique(np.round(np.linspace(0, max(last, 1.0), _CURVE_POINTS)))
    told = win_curve(rows["age_days"], rows["outcome"], at_days=at).dropna(subset=["estimate"])
    told = told.assign(field="age_days", level=[f"{day:.0f}" for day in told["day"]], n=len(rows))
    origin = Origin("05_deals", "curve", "deals", *situation.span(rows["created_on"]))
    declared = situation.definition.deals
    for outcome in OUTCOMES[:3] if declared is None else declared.outcomes:
        draft.estimate(told[told["cause"] == outcome], origin, f"{outcome}_by")


def _no_curve(rows: pd.DataFrame) -> str:
    """Why the ages of these deals make no curve; nothing where they do."""
    if len(rows) < LEAST_SHOWN:
        return "Fewer than ten deals with a known age were opened within the window: too few for a curve."
    if rows.loc[rows["outcome"] != "open", "age_days"].max() == 0:
        return f"{SAME_DAY}: no curve."
    return ""


def _loss_reasons(draft: Draft, situation: Situation, in_force: PersonaSet, ended: pd.DataFrame) -> None:
    """Why deals were lost, as sellers recorded it and as buyers said it: accounts, not causes."""
    lost = ended[ended["outcome"].isin(["lost", "no_decision"])]
    origin, told = _origin(situation, "loss_reasons", lost), len(draft.statements)
    if "loss_reason" in lost and lost["loss_reason"].notna().any():
        draft.estimate(shares(lost["loss_reason"], "loss_reason"), origin, "loss_share")
        uncoded = rates([("", lost["loss_reason"].isna().sum(), len(lost))], "")
        draft.estimate(uncoded, origin, "uncoded_loss_share")
    notes = remarks(situation, in_force)
    said = notes[(notes["kind"] == "loss") & (notes["from_team"] == "buyer") & notes["deal_id"].isin(lost["deal_id"])]
    said = said.drop_duplicates("deal_id")
    if len(said):
        draft.estimate(shares(said["topic"], "topic"), origin._replace(source_table="notes"), "buyer_loss_share")
        _agreement(draft, lost, said, origin)
    if sum(map(len, draft.statements[told:])) == 0:
        draft.missing["loss_reasons"] = (
            f"No reason is recorded for {LEAST_SHOWN} of the {len(lost)} deals that were lost. Collect "
            "deals.loss_reason from the closed list, and ask some buyers (notes of kind loss)."
            if len(lost)
            else "No deal was lost, so there is no reason of a loss."
        )


def _agreement(draft: Draft, lost: pd.DataFrame, said: pd.DataFrame, origin: Origin) -> None:
    """In which share of the deals with both reasons sellers and buyers named the same one."""
    if "loss_reason" not in lost:
        return
    both = lost.merge(said[["deal_id", "topic"]], on="deal_id").dropna(subset=["loss_reason", "topic"])
    is_same = both["loss_reason"] == both["topic"]
    draft.estimate(rates([("", is_same.sum(), len(both))], ""), origin, "loss_reason_agreement")
    draft.results["loss_reason_agreement"] = float(is_same.mean()) if len(both) >= LEAST_SHOWN else None


def _converted(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    """How many leads became won ones, and which, in place of win rates."""
    leads = lead_frame(situation) if situation.view.has("leads") else pd.DataFrame()
    conversions.compare(draft, situation, leads.assign(persona=in_force.assign(leads)), ("05_deals", "findings"))


def _compare(draft: Draft, situation: Situation, ended: pd.DataFrame, by: pd.DataFrame) -> None:
    hit = won(ended)
    days, before = situation.names_of(ended["closed_on"]), known_before(situation, ended)
    table = counts(by, list(by.columns), hit, days, late_fields(situation), before)
    if table.empty:
        draft.missing["comparisons"] = (
            f"{hit.notna().sum()} deals were won or lost, but no field is recorded to compare them by."
            if hit.notna().any()
            else "No deal was won or lost yet, so nothing can be compared."
        )
        return
    origin = _origin(situation, "findings", ended)
    draft.looks.append(recording(situation, ended[by.columns], hit, ended["closed_on"], origin))
    draft.looks.append(shown_rates(table, origin, "win_rate", situation.claims.practical_threshold))


def _adjust(draft: Draft, situation: Situation, in_force: PersonaSet, ended: pd.DataFrame, by: pd.DataFrame) -> None:
    """Crude beside adjusted differences of every level of every field that is compared."""
    if situation.has_only_won:
        return
    rows = adjusted(situation, in_force, ended, by)
    if not rows:
        draft.missing["adjusted"] = (
            "Too few won or lost deals share the levels of two fields, so no confounder can be looked for."
            if by.shape[1] > 1
            else "Fewer than two comparable fields, so no confounder can be looked for. "
            "Collect more fields of deals or accounts."
        )
        return
    state(draft, rows, _origin(situation, "adjusted", ended))
    draft.results["n_reversed"] = len({(row["field"], row["level"]) for row in rows if row["turns"] == "yes"})


def _reps(draft: Draft, situation: Situation, ended: pd.DataFrame) -> None:
    """Do sellers differ beyond luck? Only then are they compared one by one, within personas and periods."""
    draft.results |= {"rep_spread_p": None, "is_rep_spread_beyond_luck": None}
    decided = ended[won(ended).notna() & ended["rep_id"].notna()] if "rep_id" in ended else ended.head(0)
    if "rep_id" in leaking(situation):
        draft.missing["reps"] = (
            "Sellers cannot be compared: who sold looks like a leak, recorded more often for one outcome than for the "
            "other. Record who sold every deal, from its start."
        )
        return
    if "rep_id" not in ended or ended["rep_id"].nunique() < 2:
        draft.missing["reps"] = "Fewer than two reps are recorded. Collect deals.rep_id as a code."
        return
    n_won, n_lost = (int((decided["outcome"] == outcome).sum()) for outcome in ("won", "lost"))
    if min(n_won, n_lost) < LEAST_SHOWN or decided["rep_id"].nunique() < 2:
        draft.missing["reps"] = (
            f"Sellers cannot be compared: {n_won} won and {n_lost} lost deals of {decided['rep_id'].nunique()} sellers "
            f"record one; {LEAST_SHOWN} of each and two sellers are needed. Record who sold every deal."
        )
        return
    table = (decided["outcome"] == "won").groupby(decided["rep_id"]).agg(["sum", "size"])
    p, n = spread_beyond_luck(table["sum"], table["size"]), len(decided)
    origin = _origin(situation, "reps", ended)
    draft.count([{"estimate": len(table), "n": n}], origin, "n_reps")
    spread = {"estimate": p, "n": n, "p": p, "beyond": 1 - p}
    draft.looks.append(typed([spread | meta_of(origin, "rep_spread", "ratio", "descriptive") | _WHOLE], LOOK_COLUMNS))
    draft.results |= {"rep_spread_p": p, "is_rep_spread_beyond_luck": bool(p <= REP_LUCK)}
    if p <= REP_LUCK:
        draft.looks.append(_rep_looks(situation, decided, origin))


def _rep_looks(situation: Situation, decided: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    """Looks at each seller's win rate, were all to sell to the same personas (``evidence.crossed``).

    p compares a seller with the others within persona and period, as all rates are compared within periods.
    """
    hit, threshold = won(decided), situation.claims.practical_threshold
    by = levels(decided, ["rep_id"], RARE).assign(persona=decided["persona"])
    strata = situation.names_of(decided["closed_on"]) + " " + decided["persona"].astype("str")
    compared = counts(by, ["rep_id"], hit, strata, late_fields(situation), known_before(situation, decided))
    looks = shown_rates(compared, origin, "win_rate", threshold)
    table = shrink_crossed(hit.astype(float), by)
    fair = (
        table[table["column"] == "rep_id"]
        .set_index("level")
        .loc[looks["level"], ["points", "points_low", "points_high"]]
    )
    effect, low, high = fair.to_numpy().T
    error = (high - low) / (2 * scipy.stats.norm.isf(0.05))
    beyond = scipy.stats.norm.sf((threshold - effect) / error) + scipy.stats.norm.cdf((-threshold - effect) / error)
    figures = {
        "effect": effect,
        "estimate": looks["baseline"] + effect,
        "low": looks["baseline"] + low,
        "high": looks["baseline"] + high,
        "beyond": beyond,
    }
    is_compared = looks["reason"] == ""
    return looks.assign(within="persona", **{name: np.where(is_compared, of, np.nan) for name, of in figures.items()})
