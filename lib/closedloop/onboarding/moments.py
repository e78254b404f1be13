"""When a column is known: what can be shown from the files, moved by the outcome only to later, or out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from closedloop.market.contract import likeness
from closedloop.market.staging.checks import EMAIL, TELEPHONE
from closedloop.onboarding.recognise import systems

_AUDIT = re.compile(
    r"modif|modstamp|last ?(activity|viewed|referenced|contact|stage|engagement|touch)|updated|probabilit|forecast|"
    r"wahrscheinlich|weighted|expected ?revenue|fiscal|next ?(step|activity)|days? (open|in|to|since)|"
    r"\bage( in days)?$|number of (times|activit|sales|contact)|activities|synced|url$|latitude|longitude|geocode|"
    r"duration|is ?(open|closed)|has ?open|overdue|time in|recent|score$",
    re.IGNORECASE,
)
_PERSON = re.compile(
    r"(^|[^a-z])(e-?mail|phone|mobile|fax|telefon|first ?name|last ?name|salutation|street|address|owner|created by|"
    r"modified by|contact|description|notes?|comment|website|title|name)s?([^a-z]|$)",
    re.IGNORECASE,
)
_SELLER = re.compile(  # a column of deals that says who sells; in a survey the same words ask other things
    r"(^|[^a-z])(account ?(executive|manager)|assigned|assignee|sales ?(rep|agent|person|representative)|seller|[bs]dr|"
    r"consultant|responsible|advisor|(kunden)?betreuer(in)?|verkäufer(in)?|mitarbeiter(in)?|zuständige?r?|berater(in)?|"
    r"ansprechpartner(in)?|bearbeiter(in)?|vendeur|responsable|vendedora?|verkoper)([^a-z]|$)",
    re.IGNORECASE,
)
_OF_SELLERS = re.compile(
    r"\b(team|region|territory|group|type|role|level|abteilung|gebiet|gruppe|rolle)$", re.IGNORECASE
)
_PERSONAL = re.compile(f"{EMAIL}|{TELEPHONE}")
_YOUNG_DAYS, _FEWEST, _OLDEST_YOUNG = 14, 30, 42
_FILLED, _MOST_LEVELS, _MOST_FIELDS = 0.6, 30, 25
_LESS_OFTEN = 0.1  # share by which the young may be filled less often
_ALIKE = 0.95
_POINTS, _RATE = 0.05, 0.10
_PEOPLE, _FIRST_NAMES = 0.8, 0.25  # of the values are written like names, and begin with a first name that is known
_OF_PEOPLE = "its values look like names of people"
_TELLING = 0.4  # Cramer's V of a column that nearly tells won from lost


@dataclass(frozen=True)
class Moment:
    """One column's proposal: ``known`` is research, creation, stage or close, empty for none; ``why``, in words."""

    table: str
    column: str
    known: str
    why: str
    is_safe: bool = True


def moments(
    table: str, cells: pd.DataFrame, kinds: Mapping[str, str], deals: pd.DataFrame, *, on_deals: bool
) -> list[Moment]:
    """Proposals for the columns of ``cells`` (texts, a row a deal, aligned with ``deals``).

    ``deals``: outcome, created_on, is_young, is_early: before the first period that runs; what later deals came to is
    for its pages to find. ``on_deals``: are the columns the deal's own, or its account's or lead's?
    """
    kept, found = list[str](), dict[str, Moment]()
    leaning = _leaning(cells[deals["is_early"]], deals["outcome"][deals["is_early"]])
    for column in cells:
        texts = cells[column]
        known, why, is_safe = _known(str(column), texts, kinds.get(str(column), "text"), deals, on_deals)
        if known and str(column) in leaning:
            known, why, is_safe = "", leaning[str(column)], False
        if known in ("creation", "research"):
            twin = next((other for other in kept if _are_twins(cells[other], texts)), None)
            if twin or len(kept) >= _MOST_FIELDS:
                known, why = "", f"says what {twin} says" if twin else f"{_MOST_FIELDS} fields are proposed already"
            else:
                kept.append(str(column))
        found[str(column)] = Moment(table, str(column), known, why, is_safe)
    return list(found.values())


def _known(column: str, texts: pd.Series, kind: str, deals: pd.DataFrame, on_deals: bool) -> tuple[str, str, bool]:
    """When a column is known, why, and whether that is sure."""
    first = "creation" if on_deals else "research"
    levels, filled = texts.nunique(), float(texts.notna().mean())
    if levels < 2:
        return "", "holds one value" if levels else "empty", True
    if _AUDIT.search(column):
        return "", "kept by the system, or a forecast: it changes with the deal", True
    if tells_of_a_person(column, texts):
        return "", "may tell of a person", True
    called = column.replace("_", " ")
    if kind == "text" and _SELLER.search(called) and not _OF_SELLERS.search(called):
        return "", "may tell of a person", True
    if kind in ("date", "month", "time"):
        return "", "a day", True
    if kind == "text" and (what := likeness(texts)) is not None:
        return "", f"{what}", True
    is_open, young, early = (deals["outcome"] == "open").to_numpy(), *deals[["is_young", "is_early"]].to_numpy().T
    ended, old = early & ~is_open, early & ~young
    on_open, on_closed = (float(texts[rows].notna().mean()) if rows.any() else 0.0 for rows in (is_open, ended))
    is_of_people = kind == "text" and are_people(texts)
    if on_deals and is_open.any() and on_closed > 0.1 and on_open < 0.2 * on_closed:
        why = f"filled on {on_closed:.0%} of the closed deals and {on_open:.0%} of the open ones"
        return ("", _OF_PEOPLE, False) if is_of_people else ("close", why, True)
    if filled < _FILLED:
        return "", f"filled on {filled:.0%} only", True
    if kind == "text" and levels > _MOST_LEVELS:
        return "", f"{levels} values; {_MOST_LEVELS} at most are compared", True
    if is_of_people:
        return "", _OF_PEOPLE, False
    counted = f"{young.sum()} young open deals and {old.sum()} before the first period"
    if min(young.sum(), old.sum()) < _FEWEST:
        return "", f"{counted}; {_FEWEST} of both would show when it is filled", False
    on_young, on_old = (float(texts[rows].notna().mean()) for rows in (young, old))
    told = f"filled on {on_young:.0%} and {on_old:.0%} of {counted}"
    if on_young < on_old - _LESS_OFTEN:
        return "", f"{told}: it is filled later", False
    if not _same_values(texts, young, old, kind):
        return "", f"{told}, with other values: it changes later", False
    days = pd.to_datetime(deals["created_on"])
    age = (days.max() - days[young].min()).days
    if age > _OLDEST_YOUNG:
        return first, f"{told}; the oldest of the young ones is {age} days old", False
    return first, told, True


def tells_of_a_person(column: str, texts: pd.Series) -> bool:
    """May a column hold names, addresses or numbers to call?"""
    return bool(_PERSON.search(column)) or any(_PERSONAL.search(str(text)) for text in texts.dropna().unique())


def are_people(texts: pd.Series) -> bool:
    """Do the values look like names of people: a few words, of which the first is a first name, in some of them known?

    Words alone do not tell: cities, industries and products have two as well.
    """
    values = {str(text).strip() for text in texts.dropna().unique()}
    firsts = [first for value in values if (first := _first_name(value))]
    first_names = frozenset(systems()["first_names"])
    known = [first for first in firsts if first in first_names]
    is_told = len(set(known)) > 1 and len(known) >= _FIRST_NAMES * len(values)
    return is_told and len(firsts) >= _PEOPLE * len(values)


def _first_name(text: str) -> str:
    """The first name in a text that is written like a person's, "Anna Roy" or "Roy, Anna"; empty for another text."""
    last, _, first = text.partition(",")
    words = [*first.split(), *last.split()] if "," in text else text.split()
    is_name = 2 <= len(words) <= 4 and all(re.fullmatch(r"[^\W\d_]+([-'’.][^\W\d_]*)*", word) for word in words)
    return words[0].casefold() if is_name and words[0][0].isupper() and words[-1][0].isupper() else ""


def _same_values(texts: pd.Series, young: np.ndarray, old: np.ndarray, kind: str) -> bool:
    """Do young deals have the values of older ones? A test at 1 %: of hundreds of columns some differ by luck."""
    known = texts.notna().to_numpy() & (young | old)
    if kind != "text":
        numbers = pd.to_numeric(texts.astype(str).str.replace(r"[^0-9.\-]", "", regex=True), errors="coerce")
        a, b = numbers[known & young].dropna(), numbers[known & old].dropna()
        if len(a) > 5 and len(b) > 5 and numbers[known].notna().mean() > 0.9:
            return bool(scipy.stats.mannwhitneyu(a, b).pvalue > 0.01)
    table = pd.crosstab(texts[known], young[known])
    if min(table.shape) < 2:
        return True
    return bool(scipy.stats.chi2_contingency(table).pvalue > 0.01)


def _leaning(cells: pd.DataFrame, outcome: pd.Series) -> dict[str, str]:
    """Columns that are filled differently on won and lost deals, or whose values nearly tell which is which.

    What they hold came with the end, or may have: people say when it is known.
    """
    won, lost = (outcome == "won").to_numpy(), outcome.isin(["lost", "no_decision"]).to_numpy()
    decided, rows, found = won | lost, [], dict[str, str]()
    if not won.any() or not lost.any():
        return {}
    for column in cells:
        filled = cells[column].notna().to_numpy()
        counts = [[int(filled[side].sum()), int((~filled[side]).sum())] for side in (won, lost)]
        rows.append((str(column), scipy.stats.fisher_exact(counts)[1], *(row[0] / max(sum(row), 1) for row in counts)))
        table = pd.crosstab(cells[column][decided], won[decided])
        if 1 < len(table) <= _MOST_LEVELS and table.shape[1] == 2 and _cramers_v(table) > _TELLING:
            found[str(column)] = "its values nearly tell won from lost: known before the end?"
    q = scipy.stats.false_discovery_control([row[1] for row in rows]) if rows else []
    return found | {
        column: f"filled on {of_won:.0%} of the won deals and {of_lost:.0%} of the lost ones: its end decides"
        for (column, _, of_won, of_lost), own in zip(rows, q, strict=True)
        if own <= _RATE and abs(of_won - of_lost) >= _POINTS
    }


def _cramers_v(table: pd.DataFrame) -> float:
    """Cramer's V of a column and two ends, without what many values among few deals have of it by chance (Bergsma)."""
    n, k = table.to_numpy().sum(), len(table)
    by_chance = (k - 1) / (n - 1)
    phi = scipy.stats.contingency.association(table.to_numpy(), method="cramer") ** 2 - by_chance
    return float(np.sqrt(max(phi, 0) * (n - 1) / max(n - 2, 1)))


def _are_twins(one: pd.Series, other: pd.Series) -> bool:
    """Do two columns say nearly the same? Each value of one goes with one of the other, nearly always."""
    both = one.notna() & other.notna()
    if both.sum() < _FEWEST:
        return False
    table = pd.crosstab(one[both], other[both]).to_numpy()
    return bool(table.shape[0] == table.shape[1] and table.max(axis=1).sum() / table.sum() > _ALIKE
                and table.max(axis=0).sum() / table.sum() > _ALIKE)  # fmt: skip


def is_young(created_on: pd.Series, is_open: pd.Series) -> pd.Series:
    """The open deals of the last 14 days, or the 30 youngest where they are fewer."""
    days = pd.to_datetime(created_on)
    last = days.max()
    if pd.isna(last):
        return pd.Series(False, index=created_on.index)
    found = is_open & (days > last - pd.Timedelta(days=_YOUNG_DAYS))
    if found.sum() < _FEWEST:
        youngest = days[is_open].sort_values(ascending=False, kind="stable").index[:_FEWEST]
        found = pd.Series(created_on.index.isin(youngest), index=created_on.index)
    return found
