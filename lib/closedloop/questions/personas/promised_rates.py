"""What becomes of each persona's promises, and which people are won less often than the rest."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.claims.comparisons import LOOK_COLUMNS
from closedloop.claims.ledger import Origin, close_family, turning, typed
from closedloop.period.counting import LEAST_SHOWN, rates, won
from closedloop.period.lead_records import CONVERSION
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet, promises, renewed
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Note, Piece, Sentence, span, stating
from closedloop.presentation.sentences import Claim, one_of_each_pair, records, sentences, value, where
from closedloop.presentation.tables import Column, table_of
from closedloop.questions.refinement.splits import FEWEST_DEALS, refinable
from closedloop.statistics.proportions import at_rate, wilson
from closedloop.statistics.stratified import beta_of, predictive_midp
from closedloop.terms import OWN_DOING
from closedloop.workbench.answer import PROVISIONAL, Answer, Evidence
from closedloop.workbench.comparison import level_of, ranked
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import PromiseRedraw

MEASURE = "promise_gap"
_LOWER = {"supported": "no, lower", "leaning": "perhaps lower", "indistinguishable": "yes", "refused": "cannot tell"}
_HIGHER = _LOWER | {"supported": "exceeded", "leaning": "perhaps exceeded"}
_IN_WORDS = {name: name for name in ("exceeded", "perhaps exceeded", "perhaps lower")}
_IN_WORDS |= {"no, lower": "not kept", "yes": "kept", "cannot tell": "cannot be told from luck"}
_WON, _ACCEPTED = ("win_rate", "won_rate", CONVERSION), ("accepted_rate",)
_MOST = 8
Columns = Mapping[str, str | tuple[str, Column]]
Floats = NDArray[np.float64]


def promised_rates(deals: pd.DataFrame, *, least: int | None = None, among: str | None = None) -> Answer:
    """Each persona's promised win rate beside the deals decided in the period, and what renewal will promise.

    The promise is itself only known within its interval, and p counts that: beta-binomial predictive mid-p. Supported:
    not kept or, where more came, exceeded. ``least`` as of ``edits``. Of a period at its start: what was promised last,
    what came of it, and what is promised now.
    """
    now = opened()
    if now.situation.on == now.period.planned_on:
        return _at_start(deals, among)
    answer = now.ask("promised_rates", "promises", deals, "deals", _show_kept, among=among, least=least)
    closed = refinable(answer, FEWEST_DEALS if least is None else least)
    if closed is None:
        return answer
    situation, in_force = now.situation, now.personas
    judged = kept_promises(situation, closed, in_force, now.notebook)
    answer.closed.append(judged)
    of_personas = [row | {"subject": row["level"], "field": "", "level": ""} for row in promises(in_force)]
    stated = [row for row in of_personas if row["subject"] in set(judged["subject"])]
    if not stated:
        answer.missing["promises"] = (
            f"No persona with a promised win rate had {LEAST_SHOWN} deals that were won or lost in this period."
            if of_personas
            else "No persona in force promises a win rate: too few deals had been won or lost when it was planned."
        )
    origin = answer.origin_now._replace(first_period=in_force.first_period, last_period=in_force.last_period)
    answer.estimate(stated, origin, "promised_win_rate", kind="predictive")
    coming = renewed(in_force, situation)
    rows = [row | {"subject": row["level"], "field": "", "level": ""} for row in promises(coming)]
    origin = origin._replace(first_period=coming.first_period, last_period=coming.last_period)
    answer.estimate(rows, origin, "next_win_rate", kind="predictive")
    if answer.is_recorded:
        planned = Situation.planning(situation.warehouse, now.period)
        is_promised = (closed["closed_on"] >= planned.window_start) & (closed["closed_on"] < pd.Timestamp(planned.on))
        is_now = situation.in_period(closed["closed_on"])
        threshold, of = _threshold(situation, closed[is_now]), (in_force.assign(closed), closed["closed_on"])
        answer.redraws.append(PromiseRedraw(closed["deal_id"], *of, is_promised, is_now, in_force.ids, threshold))
    return answer


def kept_promises(situation: Situation, closed: pd.DataFrame, in_force: PersonaSet, notebook: str) -> pd.DataFrame:
    """Claims of the family ``promise``: each promised win rate beside the deals decided in the period.

    Supported: not kept, or exceeded. The promise is itself only known within its interval, and p counts that. What is
    worth a line is as much as in ``drift``, so that both speak of the same difference.
    """
    now = situation.in_period(closed["closed_on"])
    table = closed.loc[now, "is_won"].groupby(in_force.assign(closed)[now]).agg(["sum", "size"]).astype(float)
    said = {p["level"]: (p["estimate"], p["low"], p["high"]) for p in promises(in_force)}
    promised = pd.DataFrame.from_dict(said, orient="index", columns=["promise", "low", "high"], dtype=float)
    table = table.join(promised).dropna()
    table = table[table["size"] >= LEAST_SHOWN]
    k, n, promise = (table[name].to_numpy() for name in ("sum", "size", "promise"))
    low, high = wilson(k, n)
    figures = {
        "subject": table.index,
        "estimate": k / n,
        "low": low,
        "high": high,
        "baseline": promise,
        "effect": k / n - promise,
        "n": n,
        "p": promise_p(k, n, promise, table["low"].to_numpy(), table["high"].to_numpy()),
        "beyond": beyond_promise(k, n, promise, _threshold(situation, closed[now])),
    }
    origin = Origin(notebook, "promises", "deals", situation.period.name, situation.period.name)
    meta = {"measure": MEASURE, "unit": "rate", "kind": "descriptive", "within": "", "field": "", "level": ""}
    return close_family(
        typed(pd.DataFrame(figures).assign(**origin._asdict(), **meta), LOOK_COLUMNS),
        family="promise",
        smallest_worth=situation.claims.smallest_worth,
        **situation.about,
    )


def promise_p(k: Floats, n: Floats, promise: Floats, low: Floats, high: Floats) -> Floats:
    """p value of the deals against a promise that knew the rate only within ``low`` and ``high``."""
    return predictive_midp(k, n, *beta_of(promise, low, high))


def _threshold(situation: Situation, decided: pd.DataFrame) -> float:
    """The difference that is worth a line, at the rate of these deals."""
    return at_rate(situation.claims.practical_threshold, decided["is_won"].mean()) if len(decided) else 0.0


def beyond_promise(k: Floats, n: Floats, promised: Floats, threshold: float) -> Floats:
    """Posterior probability that the rate is more than the threshold away from the promise (uniform prior)."""
    edges = np.clip([promised - threshold, promised + threshold], 0, 1)
    below, upto = (scipy.stats.beta.cdf(edge, k + 1, n - k + 1) for edge in edges)
    return np.asarray(1 - (upto - below), dtype=float)


def _show_kept(shown: Evidence, title: str) -> Sequence[Piece]:
    judged = shown.of(MEASURE)

    def of_deals(measure: str) -> Column:
        return lambda row: span(row[measure]) if measure in row else numbers.MISSING

    def kept(row: Mapping[str, Claim]) -> str:
        return became(row[MEASURE]) if MEASURE in row else "not judged"

    columns: Columns = {
        "promised_win_rate": ("we said", "backed"),
        "from": ("of deals of", of_deals("promised_win_rate")),
        MEASURE: ("it was", "backed"),
        "kept": ("kept", kept),
        "next_win_rate": ("we will say", "backed"),
        "next_from": ("of deals of", of_deals("next_win_rate")),
    }
    claims = shown.of("promised_win_rate", MEASURE, "next_win_rate")
    if claims.empty:
        return ()
    listed = table_of(claims, shown.words, "persona", columns, caption=title)
    if shown.of("promised_win_rate").empty:
        return (listed,)
    found = [became(claim) for claim in records(judged)]
    told = ", ".join(f"{found.count(kept)} {text}" for kept, text in _IN_WORDS.items() if kept in found)
    return listed, stating(f"Promised win rates: {told}.", judged)


def became(claim: Claim) -> str:
    """What became of a promise: only one that came out lower is not kept."""
    return (_LOWER if claim["effect"] < 0 else _HIGHER)[claim["verdict"]]


def _at_start(deals: pd.DataFrame, among: str | None) -> Answer:
    """The win rate that each persona promises now; what the last set had promised, and what came of it in ``deals``.

    A promise is made of the deals of the window (``persona.estimate``): without a deal that is new or gone since the
    last one, there is no other.
    """
    now = opened()
    answer = now.ask("promised_rates", "changes", deals, "deals", _show_promises, among=among)
    personas, before = now.personas, now.personas_before
    if before is not None:
        origin = Origin(now.notebook, "changes", "deals", before.first_period, before.last_period)
        answer.estimate(promises(before), origin, "promised_before", kind="predictive")
        rows = answer.rows
        rows = rows if rows.empty else rows[now.situation.names_of(rows["closed_on"]) == before.period]
        if len(rows):  # the win rates of that period, by the rule that was in force
            hit = won(rows).dropna()
            ended = hit.groupby(before.assign(rows.loc[hit.index])).agg(["sum", "size"])
            origin = origin._replace(first_period=before.period, last_period=before.period)
            answer.estimate(rates(ended.itertuples(name=None), "persona"), origin, "came_win_rate")
        if personas.deals and personas.deals == before.deals:
            answer.missing["promises"] = (
                f"no deal was decided since the promise for {before.period}, which still stands: nothing new to promise"
            )
            return answer
    made, origin = (
        promises(personas),
        Origin(now.notebook, "personas", "deals", personas.first_period, personas.last_period),
    )
    answer.estimate(made, origin, "promised_win_rate", kind="predictive")
    answer.count([{**row, "estimate": row["n_won"]} for row in made], origin, "n_promised_won")
    return answer


def _show_promises(shown: Evidence, title: str) -> Sequence[Piece]:
    words, claims = shown.words, shown.of("promised_before", "came_win_rate", "promised_win_rate", "n_promised_won")
    if claims.empty:
        only_won = "no win rate: only won deals are recorded"
        nothing = only_won if shown.result("only_won") else "assumed: no persona has ten decided deals of its own yet"
        return (Sentence(f"Nothing is promised, {nothing}."),)

    def basis(row: Mapping[str, Claim]) -> str:
        promise, n_won = row.get("promised_win_rate"), row.get("n_promised_won")
        if promise is None or n_won is None:
            return "assumed: too few deals of its own"
        return f"{value(n_won, words)} won of {numbers.count(promise['n'])} decided, {span(promise)}"

    columns: Columns = {
        "promised_before": ("win rate promised last", "backed"),
        "came_win_rate": ("it was", "backed"),
        "promised_win_rate": ("promised now", "backed"),
        "basis": ("rests on", basis),
    }
    listed = table_of(claims, words, "persona", columns, label=level_of(words), caption=title)
    promised = shown.of("promised_win_rate")
    best = promised[np.isclose(promised["estimate"], promised["estimate"].max())]  # several where they are equal
    if best.empty:
        return (listed,)
    whose = " and ".join(words.told(str(level)) for level in best["level"])
    rate = value(records(best.head(1))[0], words)
    return listed, stating(f"The highest promise now: {rate} of decided deals, by {whose}.", best)


def anti_personas() -> Answer:
    """Who is shown to be won less often than the rest, among all that this notebook compares win rates by.

    Only fields that say who somebody is count, no channel and no product. What holds like for like alone is listed, and
    apart from it why sales gives leads back, by its own account: a judgement and no outcome.
    """
    now = opened()
    answer = now.ask("anti_personas", "avoid", pd.DataFrame(), "deals", _show_anti_personas)
    answer.tables["whom"] = pd.DataFrame({"field": buyer_fields(now.situation)}, dtype="str")
    return answer


def buyer_fields(situation: Situation) -> list[str]:
    """The fields that say who a buyer is, so that one can look for them: no channel, no product, no arm."""
    table = next((table for table in ("leads", "deals") if situation.view.has(table)), None)
    return [name for name in situation.fields(table) if name not in OWN_DOING] if table else []


def _show_anti_personas(shown: Evidence, title: str) -> Sequence[Piece]:
    words, ledger = shown.words, shown.ledger
    if ledger.empty:
        return (PROVISIONAL,)
    who = {"persona", *shown.table("whom").get("field", [])}  # channels and dates are nobody
    held = ledger[(ledger["verdict"] == "supported") & ledger["measure"].isin([*_WON, *_ACCEPTED])]
    less = held[(held["effect"] < 0) & held["field"].isin(who) & (held["within"].fillna("") == "")]
    found = less[~turning(less, ledger)]
    fewer_won, fewer_accepted = (
        ranked(one_of_each_pair(found[found["measure"].isin(names)], words)).head(_MOST) for names in (_WON, _ACCEPTED)
    )
    compared = ledger[ledger["measure"].isin(_WON) & (ledger["family"] != "none")]
    said: list[Piece] = [Sentence("Nobody is compared yet, so nobody is left out.")]
    if len(fewer_won):
        said = [Listing(sentences(fewer_won, words))]
    elif len(compared):
        said = [stating("No anti-persona is supported: nobody is shown to be won less often than the rest.", compared)]
    if len(fewer_accepted):
        judged = "Sales accepts these less often. That is its judgement and no outcome: compare how often they are won."
        said += [Note(judged), Listing(sentences(fewer_accepted, words))]
    reasons = where(ledger, measure="sales_rejection_share")
    if reasons.empty:
        return said
    most = reasons[reasons["estimate"] == reasons.groupby("subject")["estimate"].transform("max")]
    levels_of = most.groupby("subject")["level"].agg(list)

    def named(row: Mapping[str, Claim]) -> str:
        most_named = levels_of[row["sales_rejection_share"]["subject"]]  # several where they are equal
        return ", ".join(words.level("topic", level) for level in most_named)

    columns: Columns = {
        "reason": ("named most often", named),
        "sales_rejection_share": ("share of sales' notes", "backed"),
    }
    caption = f"{title} Why sales gave leads back, by its own account.".strip()
    rows = most.drop_duplicates("subject")
    listed = table_of(
        rows, words, "persona", columns, label=lambda claim: words.name(claim["subject"]), caption=caption
    )
    return *said, listed
