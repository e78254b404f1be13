"""How deals end: how many in which way, how soon, and why some were lost."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from closedloop.errors import choice
from closedloop.period.counting import LEAST_SHOWN, ONLY_WON, rates, shares
from closedloop.period.situation import has_ended
from closedloop.personas.notes import notes
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Note, Piece, Sentence, span, stating
from closedloop.presentation.charts import curve
from closedloop.presentation.sentences import backed, first, records, value
from closedloop.presentation.tables import bars_of, dots_of
from closedloop.presentation.words import capital
from closedloop.statistics.cumulative_incidence import win_curve
from closedloop.terms import NO_DECISION, OUTCOMES
from closedloop.workbench.answer import Answer, Evidence, Headline, Render
from closedloop.workbench.comparison import SAME_DAY, level_of, no_days, no_deals
from closedloop.workbench.period import opened

_CURVE_POINTS = 30
_TOTALS = {"n_won": "won", "n_lost": "lost", "n_no_decision": "no decision", "n_open": "still open"}
_RATES = {"win_rate": "won of won and lost", "win_rate_broad": "won of won, lost and no decision"}
_CURVES = {"won_by": "won", "lost_by": "lost", "no_decision_by": "no decision"}


_WHY_LOST, _WHY_UNDECIDED = "Why were deals lost?", "Why did deals end without a decision?"
_ACCOUNTS = {  # what is asked, who answers, and of which deals
    "loss_share": (_WHY_LOST, "the seller's account", "lost deals"),
    "buyer_loss_share": (_WHY_LOST, "the buyer's account", "lost deals"),
    "undecided_share": (_WHY_UNDECIDED, "the seller's account", "deals without a decision"),
}
_FEW_EACH = "Every reason was named fewer than ten times, too seldom to be shown."


def outcomes(deals: pd.DataFrame, of: str = "totals", *, among: str | None = None) -> Answer:
    """How deals ended, by one of three questions.

    ``of``: ``totals``, what became of the period's deals, and how many of the decided ones were won: the narrow rate
    counts won and lost, the broad one those without a decision as well; an outcome that the source cannot record is
    unknown, not zero. ``curve``, the share that had ended in each way by each day since they were opened: won, lost and
    no decision compete; open deals count until they were last seen (Aalen & Johansen, 1978). ``loss_reasons``, shares
    of the reasons of lost deals, by sellers and by buyers (notes of kind loss), and of those without a decision by
    sellers, with multinomial intervals; what was named fewer than ten times counts in the total and is not shown.
    ``deals``: every one for totals and curve. Errors: ParameterError for another ``of``.
    """
    state, show, headline = choice("of", of, _QUESTIONS)
    answer = opened().ask("outcomes", of, deals, "deals", show, among=among, of=of)
    answer.headline = headline
    if not no_deals(answer):
        state(answer)
    return answer


def _totals(answer: Answer) -> None:
    situation, every = answer.now.situation, answer.rows
    in_period = every[situation.in_period(every["closed_on"])] if situation.is_dated else every
    ended = in_period[in_period["outcome"] != "open"]
    n = {outcome: int((ended["outcome"] == outcome).sum()) for outcome in OUTCOMES[:3]}
    n["open"] = int((every["outcome"] == "open").sum())
    declared = situation.definition.deals
    named = OUTCOMES if declared is None else (*declared.outcomes, "open")
    named = tuple(name for name in named if name != "lost" or not situation.has_only_won)  # not recorded is not 0
    origin = answer.origin_now
    for outcome in named:
        answer.count([{"estimate": n[outcome], "n": sum(n.values())}], origin, f"n_{outcome}")
    paid = ended.loc[ended["outcome"] == "won", "won_amount"].dropna() if "won_amount" in ended else pd.Series()
    amount = float(paid.sum()) if len(paid) or ("won_amount" in ended and not n["won"]) else None
    if amount is not None:
        answer.count([{"estimate": amount, "n": len(paid)}], origin, "total_won_amount", unit="amount")
    n_undated = int(((every["outcome"] != "open") & ~has_ended(every)).sum())
    if n_undated:
        answer.count([{"estimate": n_undated}], origin, "n_closed_without_day")
    decided = n["won"] + n["lost"]
    definitions = {} if situation.has_only_won else {"win_rate": decided}
    if "no_decision" in named and (definitions or (every["outcome"] == "no_decision").any()):
        definitions["win_rate_broad"] = decided + n["no_decision"]
    for measure, size in definitions.items():
        answer.estimate(rates([("", n["won"], size)], ""), origin._replace(cell="win_rates"), measure)
    if definitions and decided < LEAST_SHOWN:
        so_far = " so far" if situation.period.running else ""
        answer.missing["win_rates"] = (
            f"{decided} deals were won or lost in this period{so_far}; {LEAST_SHOWN} are needed for a rate."
        )
    answer.results |= {
        **{f"n_{outcome}": count for outcome, count in n.items()},
        "n_deals": decided + n["no_decision"],
        "win_rate": n["won"] / decided if decided >= LEAST_SHOWN else None,
        "win_rate_broad": n["won"] / len(ended) if len(ended) >= LEAST_SHOWN else None,
        "won_amount": amount,
        "only_won": situation.has_only_won,
    }
    if situation.has_only_won:
        answer.missing["win_rates"] = ONLY_WON
        answer.results |= {"n_lost": None, "win_rate": None, "win_rate_broad": None}


def _show_outcomes(shown: Evidence, title: str) -> Sequence[Piece]:
    rows = shown.of(*_TOTALS)
    name = title or "What became of the deals?"
    pieces: list[Piece] = [bars_of(rows, name, "deals", lambda row: _TOTALS[row["measure"]])]
    listed = ", ".join(f"{value(row, shown.words)} {_TOTALS[row['measure']]}" for row in records(rows))
    pieces.append(stating(f"{numbers.plural(rows['n'].iloc[0], 'deal')}: {listed}.", rows))
    amount = shown.first("total_won_amount")
    if amount is not None:
        n_won = shown.first("n_won")
        is_whole = n_won is None or amount["n"] == n_won["estimate"]
        whose = "won deals" if is_whole else "won deals that record an amount"
        n = "" if is_whole else f" ({numbers.count(amount['n'])})"
        pieces.append(stating(f"Together the {whose}{n} are worth {value(amount, shown.words)}.", amount))
    if undated := shown.first("n_closed_without_day"):
        text = f"Closed without a day, so in no period: {numbers.plural(undated['estimate'], 'deal')}."
        pieces.append(stating(text, undated))
    rates_ = shown.cell("win_rates")
    if len(rates_):
        top = records(rates_)[0]
        pieces.append(
            dots_of(rates_, shown.words, "How many deals are won?", "share won", lambda row: _RATES[row["measure"]])
        )
        pieces.append(stating(f"{backed(top, shown.words)} {_RATES[top['measure']]}.", top))
    return pieces


def _headline(shown: Evidence) -> list[Sentence]:
    """The win rate of the period, with how many deals ended in which way, and the days that winning took."""
    rate, days = shown.first("win_rate", field=""), first(shown.ledger, measure="median_cycle_days", field="")
    found = {name: shown.first(f"n_{name}") for name in ("won", "lost", "open")}
    totals = {name: claim for name, claim in found.items() if claim is not None}
    listed = ", ".join(f"{value(claim, shown.words)} {outcome}" for outcome, claim in totals.items())
    tail = f"; {listed}." if listed else "."
    if rate is None and shown.result("only_won"):
        return [stating(f"Only won deals are recorded, so no win rate can be told{tail}", *totals.values())]
    if rate is None:
        return [stating(f"Too few deals are decided for a win rate{tail}", *totals.values())]
    takes, when = "", f" in {span(rate)}" if shown.words.definition.periods else ""
    if days is not None:
        of = f" of {span(days)}" if span(days) != span(rate) else ""
        takes = f", after {value(days, shown.words)} (median{of})"
    cited = [rate, *([] if days is None else [days]), *totals.values()]
    return [stating(f"{value(rate, shown.words)} of decided deals are won{when}{takes}{tail}", *cited)]


def _curve(answer: Answer) -> None:
    situation, every = answer.now.situation, answer.rows
    rows = every.dropna(subset=["age_days"])
    rows = situation.in_window(rows, rows["created_on"])
    reason = ONLY_WON if situation.has_only_won else no_days(situation, every)
    if not reason and len(rows) < LEAST_SHOWN:
        reason = "Fewer than ten deals with a known age were opened within the window: too few for a curve."
    elif not reason and rows.loc[rows["outcome"] != "open", "age_days"].max() == 0:
        reason = f"{SAME_DAY}: no curve."
    if reason:
        answer.missing["curve"] = reason
        return
    last = float(rows["age_days"].quantile(0.95))
    at = np.unique(np.round(np.linspace(0, max(last, 1.0), _CURVE_POINTS)))
    found = win_curve(rows["age_days"], rows["outcome"], at_days=at).dropna(subset=["estimate"])
    found = found.assign(field="age_days", level=[f"{day:.0f}" for day in found["day"]], n=len(rows))
    declared, origin = situation.definition.deals, answer.origin(rows["created_on"])
    for outcome in OUTCOMES[:3] if declared is None else declared.outcomes:
        answer.estimate(found[found["cause"] == outcome], origin, f"{outcome}_by")


def _show_curve(shown: Evidence, title: str) -> Sequence[Piece]:
    rows = shown.of(*_CURVES)
    frame = rows.assign(day=rows["level"].astype(float), cause=rows["measure"]).sort_values("day", kind="stable")
    caption = "Open deals count until last seen."
    picture = curve(frame, title or "How do deals end as time goes by?", names=_CURVES, caption=caption)
    last = records(frame[frame["measure"] == "won_by"].tail(1))
    return picture, *(
        stating(
            f"{backed(row, shown.words)} of all deals opened in {span(row)} are won within {numbers.days(row['day'])}.",
            row,
        )
        for row in last
    )


def _loss_reasons(answer: Answer) -> None:
    rows = answer.rows
    not_won = rows[rows["outcome"].isin(["lost", NO_DECISION])]
    lost, undecided = (rows[rows["outcome"] == outcome] for outcome in ("lost", NO_DECISION))
    origin = answer.origin(not_won["closed_on"])
    if "loss_reason" in rows and not_won["loss_reason"].notna().any():
        for measure, part in (("loss_share", lost), ("undecided_share", undecided)):
            answer.estimate(shares(part["loss_reason"], "loss_reason"), answer.origin(part["closed_on"]), measure)
        uncoded = rates([("", not_won["loss_reason"].isna().sum(), len(not_won))], "")
        answer.estimate(uncoded, origin, "uncoded_loss_share")
    every = notes(answer.now.situation, answer.now.personas)
    said = every[(every["kind"] == "loss") & (every["from_team"] == "buyer") & every["deal_id"].isin(lost["deal_id"])]
    said, origin = said.drop_duplicates("deal_id"), answer.origin(lost["closed_on"])
    if len(said):
        answer.estimate(shares(said["topic"], "topic"), origin._replace(source_table="notes"), "buyer_loss_share")
    if len(said) >= LEAST_SHOWN:
        noted = [{"estimate": len(said), "n": len(lost)}]
        answer.count(noted, origin._replace(source_table="notes"), "n_buyer_losses")
    if len(said) and "loss_reason" in lost:
        both = lost.merge(said[["deal_id", "topic"]], on="deal_id").dropna(subset=["loss_reason", "topic"])
        is_same = both["loss_reason"] == both["topic"]
        answer.estimate(rates([("", is_same.sum(), len(both))], ""), origin, "loss_reason_agreement")
        answer.results["loss_reason_agreement"] = float(is_same.mean()) if len(both) >= LEAST_SHOWN else None
    if answer.stated.empty:
        answer.missing["loss_reasons"] = (
            f"Of {len(not_won):,} deals that were lost or ended without a decision fewer than ten have a reason. "
            "Collect deals.loss_reason from the closed list, and ask some buyers (notes of kind loss)."
            if len(not_won)
            else "No deal was lost, so there is no reason of a loss."
        )


def _show_reasons(shown: Evidence, title: str) -> Sequence[Piece]:
    pieces: list[Piece] = []
    name = level_of(shown.words)
    for measure, (question, account, deals) in _ACCOUNTS.items():
        rows = shown.of(measure).sort_values("estimate", ascending=False, kind="stable")
        if len(rows):
            asked = title if title and question == _WHY_LOST else question
            pieces.append(dots_of(rows, shown.words, f"{asked} By {account}", f"share of {deals} with a reason", name))
            most = records(rows.head(2))  # no verdict says that the first leads the second
            named = ", then ".join(f"{name(row)} {backed(row, shown.words)}" for row in most)
            pieces.append(stating(f"{capital(deals)}, by {account}: {named}.", *most))
    for measure, text in (
        ("uncoded_loss_share", "of deals that were not won lack a reason that can be read"),
        ("loss_reason_agreement", "of deals with both accounts: seller and buyer name the same reason"),
    ):
        pieces += [stating(f"{backed(row, shown.words)} {text}.", row) for row in records(shown.of(measure))]
    pieces += [] if shown.of(*_ACCOUNTS).size else [Sentence(_FEW_EACH)]
    return (*pieces, Note("Reasons are what somebody said about the loss, not its proven cause."))


_QUESTIONS: dict[str, tuple[Callable[[Answer], None], Render, Headline | None]] = {
    "totals": (_totals, _show_outcomes, _headline),
    "curve": (_curve, _show_curve, None),
    "loss_reasons": (_loss_reasons, _show_reasons, None),
}
