"""05 Deals: what was won and lost, how fast, for how much, and why?"""

import numpy as np
import pandas as pd

from closedloop.evidence.amounts import conformal_range, shrink_amounts
from closedloop.evidence.claims import Origin
from closedloop.evidence.confounders import Adjusted, adjusted_difference
from closedloop.evidence.curves import cycle_days, win_curve, win_rates
from closedloop.evidence.rates import multinomial_intervals, spread_beyond_luck
from closedloop.loop.comparisons import REP_LUCK, deal_levels, shown_rates
from closedloop.loop.counting import LEAST_SHOWN, counts
from closedloop.loop.persona import PersonaSet
from closedloop.loop.records import won
from closedloop.loop.situation import Situation, fetched
from closedloop.loop.step import Draft, Step
from closedloop.terms import OUTCOMES

_CURVE_POINTS = 60
_FEWEST_ADJUSTED = 30
_NOT_COMPARED = ("experiment", "arm", "arm_rate")
_NO_DAYS = "The source records no exact days of opening and closing"
_COLLECT_DAYS = "Collect created_on and closed_on of deals."


def deals(situation: Situation, in_force: PersonaSet) -> Step:
    """Win rates, win curves, cycle, amounts, loss reasons and comparisons, as known when the period ended."""
    draft = Draft("deals")
    if not situation.view.has("deals"):
        text = "No deals are recorded: collect `deals` with dates and outcomes."
        draft.missing |= dict.fromkeys(
            ("totals", "win_rates", "curve", "cycle", "amounts", "loss_reasons", "adjusted", "reps"), text
        )
        return draft.done()
    every = situation.deals.assign(persona=in_force.assign(situation.deals))
    ended = every.loc[situation.closed_deals.index]
    _totals(draft, situation, every)
    _curve(draft, situation, every)
    _cycle(draft, situation, ended)
    _amounts(draft, ended)
    _loss_reasons(draft, situation, ended)
    _reps(draft, ended)
    by = deal_levels(situation, ended, is_rep_compared=bool(draft.results.get("is_rep_spread_beyond_luck")))
    _compare(draft, situation, ended, by)
    _adjust(draft, ended, by)
    return draft.done()


def _totals(draft: Draft, situation: Situation, every: pd.DataFrame) -> None:
    in_period = every[situation.in_period(every["closed_on"])] if situation.is_dated else every
    ended = in_period[in_period["outcome"] != "open"]
    n = ended["outcome"].value_counts().reindex(OUTCOMES[:3], fill_value=0).to_dict()
    n["open"] = int((every["outcome"] == "open").sum())
    draft.tables["totals"] = pd.DataFrame({"outcome": list(n), "n": list(n.values())})
    rates = win_rates(n["won"], n["lost"], n["no_decision"]).rename(columns={"rate": "definition"})
    draft.tables["win_rates"] = rates[["definition", "estimate", "low", "high", "n"]]
    draft.results |= {f"n_{outcome}": int(count) for outcome, count in n.items()}
    draft.results |= {
        "n_deals": len(ended),
        "win_rate": rates["estimate"].iloc[0],
        "win_rate_broad": rates["estimate"].iloc[1],
    }
    draft.results["won_amount"] = float(ended["won_amount"].sum()) if "won_amount" in ended else None


def _curve(draft: Draft, situation: Situation, every: pd.DataFrame) -> None:
    rows = every.dropna(subset=["age_days"])
    rows = situation.in_window(rows, rows["created_on"])
    if not situation.is_dated or situation.definition.clock != "day" or rows.empty or rows["age_days"].max() == 0:
        draft.missing["curve"] = f"{_NO_DAYS}, so no win curve over time can be drawn. {_COLLECT_DAYS}"
        return
    last = float(rows["age_days"].quantile(0.95))
    at = np.unique(np.round(np.linspace(0, max(last, 1.0), _CURVE_POINTS)))
    draft.tables["curve"] = win_curve(rows["age_days"], rows["outcome"], at_days=at)


def _cycle(draft: Draft, situation: Situation, ended: pd.DataFrame) -> None:
    if situation.definition.clock != "day" or ended["age_days"].isna().all():
        draft.missing["cycle"] = f"{_NO_DAYS}, so the sales cycle is unknown. {_COLLECT_DAYS}"
        draft.results["sales_cycle_days"] = None
        return
    groups = [("all", "all", ended)]
    groups += [(f, str(v), part) for f in ("persona", "product") if f in ended for v, part in ended.groupby(f)]
    rows = []
    for name, level, part in groups:
        known = part.dropna(subset=["age_days"])
        found = cycle_days(known["age_days"], known["outcome"])
        if found["n"] >= LEAST_SHOWN or name == "all":
            rows.append([name, level, found["n"], found["estimate"], found["low"], found["high"]])
    draft.tables["cycle"] = pd.DataFrame(rows, columns=["field", "level", "n", "median_days", "low", "high"])
    draft.results["sales_cycle_days"] = rows[0][3]


def _amounts(draft: Draft, ended: pd.DataFrame) -> None:
    won_deals = ended[(ended["outcome"] == "won")]
    if "won_amount" not in ended or won_deals["won_amount"].notna().sum() < LEAST_SHOWN:
        draft.missing["amounts"] = "Fewer than ten won deals have an amount. Collect won_amount of deals."
        return
    money = won_deals["won_amount"].astype(float)
    rows = [_amount_row("all", "all", money)]
    for name in ("persona", "product"):
        if name not in won_deals:
            continue
        shrunk = shrink_amounts(money, won_deals[name])
        shown = shrunk[shrunk["n"] >= LEAST_SHOWN]
        rows += [[name, r.group, r.n, r.median, r.estimate, r.low, r.high] for r in shown.itertuples()]
    columns = ["field", "level", "n", "median_amount", "mean_amount", "low", "high"]
    draft.tables["amounts"] = pd.DataFrame(rows, columns=columns)
    low, high = conformal_range(money)
    draft.results |= {
        "median_amount": float(money.median()),
        "next_amount_low": low,
        "next_amount_high": high,
    }


def _amount_row(name: str, level: str, money: pd.Series) -> list[object]:
    whole = shrink_amounts(money, np.zeros(len(money)))
    row = whole.iloc[0]
    return [name, level, int(row["n"]), row["median"], row["estimate"], row["low"], row["high"]]


def _loss_reasons(draft: Draft, situation: Situation, ended: pd.DataFrame) -> None:
    lost = ended[ended["outcome"].isin(["lost", "no_decision"])]
    parts = []
    if "loss_reason" in lost and lost["loss_reason"].notna().any():
        parts.append(_shares_of("rep", lost["loss_reason"].fillna("(not recorded)")))
    if situation.view.has("notes"):
        notes = fetched(situation.view.known("notes"))
        said = notes[(notes["kind"] == "loss") & (notes["from_team"] == "buyer")]
        if "deal_id" in said and "topic" in said:
            said = said[said["deal_id"].isin(lost["deal_id"])].drop_duplicates("deal_id")
        if len(said):
            parts.append(_shares_of("buyer", said["topic"].fillna("(not recorded)")))
            draft.results["loss_reason_agreement"] = _agreement(lost, said)
    if not parts:
        draft.missing["loss_reasons"] = (
            "No loss reasons are recorded. Collect deals.loss_reason from the closed list, "
            "and ask some buyers (notes of kind loss)."
        )
        return
    draft.tables["loss_reasons"] = pd.concat(parts, ignore_index=True)


def _agreement(lost: pd.DataFrame, said: pd.DataFrame) -> float | None:
    both = lost.merge(said[["deal_id", "topic"]], on="deal_id").dropna(subset=["loss_reason", "topic"])
    return float((both["loss_reason"] == both["topic"]).mean()) if len(both) else None


def _shares_of(source: str, reasons: pd.Series) -> pd.DataFrame:
    table = (
        reasons.value_counts()
        .rename_axis("reason")
        .reset_index(name="n")
        .sort_values(["n", "reason"], ascending=[False, True], ignore_index=True)
    )
    low, high = multinomial_intervals(table["n"])
    return table.assign(source=source, share=table["n"] / table["n"].sum(), low=low, high=high)[
        ["source", "reason", "n", "share", "low", "high"]
    ]


def _compare(draft: Draft, situation: Situation, ended: pd.DataFrame, by: pd.DataFrame) -> None:
    hit = won(ended)
    table = counts(by, list(by.columns), hit, situation.names_of(ended["closed_on"]))
    if table.empty:
        draft.missing["comparisons"] = "No deal was won or lost yet, so nothing can be compared."
        return
    first, last = situation.span(ended["closed_on"])
    origin = Origin("05_deals", "findings", "deals", first, last)
    draft.looks.append(shown_rates(table, origin, "win_rate", situation.definition.claims.practical_threshold))


def _adjust(draft: Draft, ended: pd.DataFrame, by: pd.DataFrame) -> None:
    """Crude beside Mantel-Haenszel differences of every level, over the field that moves the comparison most."""
    hit = won(ended)
    base = by.assign(won=hit)[hit.notna()]
    fields = [name for name in by.columns if 2 <= by[name].nunique() <= 12 and name != "rep_id"]
    rows = [row for name in fields for row in _adjusted_field(base, name, [f for f in fields if f != name])]
    columns = ["field", "level", "crude", "adjusted", "low", "high", "is_reversed", "confounder"]
    if not rows:
        draft.missing["adjusted"] = (
            "Fewer than two comparable fields, so no confounder can be looked for. "
            "Collect more fields of deals or accounts."
        )
        return
    table = pd.DataFrame(rows, columns=columns)
    draft.tables["adjusted"] = table.sort_values(
        ["is_reversed", "field", "level"], ascending=[False, True, True], ignore_index=True
    )
    draft.results["n_reversed"] = int(table["is_reversed"].sum())


def _adjusted_field(base: pd.DataFrame, name: str, others: list[str]) -> list[list[object]]:
    sizes = base[name].value_counts()
    cells = {other: _cells(base, name, other) for other in others}
    rows = []
    for level in sorted(sizes[sizes >= _FEWEST_ADJUSTED].index):
        tried = [(other, _adjusted_by(table, level)) for other, table in cells.items() if level in table[0].index]
        if tried:
            other, found = max(tried, key=lambda pair: (pair[1].reversal, _shift(pair[1])))
            rows.append([name, level, found.crude, found.adjusted, found.low, found.high, found.reversal, other])
    return rows


def _shift(found: Adjusted) -> float:
    """How far adjustment moves the difference; an undefined one does not move it."""
    moved = abs(found.adjusted - found.crude)
    return float(moved) if np.isfinite(moved) else -1.0


def _cells(base: pd.DataFrame, name: str, other: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Won, and decided, deals of every level of ``name`` (rows) in every level of ``other`` (columns)."""
    cases = base.dropna(subset=[name, other]).assign(won=base["won"].astype(float))
    table = cases.pivot_table(index=name, columns=other, values="won", aggfunc=["sum", "size"])
    return pd.DataFrame(table["sum"]).fillna(0), pd.DataFrame(table["size"]).fillna(0).astype(float)


def _adjusted_by(cells: tuple[pd.DataFrame, pd.DataFrame], level: str) -> Adjusted:
    """The level against all others, inside the levels of the other field."""
    won_deals, decided = cells
    k1, n1 = (part.loc[level].to_numpy() for part in cells)
    return adjusted_difference(k1, n1, won_deals.to_numpy().sum(0) - k1, decided.to_numpy().sum(0) - n1)


def _reps(draft: Draft, ended: pd.DataFrame) -> None:
    hit = won(ended)
    if "rep_id" not in ended or ended.loc[hit.notna(), "rep_id"].nunique() < 2:
        draft.missing["reps"] = "Fewer than two reps are recorded. Collect deals.rep_id as a code."
        draft.results |= {"rep_spread_p": None, "is_rep_spread_beyond_luck": None}
        return
    table = hit.dropna().astype(float).groupby(ended.loc[hit.notna(), "rep_id"]).agg(["sum", "size"])
    p = spread_beyond_luck(table["sum"], table["size"])
    row = [len(table), int(table["size"].sum()), p, bool(p <= REP_LUCK)]
    draft.tables["reps"] = pd.DataFrame([row], columns=["n_reps", "n_deals", "p", "is_beyond_luck"])
    draft.results |= {"rep_spread_p": p, "is_rep_spread_beyond_luck": bool(p <= REP_LUCK)}
