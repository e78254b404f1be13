"""Who wins more often: by the fields of deals, and by sellers where they differ by more than luck."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy

from closedloop.claims.comparisons import LOOK_COLUMNS, Origin, meta_of, rate_looks, typed
from closedloop.claims.ledger import TURNS
from closedloop.period.counting import (
    LEAST_SHOWN,
    ONLY_WON,
    counts,
    crossed_counts,
    known_before,
    levels,
    recorded_looks,
    won,
)
from closedloop.period.lead_records import CONVERSION
from closedloop.period.leaks import leaking
from closedloop.period.situation import Situation
from closedloop.personas.persona_set import PersonaSet
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Note, Piece, Sentence, stating
from closedloop.presentation.sentences import Claim, backed, records, turned, value
from closedloop.presentation.tables import Columns, table_of
from closedloop.statistics.logistic_regression import shrink_crossed
from closedloop.statistics.proportions import at_rate, spread_beyond_luck
from closedloop.statistics.stratified import REVERSAL_LEVEL, Adjusted, adjusted_difference
from closedloop.terms import RARE, Moment, Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import comparison, no_deals, recording
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import RateRedraw

REP_LUCK = 0.05  # reps are compared one by one only below this p value of any spread between them


def win_rates(
    deals: pd.DataFrame,
    by: str | Sequence[str],
    *,
    least: int | None = None,
    threshold: float | None = None,
    among: str | None = None,
    known_at: str = "",
    luck: float = REP_LUCK,
) -> Answer:
    """The win rate of every level of every field ``by``, compared with all deals that record the field.

    k of n deals are won, k ~ Bin(n, p), p ~ Beta(mu M, (1 - mu) M) over the levels of a field, the spread integrated
    (METHODS 5); like is compared with like inside the periods in which deals ended. ``least``: smaller groups are not
    compared (10 at least); ``threshold``: a difference below it is not worth a line; ``among``: which deals these are,
    in words, where a cell chose them; ``known_at``: when that is known. Where only won deals are recorded, leads are
    followed until they are won instead. Sellers (``rep_id`` alone) are compared only where p of any spread
    between them is at most ``luck``, each as if all sold to the same personas: a ridge logistic fit of both.
    """
    now, fields = opened(), [by] if isinstance(by, str) else list(by)
    of_signals = [one.field for one in now.personas.signals_in_force if not one.persona]
    findings = ("findings", partial(_show_rates, of_signals=of_signals))
    section, show = ("reps", _show_sellers) if fields == ["rep_id"] else findings
    answer = now.ask("win_rates", section, deals, "deals", show, among=among, known_at=known_at,
                     by=fields, least=least, threshold=threshold, luck=luck)  # fmt: skip
    rows, situation = answer.rows, now.situation
    fewest, gate = max(least or 0, LEAST_SHOWN), threshold or situation.claims.practical_threshold
    if section == "reps":
        _compare_sellers(answer, fewest, gate, luck)
        return answer
    if no_deals(answer):
        return answer
    if situation.has_only_won:
        from closedloop.questions.leads.conversions import followed

        return followed(answer, fields)
    hit, days = won(rows), rows["closed_on"]
    cut = levels(rows, [name for name in fields if name in rows], RARE)
    cut = cut.loc[:, [name not in ("persona", "is_quarter_end") or cut[name].nunique() > 1 for name in cut]]
    names = [str(name) for name in cut if name != "is_quarter_end"]
    late = [name for name in names if now.known_at(name) > Moment.CREATION]
    table = counts(cut, list(cut.columns), hit, situation.names_of(days), late, known_before(situation, rows))
    if table.empty and fields == ["persona"] and len(now.personas.personas) < 2:
        answer.missing["comparisons"] = "There is one persona for everyone, so there is nothing to compare."
        return answer
    if table.empty:
        answer.missing["comparisons"] = (
            f"{hit.notna().sum()} deals were won or lost, but no field is recorded to compare them by."
            if hit.notna().any()
            else "No deal was won or lost yet, so nothing can be compared."
        )
        return answer
    origin = answer.origin(days)
    answer.compare(recorded_looks(situation, rows[list(cut.columns)], hit, days, origin))
    redraw = RateRedraw("deals", rows["deal_id"], cut, days, "won", "win_rate", gate, least=fewest, late=late)
    shown = rate_looks(table, origin, measure="win_rate", threshold=gate, least=fewest)
    answer.compare(shown, redraw if answer.is_recorded else None)
    return answer


def _show_rates(shown: Evidence, title: str, *, of_signals: Sequence[str]) -> Sequence[Piece]:
    if len(shown.of(CONVERSION)):
        from closedloop.questions.leads.conversions import show_conversions

        return show_conversions(shown, title)
    name = title or "What do won deals have in common?"
    rates = shown.of("win_rate")
    said = comparison(rates, shown, name, "share of decided deals won")
    held = set(rates.loc[rates["verdict"] == "supported", "field"])
    unheld = [field for field in dict.fromkeys(of_signals) if field in set(rates["field"]) - held]
    if unheld:  # the window alone, as counted, does not show what signals were tested for over all periods
        named = " and ".join(shown.words.column(field) for field in unheld)
        also = f"By {named} this window alone shows no difference that holds; signals are tested on all periods (02)."
        said = (*said, stating(also, rates[rates["field"].isin(unheld)]))
    return *said, *recording(shown)


def _compare_sellers(answer: Answer, least: int, threshold: float, luck: float) -> None:
    """The spread between sellers against what luck alone would give; beyond it each seller's win rate."""
    ended, situation = answer.rows, answer.now.situation
    answer.results |= {"rep_spread_p": None, "is_rep_spread_beyond_luck": None}
    if no_deals(answer):
        return
    if reason := _why_not_sellers(situation, ended):
        answer.missing["reps"] = reason
        return
    decided = ended[won(ended).notna() & ended["rep_id"].notna()]
    table = (decided["outcome"] == "won").groupby(decided["rep_id"]).agg(["sum", "size"])
    p, n, origin = spread_beyond_luck(table["sum"], table["size"]), len(decided), answer.origin(ended["closed_on"])
    answer.count([{"estimate": len(table), "n": n}], origin, "n_reps")
    spread = {"estimate": p, "n": n, "p": p, "beyond": 1 - p, "subject": "market", "field": "", "level": ""}
    answer.compare(typed([spread | meta_of(origin, "rep_spread", "ratio", "descriptive")], LOOK_COLUMNS))
    answer.results |= {"rep_spread_p": p, "is_rep_spread_beyond_luck": bool(p <= luck)}
    redraw = RateRedraw(
        *("deals", decided["deal_id"], levels(decided, ["rep_id"], RARE), decided["closed_on"], "won", "win_rate"),
        threshold=threshold,
        least=least,
        late=["rep_id"],
        within=decided["persona"],
        gate="rep_id",
        luck=luck,
    )
    answer.redraws.append(redraw)
    if p <= luck:
        answer.compare(_within_personas(situation, decided, origin, threshold, least))


def _why_not_sellers(situation: Situation, ended: pd.DataFrame) -> str:
    """Why sellers cannot be compared; nothing where they can."""
    if situation.has_only_won:
        return ONLY_WON
    if "rep_id" in leaking(situation):
        return (
            "Sellers cannot be compared: who sold looks like a leak, recorded more often for one outcome than for the "
            "other. Record who sold every deal, from its start."
        )
    if "rep_id" not in ended or ended["rep_id"].nunique() < 2:
        return "Fewer than two reps are recorded. Collect deals.rep_id as a code."
    decided = ended[won(ended).notna() & ended["rep_id"].notna()]
    n_won, n_lost = (int((decided["outcome"] == outcome).sum()) for outcome in ("won", "lost"))
    if min(n_won, n_lost) < LEAST_SHOWN or decided["rep_id"].nunique() < 2:
        return (
            f"Sellers cannot be compared: {n_won} won and {n_lost} lost deals of {decided['rep_id'].nunique()} sellers "
            f"record one; {LEAST_SHOWN} of each and two sellers are needed. Record who sold every deal."
        )
    return ""


def _within_personas(
    situation: Situation, decided: pd.DataFrame, origin: Origin, threshold: float, least: int
) -> pd.DataFrame:
    """Each seller's win rate, were all to sell to the same personas (``shrink_crossed``).

    p compares a seller with the others within persona and period, as all rates are compared within periods.
    """
    hit, by = won(decided), levels(decided, ["rep_id"], RARE).assign(persona=decided["persona"])
    strata = situation.names_of(decided["closed_on"]) + " " + decided["persona"].astype("str")
    counted = counts(by, ["rep_id"], hit, strata, ["rep_id"], known_before(situation, decided))
    rates = rate_looks(counted, origin, measure="win_rate", threshold=threshold, least=least)
    table = shrink_crossed(hit.astype(float), by)
    own = table[table["column"] == "rep_id"].set_index("level")
    effect, low, high = own.loc[rates["level"], ["points", "points_low", "points_high"]].to_numpy().T
    error = (high - low) / (2 * scipy.stats.norm.isf(0.05))
    beyond = scipy.stats.norm.sf((threshold - effect) / error) + scipy.stats.norm.cdf((-threshold - effect) / error)
    figures = {
        "effect": effect,
        "estimate": rates["baseline"] + effect,
        "low": rates["baseline"] + low,
        "high": rates["baseline"] + high,
        "beyond": beyond,
    }
    is_compared = rates["reason"] == ""
    return rates.assign(within="persona", **{name: np.where(is_compared, of, np.nan) for name, of in figures.items()})


def _show_sellers(shown: Evidence, title: str) -> Sequence[Piece]:
    spread, n_sellers = shown.first("rep_spread"), shown.first("n_reps")
    if spread is None or n_sellers is None:
        return (Sentence("The spread between sellers could not be tested."),)
    found = f"{value(n_sellers, shown.words)} sellers with {numbers.count(spread['n'])} decided deals"
    if numbers.is_missing(spread["p"]):
        return (stating(f"{found}: too few to tell luck from skill.", spread, n_sellers),)
    q = f"q = {spread['q']:.2g}, corrected for all that is compared here"
    if spread["verdict"] != Verdict.SUPPORTED:
        return (stating(f"{found} are not shown to differ beyond luck ({q}): no league table.", spread, n_sellers),)
    said = stating(f"{found} differ by more than luck ({q}); look at what they sell first.", spread, n_sellers)
    name, axis = title or "Who wins more of the same deals?", "share won, were all to sell to the same personas"
    return said, *comparison(shown.of("win_rate"), shown, name, axis)


_ADJUSTED = tuple(TURNS.values())
_ANSWERS: Mapping[str, str] = {
    "yes": "is shown to turn round", "nothing": "all but vanishes", "maybe": "may turn round", "no": "stays as it is",
}  # fmt: skip
_FEWEST_ADJUSTED = 30
_MOST_STRATA = 12
_SETTLED = 0.9
_PERIOD = "period"


def adjust(
    deals: pd.DataFrame,
    fields: Sequence[str],
    within: str | Sequence[str] | None = None,
    *,
    answers: Sequence[str] = tuple(TURNS),
    among: str | None = None,
) -> Answer:
    """Crude beside adjusted differences of ``fields``: every level inside the strongest confounder, and the period.

    The adjusted difference is Mantel & Haenszel's (1959), with its 95 % interval. Tried are the fields ``within`` (all
    that are compared without any), the period and the age of the deal. ``answers``: which of yes, nothing, maybe and
    no (does it turn round?) are stated.
    """
    now = opened()
    show = partial(_show_adjusted, answers)
    answer = now.ask("adjust", "adjusted", deals, "deals", show, among=among, fields=list(fields), within=within)
    if no_deals(answer):
        return answer
    rows, situation = answer.rows, now.situation
    if situation.has_only_won:
        answer.missing["adjusted"] = ONLY_WON
        return answer
    if won(rows).value_counts().reindex([True, False], fill_value=0).min() < LEAST_SHOWN:
        answer.missing["adjusted"] = "Fewer than ten deals were won, or lost, so there is no difference to adjust."
        return answer
    inside = [within] if isinstance(within, str) else fields if within is None else within
    tried = dict.fromkeys([*fields, *inside])
    by = levels(rows, [name for name in tried if name in rows], RARE)
    by = by.loc[:, by.nunique() > 1]
    found = adjusted(situation, now.personas, rows, by, list(fields))
    if not found and not set(fields) & set(by):
        answer.missing["adjusted"] = (
            f"There is one {' and one '.join(fields)} here, so there is no difference to adjust."
        )
    elif not found:
        answer.missing["adjusted"] = (
            "Too few won or lost deals share the levels of two fields, so no confounder can be looked for."
            if by.shape[1] > 1
            else "Fewer than two comparable fields, so no confounder can be looked for. "
            "Collect more fields of deals or accounts."
        )
    if not found:
        return answer
    answer.count([{"estimate": len(found)}], answer.origin(rows["closed_on"]), "n_adjusted")
    for turns in answers:
        of = [row for row in found if row["turns"] == turns]
        answer.estimate(of, answer.origin(rows["closed_on"]), TURNS[turns], unit="points")
    answer.results["n_reversed"] = len({(row["field"], row["level"]) for row in found if row["turns"] == "yes"})
    return answer


def _show_adjusted(wanted: Sequence[str], shown: Evidence, title: str) -> Sequence[Piece]:
    claims, n = shown.of(*_ADJUSTED), shown.first("n_adjusted")
    if claims.empty and n is not None:
        kinds = [_ANSWERS[answer] for answer in wanted]
        said = " or ".join([", ".join(kinds[:-1]), kinds[-1]] if len(kinds) > 1 else kinds)
        text = f"Of {value(n, shown.words)} differences compared again, like with like, none {said}."
        return (stating(text, n),)
    shift = (claims["estimate"] - claims["baseline"]).abs()
    answers = {measure: answer for answer, measure in TURNS.items()}
    order = claims["measure"].map(_ADJUSTED.index)
    ordered = claims.assign(_order=order, _shift=-shift).sort_values(["_order", "_shift"], kind="stable")

    def only(row: Mapping[str, Claim]) -> Claim:
        return next(iter(row.values()))

    columns: Columns = {
        "counted": ("difference as counted", lambda row: numbers.signed_points(only(row)["baseline"])),
        "adjusted": ("like compared with like (95 % interval)", lambda row: backed(only(row), shown.words)),
        "within": ("compared within", lambda row: shown.words.column(only(row)["within"])),
        "turns": ("turns round", lambda row: answers[only(row)["measure"]]),
    }
    listed = table_of(ordered, shown.words, "group", columns, caption=title)
    note = Note(
        "Yes: the interval lies wholly on the other side. Nothing: it holds 0, but neither a difference worth knowing "
        "nor the one counted. Maybe: the estimate is on the other side, or the interval holds 0 but not that counted."
    )
    sure = shown.of(TURNS["yes"], TURNS["nothing"])
    if sure.empty:
        return listed, note, stating("No difference is shown to turn round once like meets like.", claims)
    return listed, note, Listing([turned(claim, shown.words) for claim in records(sure)])


def adjusted(
    situation: Situation, in_force: PersonaSet, ended: pd.DataFrame, by: pd.DataFrame, fields: Sequence[str]
) -> list[dict[str, Any]]:
    """Crude beside adjusted differences of the levels of ``fields``, as statements; ``by``: what is tried as strata.

    No persona is compared within a field of its own rule or one that settles it, nor such a field within personas: they
    are one thing, and would erase each other. ``turns``: what becomes of the difference.
    """
    hit = won(ended)
    age = levels(ended, ["age_days"])["age_days"]
    base = by.assign(**{_PERIOD: situation.names_of(ended["closed_on"]), "age_days": age}, won=hit)[hit.notna()]
    tried = [name for name in base.columns.drop("won") if 2 <= base[name].nunique() <= _MOST_STRATA]
    same = {name for name in tried if name in in_force.rule.fields or _is_persona(base, name)}
    rows, worth = [], float(at_rate(situation.claims.smallest_worth, base["won"].astype(float).mean()))
    for name in (name for name in tried if name in fields):
        apart = same if name == "persona" else {"persona"} if name in same else set()
        sizes = base[name].value_counts().drop(RARE, errors="ignore")
        # won, and decided, deals of every level in every level of another field
        cells = {
            other: crossed_counts(base[name], base[other], base["won"])
            for other in tried
            if other != name and other not in apart
        }
        for level in sorted(sizes[sizes >= _FEWEST_ADJUSTED].index):
            found = _within(cells, level)
            shift = {other: abs(of.adjusted - of.crude) for other, of in found.items()}
            strongest = max(found, key=lambda other: (found[other].reversal, shift[other]), default="")
            for other in dict.fromkeys((strongest, _PERIOD)):
                if of := found.get(other):
                    figures = {"estimate": of.adjusted, "low": of.low, "high": of.high, "n": of.n, "baseline": of.crude}
                    about = {"field": name, "level": level, "within": other}
                    rows.append({**about, **figures, "turns": of.answer(worth)})
    return rows


def _within(cells: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], level: str) -> dict[str, Adjusted]:
    """The level against all others, inside the levels of each other field that has enough deals of both."""
    found = {}
    for other, (won_deals, decided) in cells.items():
        if level in won_deals.index:
            k, n = won_deals.loc[level].to_numpy(), decided.loc[level].to_numpy()
            rest = won_deals.to_numpy().sum(0) - k, decided.to_numpy().sum(0) - n
            found[other] = adjusted_difference(k, n, *rest, level=REVERSAL_LEVEL)  # what is shown is what decides
    return {other: of for other, of in found.items() if of.n >= _FEWEST_ADJUSTED}


def _is_persona(base: pd.DataFrame, name: str) -> bool:
    """Does the field settle the persona, or the persona the field, as one that is made of the rule's fields does?

    One settles the other where nine of ten errors are gone that guessing the largest makes (lambda).
    Source: Goodman & Kruskal (1954), JASA 49, 732-764.
    """
    if "persona" not in base or name == "persona":
        return False
    table = pd.crosstab(base["persona"], base[name]).to_numpy()
    for one in (table, table.T):
        n, sure, guessed = one.sum(), one.max(axis=1).sum(), one.sum(axis=0).max()
        if n > guessed and sure - guessed >= _SETTLED * (n - guessed):
            return True
    return False
