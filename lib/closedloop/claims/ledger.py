"""The ledger of claims that every sentence rests on.

A look is one comparison of a level with its baseline, before anything is decided. A family is every look of
one moment; ``close_family`` corrects for its size and gives the verdicts.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from closedloop.claims.comparisons import (
    KINDS,
    LOOK_COLUMNS,
    UNITS,
    Origin,
    amount_looks,
    cycle_looks,
    rate_looks,
    require_known,
    share_looks,
    stacked,
    typed,
)
from closedloop.errors import ParameterError
from closedloop.statistics.amounts import needed_n_ratio, visible_ratio
from closedloop.statistics.proportions import needed_n, visible_difference
from closedloop.terms import Verdict

__all__ = [
    "CLAIM_COLUMNS",
    "FAMILIES",
    "KINDS",
    "LOOK_COLUMNS",
    "STATEMENT_COLUMNS",
    "UNITS",
    "Origin",
    "amount_looks",
    "close_family",
    "counted",
    "cycle_looks",
    "estimated",
    "false_discovery_q",
    "identified",
    "outside",
    "rate_looks",
    "share_looks",
    "stacked",
    "typed",
]

FAMILIES = (
    "who they are",
    "how they end",
    "drift",
    "recording",
    "promise",
    "duel",
    "targets",
    "signal",
    "followed",
    "edit",
    "simplify",
    "none",
)

CLAIM_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "claim_id": "str",
        "market": "str",
        "period": "str",
        "first_period": "str",
        "last_period": "str",
        "family": "str",
        "family_size": "Int64",
        "notebook": "str",
        "cell": "str",
        "measure": "str",
        "unit": "str",
        "subject": "str",
        "field": "str",
        "level": "str",
        "within": "str",
        "among": "str",
        "against": "str",
        "estimate": "float64",
        "low": "float64",
        "high": "float64",
        "baseline": "float64",
        "effect": "float64",
        "n": "Int64",
        "n_effective": "float64",
        "n_before": "Int64",
        "p": "float64",
        "q": "float64",
        "beyond": "float64",
        "verdict": "str",
        "kind": "str",
        "reason": "str",
        "needed_n": "Int64",
        "visible_difference": "float64",
        "source_table": "str",
        "is_retrospective": "boolean",
        "fingerprint": "str",
        "expires_on": "datetime64[us]",
    }
)
Statement = dict[str, Any]
STATEMENT_COLUMNS: Mapping[str, str] = MappingProxyType({**LOOK_COLUMNS, "verdict": "str"})
COST = "cost_per_won_amount"
_WORTH_RATIO, _WORTH_COST = 0.25, 1.0  # what is worth knowing: a quarter more; of costs, twice as much
_IDENTITY = ["market", "period", "family", "notebook", "measure", "subject", "field", "level", "within", "among"]


def close_family(
    looks: pd.DataFrame,
    *,
    family: str,
    market: str,
    period: str,
    smallest_worth: float = 0.10,
    rate: float = 0.10,
    watch_rate: float | None = None,
    fingerprint: str = "",
    expires_on: date | None = None,
) -> pd.DataFrame:
    """Claims of all looks of one family: q values, verdicts, and what each size of sample could have shown.

    q is Benjamini-Hochberg's over the whole frame; a look without a p value counts as p = 1 and is refused.
    Supported: q <= ``rate``, beyond > .5 and the baseline outside the interval (not for the family
    ``simplify``, which asks whether a difference is small). Leaning: q <= ``watch_rate`` (twice
    the rate unless given) where q misses the rate, or beyond > .25 where q meets it. Otherwise indistinguishable if
    n reaches ``needed_n``, else refused. ``needed_n`` is the size at which a worthwhile difference shows with 80 %
    power: ``smallest_worth`` (a fraction, 10 points) for rates; for amounts and days a quarter more than
    the baseline, for costs twice as much. Errors: ParameterError for an unknown family or for two looks at the
    same thing.
    """
    require_known("family", family, FAMILIES)
    claims = typed(looks, LOOK_COLUMNS).assign(market=market, period=period, family=family)
    claims = claims.assign(family_size=len(claims), fingerprint=fingerprint, expires_on=_day(expires_on))
    claims["q"] = false_discovery_q(claims["p"].to_numpy())
    claims["needed_n"] = _needed(claims, smallest_worth)
    claims["visible_difference"] = _visible(claims)
    claims["verdict"] = _verdicts(claims, rate, 2 * rate if watch_rate is None else watch_rate)
    return identified(claims)


def false_discovery_q(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini-Hochberg q values; a missing p counts in the family's size and stays missing."""
    if not len(p):
        return np.empty(0)
    q = scipy.stats.false_discovery_control(np.where(np.isnan(p), 1.0, p))
    return np.where(np.isnan(p), np.nan, q)


def _verdicts(claims: pd.DataFrame, rate: float, watch_rate: float) -> list[str]:
    """METHODS' table of verdicts, row by row; a missing q fails every comparison."""
    q, beyond = claims["q"], claims["beyond"]
    shows = (_effective(claims) >= claims["needed_n"]).fillna(False).astype(bool) & q.notna()
    alike = claims["family"] == "simplify"  # asks whether a difference is small: its interval holds the baseline
    apart = alike | ~((claims["low"] < claims["baseline"]) & (claims["baseline"] < claims["high"]))
    supported = (q <= rate) & (beyond > 0.5) & apart
    leaning = ((q > rate) & (q <= watch_rate)) | ((q <= rate) & (beyond > 0.25))
    choices = [Verdict.SUPPORTED, Verdict.LEANING, Verdict.INDISTINGUISHABLE]
    return [str(v) for v in np.select([supported, leaning, shows], choices, default=Verdict.REFUSED)]


def _needed(claims: pd.DataFrame, smallest_worth: float) -> pd.Series:
    """Size at which a worthwhile difference shows, by the look's unit; missing where the baseline is."""
    deviation, is_cost = claims["log_deviation"].to_numpy(), (claims["measure"] == COST).to_numpy()
    ratios = np.where(is_cost, needed_n_ratio(deviation, _WORTH_COST), needed_n_ratio(deviation, _WORTH_RATIO))
    sizes = [
        (needed_n(base, smallest_worth) if unit == "rate" else ratio) if np.isfinite(base) else np.nan
        for unit, base, ratio in zip(claims["unit"], claims["baseline"], ratios, strict=True)
    ]
    return pd.Series(sizes, index=claims.index, dtype="float64").astype("Int64")


def _effective(claims: pd.DataFrame) -> pd.Series:
    """The cases that count in each comparison."""
    return claims["n_effective"].fillna(claims["n"].astype("float64"))


def _visible(claims: pd.DataFrame) -> NDArray[np.float64]:
    """The smallest effect, in the look's unit, that its n shows with 80 % power."""
    n, baseline = _effective(claims).to_numpy(), claims["baseline"].to_numpy()
    is_rate = (claims["unit"] == "rate").to_numpy()
    points = visible_difference(n, np.where(is_rate, baseline, np.nan))
    factor = visible_ratio(n, claims["log_deviation"].to_numpy())
    return np.where(is_rate, points, baseline * (factor - 1))


def identified(claims: pd.DataFrame) -> pd.DataFrame:
    """Claims with their stable ids, in the ledger's columns and types; ParameterError for two of one identity."""
    repeated = claims[_IDENTITY].duplicated()
    if repeated.any():
        found = " / ".join(str(value) for value in claims.loc[repeated, _IDENTITY].iloc[0])
        raise ParameterError(
            f"claims: found two looks at {found}; allowed is one; mend the counts the looks are made from"
        )
    claims = claims.assign(reason=claims["reason"].fillna(""))
    keys = claims[_IDENTITY].fillna("").itertuples(index=False, name=None)
    slugs = claims["measure"].str.replace("_", "-")
    ids = [f"{slug}-{_digest(key)}" for slug, key in zip(slugs, keys, strict=True)]
    return typed(claims.assign(claim_id=pd.Series(ids, index=claims.index, dtype="str")), CLAIM_COLUMNS)


def _digest(key: Iterable[str]) -> str:
    """Twelve hexadecimal digits that stand for a claim's identity."""
    return hashlib.sha256("\x1f".join(key).encode()).hexdigest()[:12]


def estimated(
    rows: Any,
    origin: Origin,
    *,
    measure: str,
    unit: str = "rate",
    subject: str = "market",
    kind: str = "descriptive",
) -> list[Statement]:
    """Statements outside the families: rates, amounts or medians with their interval, compared with nothing.

    ``rows`` (a frame or a list of dicts): estimate, low, high, n, and what else of a look's columns they have;
    a subject of their own goes before ``subject``. Errors: ParameterError for an unknown unit or kind.
    """
    return _stated(rows, origin, Verdict.ESTIMATED, {"measure": measure, "unit": unit, "kind": kind}, subject)


def counted(
    rows: Any, origin: Origin, *, measure: str, unit: str = "count", subject: str = "market"
) -> list[Statement]:
    """Statements outside the families: totals of rows or money, exact, so without an interval.

    ``rows``: estimate (the total), n (rows behind it; for a count of rows the count itself, unless given), and
    field, level, subject where they have them.
    """
    about = {"measure": measure, "unit": unit, "kind": "descriptive"}
    found = _stated(rows, origin, Verdict.COUNTED, about, subject)
    if unit == "count":
        return [row | {"n": row["estimate"]} if pd.isna(row.get("n")) else row for row in found]
    return found


def _stated(rows: Any, origin: Origin, verdict: Verdict, meta: dict[str, str], subject: str) -> list[Statement]:
    """Rows as statements: the columns of looks that they have, and what kind of figure they are.

    Plain dicts: a notebook makes some hundred, and typing each by itself would take most of its time.
    """
    require_known("unit", meta["unit"], UNITS)
    require_known("kind", meta["kind"], KINDS)
    about = origin._asdict() | meta | {"verdict": str(verdict)}
    gaps = {"subject": subject, "field": "", "level": "", "within": "", "against": ""}
    given = _rows(rows) if isinstance(rows, pd.DataFrame) else rows
    known = [{name: value for name, value in row.items() if name in STATEMENT_COLUMNS} for row in given]
    missing = [{name: text for name, text in gaps.items() if pd.isna(row.get(name))} for row in known]
    return [row | about | gap for row, gap in zip(known, missing, strict=True)]


def _rows(frame: pd.DataFrame) -> list[Statement]:
    columns = [frame[name].tolist() for name in frame.columns]
    return [dict(zip(frame.columns, values, strict=True)) for values in zip(*columns, strict=True)]


def outside(
    statements: pd.DataFrame, *, market: str, period: str, fingerprint: str = "", expires_on: date | None = None
) -> pd.DataFrame:
    """Claims of statements that compare nothing: they belong to no family and need no correction."""
    claims = typed(statements, STATEMENT_COLUMNS).assign(market=market, period=period, family="none")
    return identified(claims.assign(fingerprint=fingerprint, expires_on=_day(expires_on)))


def _day(day: date | None) -> Any:
    """A date as the ledger stores it; none is a missing one."""
    return pd.NaT if day is None else pd.Timestamp(day)


_LEVEL = 0.90


def alike(claims: pd.DataFrame, worth: "float | pd.Series[float]") -> NDArray[np.bool_]:
    """For each claim on a rate: does the 90 % interval of its raw difference lie within ``worth``, or its own of them?

    Two one-sided tests at 5 % (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680), made
    from p, baseline and the cases that count. False for other units and for what could not be compared.
    """
    n = claims["n_effective"].fillna(claims["n"].astype("float64")).to_numpy(dtype=float)
    base, p = claims["baseline"].to_numpy(dtype=float), claims["p"].to_numpy(dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(base * (1 - base) / n)
        reach = (scipy.stats.norm.isf(p / 2) + scipy.stats.norm.isf((1 - _LEVEL) / 2)) * error
        return np.asarray((claims["unit"] == "rate").to_numpy() & (error > 0) & (reach < np.asarray(worth)))


# does a difference turn round once like is compared with like? -> the measure that states it, with a 95 % interval
TURNS: Mapping[str, str] = MappingProxyType(
    {
        "yes": "win_rate_reversed",
        "nothing": "win_rate_explained",
        "maybe": "win_rate_perhaps_reversed",
        "no": "win_rate_adjusted",
    }
)
UNLIKE = ("yes", "nothing", "maybe")  # what does not hold like for like, and so is nothing to act on


def turning(claims: pd.DataFrame, ledger: pd.DataFrame, *answers: str) -> "pd.Series[bool]":
    """Which of these claims are win rates whose difference does not hold like for like (``UNLIKE``, or ``answers``).

    A claim compares within periods, which may have turned the crude difference already: where like for like surely goes
    the claim's own way, the claim holds.
    """
    asked = ledger[ledger["measure"].isin([TURNS[answer] for answer in answers or UNLIKE])]
    told: dict[tuple[str, str], list[int]] = {}  # the side on which like for like surely lies, 0 for neither
    sides = np.sign(asked["estimate"]) * (asked["low"] * asked["high"] > 0)
    for field, level, side in zip(asked["field"], asked["level"], sides, strict=True):
        told.setdefault((field, level), []).append(int(side))
    rows = zip(claims["field"], claims["level"], np.sign(claims["effect"].fillna(0.0)), strict=True)
    is_met = [any(side != way or not way for side in told.get((field, level), ())) for field, level, way in rows]
    is_whole = (claims["measure"] == "win_rate") & (claims["subject"] == "market")
    return pd.Series(is_met, index=claims.index, dtype=bool) & is_whole
