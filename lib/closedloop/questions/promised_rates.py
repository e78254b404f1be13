"""What the personas in force promised of a period, what came of it, and what the next period will promise."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, Column, table_of
from closedloop.documents.pieces import Piece, span, stating
from closedloop.evidence.claims import Origin, close_family, typed
from closedloop.evidence.looks import LOOK_COLUMNS
from closedloop.evidence.promises import beta_of, predictive_midp
from closedloop.evidence.rates import wilson
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.loop.persona import GATE, PersonaSet, promises, renewed
from closedloop.loop.situation import Situation
from closedloop.questions.answer import Answer
from closedloop.questions.evidence import Evidence
from closedloop.questions.period import opened
from closedloop.questions.persona_outcomes import promised_at_start
from closedloop.questions.redraws import PromiseRedraw
from closedloop.questions.refinable import FEWEST_DEALS, refinable

Floats = NDArray[np.float64]

MEASURE = "promise_gap"
_KEPT = {"supported": "no", "leaning": "doubtful", "indistinguishable": "yes", "refused": "cannot tell"}
_IN_WORDS = {"no": "not kept", "doubtful": "doubtful", "yes": "kept", "cannot tell": "cannot be told from luck"}


def promised_rates(deals: pd.DataFrame, *, least: int | None = None, among: str | None = None) -> Answer:
    """Each persona's promised win rate beside the deals decided in the period, and what renewal will promise.

    The promise is itself only known within its interval, and p counts that: beta-binomial predictive mid-p. Supported:
    not kept. ``least`` as of ``edits``. Of a period at its start: what was promised last, what came of it, and what is
    promised now.
    """
    now = opened()
    if now.situation.on == now.period.planned_on:
        return promised_at_start(deals, among=among)
    answer = now.ask("promised_rates", "promises", deals, "deals", _show, among=among, least=least)
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
        personas = in_force.assign(closed)
        answer.redraws.append(
            PromiseRedraw(closed["deal_id"], personas, closed["closed_on"], is_promised, is_now, in_force.ids, GATE)
        )
    return answer


def kept_promises(situation: Situation, closed: pd.DataFrame, in_force: PersonaSet, notebook: str) -> pd.DataFrame:
    """Claims of the family ``promise``: each promised win rate beside the deals decided in the period.

    Supported: not kept. The promise is itself only known within its interval, and p counts that.
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
        "beyond": beyond_promise(k, n, promise),
    }
    origin = Origin(notebook, "promises", "deals", situation.period.name, situation.period.name)
    meta = {"measure": MEASURE, "unit": "rate", "kind": "descriptive", "within": "", "field": "", "level": ""}
    return close_family(
        typed(pd.DataFrame(figures).assign(**origin._asdict(), **meta), LOOK_COLUMNS),
        family="promise",
        market=situation.market,
        period=situation.period.name,
        smallest_worth=situation.claims.smallest_worth,
        expires_on=situation.expires_on,
    )


def promise_p(k: Floats, n: Floats, promise: Floats, low: Floats, high: Floats) -> Floats:
    """p value of the deals against a promise that knew the rate only within ``low`` and ``high``."""
    return predictive_midp(k, n, *beta_of(promise, low, high))


def beyond_promise(k: Floats, n: Floats, promised: Floats | float) -> Floats:
    """Posterior probability that the rate is more than the gate away from the promise (uniform prior)."""
    edges = np.clip([promised - GATE, promised + GATE], 0, 1)
    below, upto = (scipy.stats.beta.cdf(edge, k + 1, n - k + 1) for edge in edges)
    return np.asarray(1 - (upto - below), dtype=float)


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    """What the personas promised, what came of it, and whether the difference is more than luck."""
    judged = shown.of(MEASURE)

    def of_deals(measure: str) -> Column:
        return lambda row: span(row[measure]) if measure in row else numbers.MISSING

    def kept(row: Mapping[str, Claim]) -> str:
        return _KEPT[row[MEASURE]["verdict"]] if MEASURE in row else "not judged"

    columns: dict[str, str | tuple[str, Column]] = {
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
    verdicts = judged["verdict"].map(_KEPT).value_counts()
    counted = ", ".join(f"{verdicts[kept]} {text}" for kept, text in _IN_WORDS.items() if verdicts.get(kept, 0))
    return listed, stating(f"Promised win rates: {counted}.", judged)
