"""What marketing and sales promised each other for a period, and whether it was kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, Column, table_of
from closedloop.documents.pieces import Piece, Sentence, stating
from closedloop.documents.wording import records
from closedloop.errors import ParameterError, allowed
from closedloop.evidence.quantiles import quantile
from closedloop.loop.counting import LEAST_SHOWN
from closedloop.market.definition import Goals
from closedloop.questions.answer import Answer
from closedloop.questions.evidence import Evidence
from closedloop.questions.handed_off import accepted_rate, handed_off, sales_touches
from closedloop.questions.period import OpenPeriod, opened

Figure = dict[str, Any]  # estimate, and low, high, n as far as there are any

_PROMISED = {  # unit, the sign of more than promised, and the table it is observed in
    "n_leads": ("count", 1, "leads"),
    "accepted_rate": ("rate", 1, "leads"),
    "first_touch_days": ("days", -1, "touches"),
    "n_touches": ("ratio", 1, "touches"),
    "won_amount": ("amount", 1, "deals"),
}
_NAMES = {  # what was promised, and by which team
    "n_leads": ("leads handed off", "marketing"),
    "accepted_rate": ("share accepted by sales", "marketing"),
    "first_touch_days": ("median days to the first touch", "sales"),
    "n_touches": ("touches before giving up", "sales"),
    "won_amount": ("won amount", "sales"),
}
_JUST_MISSED, _JUST = "just missed", 0.05  # a promise that lacks at most this part of itself


def goals_of(now: OpenPeriod, given: Mapping[str, Any] | None) -> Goals | None:
    """The goals given, else those of the period in market.toml; errors: ParameterError for one that does not exist."""
    if given is None:
        return now.definition.goals.get(now.period.name)
    try:
        return Goals(**given)
    except ValidationError as error:
        found = ".".join(map(str, error.errors()[0]["loc"]))
        raise ParameterError(f"goals: {found!r} cannot be promised; allowed: {allowed(_PROMISED)}, numbers") from error


def promises(
    leads: pd.DataFrame, deals: pd.DataFrame, goals: Mapping[str, Any] | None = None, *, among: str | None = None
) -> Answer:
    """Both teams' promises for the period against what happened; an effect of 0 or more has kept the promise.

    ``leads`` and ``deals``: every one. ``goals``: n_leads, accepted_rate, first_touch_days, n_touches, won_amount; as
    market.toml says unless given. A promise inside the interval of what was observed is not judged.
    """
    now = opened()
    answer = now.ask("promises", "promises", leads, "leads", show_promises, among=among, goals=goals)
    cohort, agreed = handed_off(answer), goals_of(now, goals)
    if cohort.empty:
        return answer
    if agreed is None:
        answer.missing["promises"] = (
            "No promises are recorded for this period. "
            f'Agree on them and write them under [goals."{now.period.name}"] in market.toml.'
        )
        return answer
    observed = _observed(now, cohort, deals)
    judged = []
    for name, (unit, sign, table) in _PROMISED.items():
        promised, found = getattr(agreed, name), observed[name]
        if promised is None:
            continue
        effect = sign * (found.get("estimate", np.nan) - promised)
        row = {**found, "field": "promise", "level": name, "baseline": float(promised), "effect": effect}
        state = answer.count if unit in ("count", "amount") else answer.estimate
        state([row], answer.origin_now._replace(source_table=table), "promise", unit=unit)
        is_inside = found.get("low", np.nan) <= promised <= found.get("high", np.nan)
        judged += [] if np.isnan(effect) or is_inside else [effect >= 0]
    if judged:
        answer.count([{"estimate": sum(judged), "n": len(judged)}], answer.origin_now, "n_promises_kept")
    return answer


def _observed(now: OpenPeriod, cohort: pd.DataFrame, deals: pd.DataFrame) -> dict[str, Figure]:
    """What happened in the period, by what can be promised; a figure that cannot be told is empty."""
    situation, accepted = now.situation, accepted_rate(cohort)
    found: dict[str, Figure] = {name: {} for name in _PROMISED} | {"n_leads": {"estimate": len(cohort)}}
    if accepted:
        found["accepted_rate"] = accepted[0]
    touches, covered = sales_touches(situation), cohort.loc[cohort["is_covered"], "touch_days"]
    if len(touches) and len(covered) >= LEAST_SHOWN and situation.definition.has_calendar:
        found["first_touch_days"] = quantile(covered.fillna(np.inf), 0.5)
    if len(touches) and "disqualified_on" in cohort:  # touches before a lead that was touched was given up
        given_up = cohort.loc[cohort["disqualified_on"].notna() & cohort["touch_days"].notna(), "lead_id"]
        n = given_up.map(touches["lead_id"].value_counts()).fillna(0)
        found["n_touches"] = quantile(n) if len(n) >= LEAST_SHOWN else {}
    if "won_amount" in deals:
        amounts = deals.loc[situation.in_period(deals["closed_on"]), "won_amount"].dropna()
        found["won_amount"] = {"estimate": float(amounts.sum()), "n": len(amounts)}
    return found


def show_promises(shown: Evidence, title: str) -> Sequence[Piece]:
    """What each team promised, and what was observed."""
    claims = shown.of("promise")
    if claims.empty:
        return ()

    def promised(row: Mapping[str, Claim]) -> str:
        claim = row["promise"]
        return numbers.written(claim["baseline"], claim["unit"], shown.words.currency)

    columns: dict[str, str | tuple[str, Column]] = {
        "by": ("by", lambda row: _NAMES[row["promise"]["level"]][1]),
        "promised": ("promised", promised),
        "promise": ("observed", "backed"),
        "kept": ("kept", lambda row: _is_kept(row["promise"])),
    }
    names = {name: text for name, (text, _) in _NAMES.items()}
    listed = table_of(
        *(claims, shown.words, "promise", columns), label=lambda claim: names[claim["level"]], caption=title
    )
    kept = shown.first("n_promises_kept")
    if kept is None:
        return listed, Sentence("No promise could be judged yet.")
    text = f"{numbers.count(kept['estimate'])} of {numbers.count(kept['n'])} promises that can be judged were kept"
    just = [claim for claim in records(claims) if _is_kept(claim) == _JUST_MISSED]
    text += f"; just missed: {', '.join(names[claim['level']] for claim in just)}" if just else ""
    return listed, stating(f"{text}.", kept, *just)


def _is_kept(claim: Claim) -> str:
    """Was the promise kept, as far as that can be told?"""
    if numbers.is_missing(claim["effect"]):
        return "not judged"
    if not numbers.is_missing(claim["low"]) and claim["low"] <= claim["baseline"] <= claim["high"]:
        return "cannot tell"
    if claim["effect"] >= 0:
        return "yes"
    return _JUST_MISSED if -claim["effect"] <= _JUST * claim["baseline"] else "no"
