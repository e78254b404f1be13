"""Whom do we know about: is there enough to segment, and what do the answers look like before anybody does?"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from closedloop.errors import ParameterError, allowed
from closedloop.period.leaks import leaking
from closedloop.period.records import Sample
from closedloop.period.situation import Situation
from closedloop.personas.research import FEWEST_ROWS, sample_of, survey_of
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Piece, Sentence, claim_ids, stating
from closedloop.presentation.findings import Claim, value
from closedloop.presentation.sentences import records
from closedloop.presentation.tables import Table
from closedloop.statistics.segmentation.indicators import effective_size
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import OpenPeriod, opened

ADVISED = 60  # rows for each column that segments are cut by: Dolnicar, Gruen & Leisch (2018), ch. 5
DAYS = ("answered_on", "created_on", "closed_on")
_TABLES = ("respondents", "leads", "accounts", "deals")


def asked_of(now: OpenPeriod, verb: str, section: str, sample: pd.DataFrame, by: Sequence[str] | None, render: Any,
             **arguments: Any) -> Answer:  # fmt: skip
    """An answer about a sample, which is its ``fitted``: the rows, and the columns to segment by (None: as the market
    says). Errors: ParameterError for columns that it does not have."""
    whole = sample_of(now.situation)
    items = list(whole.items if by is None else by)
    if unknown := [name for name in items if name not in sample]:
        raise ParameterError(f"by = {unknown}: no such columns of the sample; allowed: {allowed(map(str, sample))}")
    source = next((name for name in _TABLES if sample.index.name == name.removesuffix("s")), "none")
    answer = now.ask(verb, section, sample, source, render, by=items, **arguments)
    apart = [name for name in [*whole.items, *whole.held_apart] if name in answer.rows and name not in items]
    answer.fitted = Sample(source, answer.rows, items, apart, 0 if answer.among else whole.n_without_weight)
    return answer


def days_of(rows: pd.DataFrame) -> pd.Series:
    """The days that a sample is of; empty where none is recorded."""
    name = next((name for name in DAYS if name in rows), None)
    return pd.to_datetime(rows[name]) if name else pd.Series(dtype="datetime64[us]")


def is_too_small(answer: Answer, sample: Sample, least: int, *sections: str) -> bool:
    """Are there too few rows or columns to segment? Then the answer says so for these sections."""
    if len(sample.rows) >= least and sample.items:
        return False
    found = (
        f"Only {len(sample.rows)} rows with {len(sample.items)} columns were known at the period's start"
        if sample.items
        else f"At the period's start no table held {least} rows with a field that is known from the beginning"
    )
    text = (
        f"{found}: too little to cut into segments. Collect survey answers (`respondents`), "
        "or fields of leads or accounts that are known at creation."
    )
    answer.missing |= dict.fromkeys(sections, text)
    return True


def sample_size(sample: pd.DataFrame, by: Sequence[str] | None = None, *, among: str | None = None) -> Answer:
    """Is there enough to segment: rows, columns, ended deals to judge by, an earlier wave; and what is held back.

    ``sample``: one row a person or record; ``by``: the columns to segment by (None: as the market says). Advised are 60
    rows a column, of a weighted survey 60 of equal weight (Kish's effective size). Held back are fields that look like
    an identifier or free text.
    """
    now = opened()
    answer = asked_of(now, "sample_size", "sample", sample, by, _show_size, among=among)
    known: Sample = answer.fitted
    origin = answer.origin(days_of(known.rows))
    advised = ADVISED * len(known.items)
    for measure, n in (("n_rows", len(known.rows)), ("n_columns", len(known.items)), ("n_advised", advised)):
        answer.count([{"estimate": n}], origin, measure)
    if known.weights is not None:
        effective = round(effective_size(known.weights.to_numpy()))
        answer.count([{"estimate": effective, "n": len(known.rows)}], origin, "n_effective_rows")
    if known.n_without_weight:
        n = len(known.rows) + known.n_without_weight
        answer.count([{"estimate": known.n_without_weight, "n": n}], origin, "n_without_weight")
    situation = now.situation
    for table, fields in situation.view.held_back.items():
        rows = [{"field": name, "level": found.kind, "estimate": found.n_values, "n": found.n}
                for name, found in fields.items()]  # fmt: skip
        answer.count(rows, answer.origin_now._replace(source_table=table), "n_values")
    if situation.view.has("deals"):
        ended = situation.closed_deals
        answer.count([{"estimate": len(ended)}], answer.origin(ended["closed_on"], "segmenting", "deals"), "n_ended")
    wave = last_wave(situation, known.rows, FEWEST_ROWS)
    if wave is not None:
        origin = answer.origin(days_of(known.rows)[wave], "held")
        answer.count([{"estimate": int(wave.sum()), "n": len(known.rows)}], origin, "n_last_wave")
    answer.results["kept_out"] = sorted(leaking(situation))
    answer.results |= {"source": known.source, "n": len(known.rows), "n_items": len(known.items)}
    asked, questions = survey_of(situation)
    if len(asked) and questions and asked[questions].isna().all(axis=None):
        answer.missing["sample"] = (
            f"The survey is blank: none of its {len(asked)} rows answers any of its {len(questions)} questions, so it "
            "says nothing about needs. Check the columns of `respondents` that [items] in market.toml names."
        )
    elif known.source != "respondents" and len(known.rows) >= FEWEST_ROWS and known.items:
        answer.missing["needs"] = (
            "No survey: the segments describe records, not needs. Collect `respondents`: "
            "a dozen yes/no questions about needs, asked of at least 60 people per question."
        )
    return answer


def last_wave(situation: Situation, rows: pd.DataFrame, least: int) -> "pd.Series[bool] | None":
    """Which rows came with the last wave: the latest periods in a row, or the latest alone where none is without rows.

    None when the rows have no days, or when either side has fewer than ``least`` rows.
    """
    days = days_of(rows)
    if days.empty or not situation.is_dated:
        return None
    names = situation.names_of(days)
    spans = days.groupby(names).agg(["min", "max"]).dropna().sort_values("min")
    if len(spans) < 2:
        return None
    length = (situation.period.end - situation.period.start).days
    pauses = (spans["min"] - spans["max"].shift()).dt.days > length
    latest = spans.index[pauses.cumsum() == pauses.sum()] if pauses.any() else spans.index[-1:]
    is_last = names.isin(latest)
    return is_last if min(is_last.sum(), (~is_last).sum()) >= least else None


def _show_size(shown: Evidence, title: str) -> Sequence[Piece]:
    rows, columns, advised, ended, wave = (
        shown.first(name) for name in ("n_rows", "n_columns", "n_advised", "n_ended", "n_last_wave")
    )
    if rows is None or columns is None or advised is None:
        return (Sentence("Nothing is recorded that could be cut into segments."),)
    effective = shown.first("n_effective_rows")
    counted = rows if effective is None else effective
    is_enough = counted["estimate"] >= advised["estimate"]
    checks: list[tuple[str, list[Claim | None], bool]] = [
        (
            f"as many {'' if effective is None else 'effective '}rows to cut as advised",
            [counted, advised],
            is_enough,
        ),
        ("questions or fields to cut by", [columns], columns["estimate"] >= 1),
        ("ended deals to judge segments by", [ended], ended is not None and ended["estimate"] >= 1),
        ("rows of a last wave, to see whether segments hold", [wave], wave is not None),
    ]
    cited = [[claim for claim in found if claim is not None] for _, found, _ in checks]
    cells = tuple(
        (name, " / ".join(value(claim, shown.words) for claim in found), "yes" if is_there else "no")
        for name, found, is_there in checks
    )
    heads = ("what a cut needs", "found", "there")
    ids = tuple(claim_ids(*claims) for claims in cited)
    lacking = [name for name, _, is_there in checks if not is_there]
    text = "Everything that a cut needs is there." if not lacking else f"A cut has to do without: {'; '.join(lacking)}."
    weighted = "" if effective is None else f", as sure as {value(effective, shown.words)} of equal weight,"
    size = (
        f"{value(rows, shown.words)} rows of {rows['source_table']}{weighted} for {value(columns, shown.words)} columns"
    )
    enough = "enough" if is_enough else "too few to be sure, so look at the stability first"
    return (
        Table(heads, cells, (False, True, False), title, claims=ids),
        stating(f"{size}: {enough} (advised are {value(advised, shown.words)}).", rows, columns, advised, counted),
        stating(text, *(claim for claims in cited for claim in claims)),
        *_weighted(shown),
        *(_held_back(shown, claim) for claim in records(shown.of("n_values"))),
        *_kept_out(shown),
    )


def _weighted(shown: Evidence) -> list[Sentence]:
    """What is weighted and what is not, and whose answers have no weight; nothing where none is recorded."""
    effective, lost = shown.first("n_effective_rows"), shown.first("n_without_weight")
    said = []
    if effective is not None:
        said.append(stating(
            "Answers count by their weights: segments, shares, sizes, means and comparisons are the market's, not the "
            "sample's; effective n is how many answers of equal weight would be as sure. Counted by heads are missing "
            "answers, what goes together, and how well segments are recognised.", effective))  # fmt: skip
    if lost is not None:
        text = (
            f"{value(lost, shown.words)} of {numbers.count(lost['n'])} respondents have no weight and are left out: "
            "nobody knows how many people they stand for."
        )
        said.append(stating(text, lost))
    return said


def _held_back(shown: Evidence, claim: Claim) -> Sentence:
    """A field by which nobody can be compared, and how to vouch for it."""
    name, table = claim["field"], claim["source_table"]
    n_values, n = numbers.count(claim["estimate"]), numbers.count(claim["n"])
    text = f"{shown.words.column(str(name))} ({name} of {table}) looks like {claim['level']}: {n_values} values among "
    text += f"{n} records; it is kept out of rules, segments, comparisons"
    return stating(f"{text} and scores. List it under [checked] of market.toml if it is a field.", claim)


def _kept_out(shown: Evidence) -> list[Sentence]:
    """Fields that look like leaks; nothing without any."""
    names = [shown.words.column(name) for name in shown.result("kept_out") or ()]
    text = f"Kept out of segments, rules and comparisons, since they look like leaks of the outcome: {', '.join(names)}"
    return [Sentence(f"{text}. 03 leads says why.")] if names else []
