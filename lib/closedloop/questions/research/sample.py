"""Whom do we know about: is there enough to segment, and what do the answers look like before anybody does?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy

from closedloop.claims.comparisons import gain_looks
from closedloop.errors import ParameterError, allowed
from closedloop.period.counting import LEAST_SHOWN, rates
from closedloop.period.leaks import leaking
from closedloop.period.situation import Situation
from closedloop.personas.research import FEWEST_ROWS, Sample, sample_of, survey_of
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Piece, Sentence, Table, claim_ids, stating
from closedloop.presentation.sentences import Claim, backed, on_scale, records, value, where
from closedloop.presentation.tables import dots_of
from closedloop.statistics.proportions import wilson
from closedloop.statistics.segmentation.indicators import (
    associations,
    components,
    effective_size,
    field_and_level,
    is_metric,
    profile_of,
    profile_sizes,
    weighted_mean,
)
from closedloop.terms import Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import OpenPeriod, opened
from closedloop.workbench.redraws import AssociationRedraw

ADVISED = 60  # rows for each column that segments are cut by: Dolnicar, Gruen & Leisch (2018), ch. 5
MARKET = "market"
_TABLES = ("respondents", "leads", "accounts", "deals")
_MOST_PAIRS = 5
_YES = ("true", "1")


def explore(
    sample: pd.DataFrame,
    by: Sequence[str] | None = None,
    measure: str = "answers",
    *,
    least: int | None = None,
    pairs: int = _MOST_PAIRS,
    among: str | None = None,
    known_at: str = "",
) -> Answer:
    """A sample before any cut: is it large enough, or how is it answered?

    "size": rows, columns, ended deals to judge by, an earlier wave; and what is held back. Advised are 60 rows a
    column, of a weighted survey 60 of equal weight (Kish's effective size); held back are fields that look like an
    identifier or free text. "answers": how common each is (Wilson's interval) and what is missing; the ``pairs``
    strongest rank correlations of two answers, their intervals for all pairs at once; principal components beside those
    of shuffled columns (Horn, 1965). ``sample``: one row a person or record; ``by``: the columns to segment by (None:
    as the market says); ``least``: of fewer rows answers are not looked at (50). ``among``: which rows these are, where
    a cell chose them; ``known_at``: when that is known. Errors: ParameterError.
    """
    measures = {"size": ("sample", _show_size, _state_size), "answers": ("explore", _show_answers, _state_answers)}
    if measure not in measures:
        raise ParameterError(f"explore: measure = {measure!r}; allowed: {allowed(measures)}")
    section, show, state = measures[measure]
    answer = asked_of(opened(), "explore", section, sample, by, show, among=among, known_at=known_at,
                      measure=measure, least=least, pairs=pairs)  # fmt: skip
    state(answer, answer.fitted)
    return answer


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


def is_too_small(answer: Answer, sample: Sample, least: int, *sections: str) -> bool:
    """Are there too few rows or columns to segment? Then the answer says so for these sections."""
    if len(sample.rows) >= least and sample.items:
        return False
    found = (
        f"Only {len(sample.rows)} rows with {numbers.plural(len(sample.items), 'column')} were known at the start"
        if sample.items
        else f"At the period's start no table held {least} rows with a field that is known from the beginning"
    )
    text = (
        f"{found}: too little to cut into segments. Collect survey answers (`respondents`), "
        "or fields of leads or accounts that are known at creation."
    )
    answer.missing |= dict.fromkeys(sections, text)
    return True


def last_wave(situation: Situation, days: pd.Series, least: int) -> "pd.Series[bool] | None":
    """Which days of answers are of the last wave: the latest periods in a row, or the latest alone if none is skipped.

    None when there are no days, or when either side has fewer than ``least``.
    """
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


def _state_size(answer: Answer, known: Sample) -> None:
    origin = answer.origin(known.days)
    advised = ADVISED * len(known.items)
    for measure, n in (("n_rows", len(known.rows)), ("n_columns", len(known.items)), ("n_advised", advised)):
        answer.count([{"estimate": n}], origin, measure)
    if known.weights is not None:
        effective = round(effective_size(known.weights.to_numpy()))
        answer.count([{"estimate": effective, "n": len(known.rows)}], origin, "n_effective_rows")
    if known.n_without_weight:
        n = len(known.rows) + known.n_without_weight
        answer.count([{"estimate": known.n_without_weight, "n": n}], origin, "n_without_weight")
    situation = answer.now.situation
    for table, fields in situation.view.held_back.items():
        rows = [{"field": name, "level": found.kind, "estimate": found.n_values, "n": found.n}
                for name, found in fields.items()]  # fmt: skip
        answer.count(rows, answer.origin_now._replace(source_table=table), "n_values")
    if situation.view.has("deals"):
        ended = situation.closed_deals
        answer.count([{"estimate": len(ended)}], answer.origin(ended["closed_on"], "segmenting", "deals"), "n_ended")
    wave = last_wave(situation, known.days, FEWEST_ROWS)
    if wave is not None:
        origin = answer.origin(known.days[wave], "held")
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


def _show_size(shown: Evidence, title: str) -> Sequence[Piece]:
    words, rows, columns, advised = shown.words, *map(shown.first, ("n_rows", "n_columns", "n_advised"))
    if rows is None or columns is None or advised is None:
        return (Sentence("Nothing is recorded that could be cut into segments."),)
    if not rows["estimate"]:
        return (stating("Nothing that could be cut into segments was known on that day.", rows),)
    ended, wave, effective = map(shown.first, ("n_ended", "n_last_wave", "n_effective_rows"))
    counted = effective or rows
    is_enough = counted["estimate"] >= advised["estimate"]
    checks: list[tuple[str, list[Claim | None], bool]] = [
        (f"as many {'effective ' if effective else ''}rows to cut as advised", [counted, advised], is_enough),
        ("questions or fields to cut by", [columns], columns["estimate"] >= 1),
        ("ended deals to judge segments by", [ended], ended is not None and ended["estimate"] >= 1),
        ("rows of a last wave, to see whether segments hold", [wave], wave is not None),
    ]
    cells = [
        (name, " / ".join(value(claim, words) for claim in found), "yes" if is_there else "no")
        for name, found, is_there in checks
    ]
    cited = [claim_ids(*(claim for claim in found if claim)) for _, found, _ in checks]
    lacking = "; ".join(name for name, _, is_there in checks if not is_there)
    weighted = f", as sure as {value(effective, words)} of equal weight," if effective else ""
    cut_by = numbers.plural(columns["estimate"], "column")
    size = f"{value(rows, words)} rows of {rows['source_table']}{weighted} for {cut_by}"
    enough = "enough" if is_enough else "too few to be sure, so look at the stability first"
    heads = ("what a cut needs", "found", "there")
    return (
        Table(heads, tuple(cells), (False, True, False), title, claims=tuple(cited)),
        stating(f"{size}: {enough} (advised are {value(advised, words)}).", rows, columns, advised, counted),
        stating(
            f"A cut has to do without: {lacking}." if lacking else "Everything that a cut needs is there.",
            *(claim for _, found, _ in checks for claim in found if claim),
        ),
        *_remarks(shown, effective),
    )


def _remarks(shown: Evidence, effective: Claim | None) -> list[Sentence]:
    """What is weighted, whose answers have no weight, what nobody can be compared by, and what looks like a leak."""
    words, lost, said = shown.words, shown.first("n_without_weight"), []
    if effective is not None:
        said.append(stating(
            "Answers count by their weights: segments, shares, sizes, means and comparisons are the market's, not the "
            "sample's; effective n is how many answers of equal weight would be as sure. Counted by heads are missing "
            "answers, what goes together, and how well segments are recognised.", effective))  # fmt: skip
    if lost is not None:
        text = f"{value(lost, words)} of {numbers.count(lost['n'])} respondents have no weight and are left out: "
        said.append(stating(f"{text}nobody knows how many people they stand for.", lost))
    for claim in records(shown.of("n_values")):
        name, table = str(claim["field"]), claim["source_table"]
        text = f"{words.column(name)} ({name} of {table}) looks like {claim['level']}: "
        text += f"{numbers.count(claim['estimate'])} values among {numbers.count(claim['n'])} records; it is kept out "
        text += "of rules, segments, comparisons and scores. List it under [checked] of market.toml if it is a field."
        said.append(stating(text, claim))
    if names := ", ".join(words.column(name) for name in shown.result("kept_out") or ()):
        text = f"Kept out of segments, rules and comparisons, since they look like leaks of the outcome: {names}"
        said.append(Sentence(f"{text}. 03 leads says why."))
    return said


def _state_answers(answer: Answer, known: Sample) -> None:
    least, pairs = answer.arguments["least"], answer.arguments["pairs"]
    if is_too_small(answer, known, least or FEWEST_ROWS, "explore"):
        return
    items, origin = known.rows[known.items], answer.origin(known.days)
    missing = [(name, items[name].isna().sum(), len(items)) for name in known.items]
    stated = [row | {"field": row["level"], "level": ""} for row in rates(missing, "")]
    answer.estimate(stated, origin, "missing_share")
    strongest = associations(items).head(pairs)
    named = [[_answer(str(name), items) for name in strongest[of]] for of in ("first", "second")]
    looks = strongest.assign(field=[field for field, _ in named[0]], level=[level for _, level in named[0]])
    within = [field if level in ("", "yes") else f"{field}={level}" for field, level in named[1]]
    compared = gain_looks(looks, origin, measure="association").assign(within=within)
    answer.compare(compared, AssociationRedraw(items, pairs))
    found = components(items, answer.now.situation.rng("explore"))
    stands_out = (found["share"] > found["shuffled"]).astype(bool)
    n = int(stands_out.cumprod().sum()) if len(found) else 0
    rows = pd.DataFrame({"estimate": found["share"], "baseline": found["shuffled"], "field": "component"})
    rows = rows.assign(level=found["component"].astype(str), n=len(items))
    answer.estimate(rows, origin, "component_share")
    answer.count([{"estimate": n, "n": len(items)}], origin, "n_dimensions")
    answer.results["n_dimensions"] = n
    everybody = pd.Series(MARKET, index=items.index)
    weights = None if known.weights is None else known.weights.to_numpy(dtype=float)
    shares = shares_of(known, everybody, profile_of(items, everybody, weights).tail(1))
    answer.estimate(shares, origin, "profile_share")


def _answer(column: str, rows: pd.DataFrame) -> tuple[str, str]:
    """``field_and_level`` of a column of a profile, where what is true is a yes."""
    field, level = field_and_level(column, rows)
    return field, "yes" if level in _YES else level


def _tall(sample: Sample, labels: pd.Series, table: pd.DataFrame) -> pd.DataFrame:
    """A profile as rows: subject, item, field, level, is_mean, estimate, n, n_effective; groups of ten or more."""
    items = sample.rows[sample.items]
    answered = items.notna().groupby(labels).sum()
    answered.loc[MARKET] = items.notna().sum()
    tall = table.rename_axis("subject").reset_index().melt("subject", value_name="estimate").dropna()
    tall = tall.rename(columns={tall.columns[1]: "item"})
    named = [_answer(str(item), sample.rows) for item in tall["item"]]
    tall = tall.assign(field=[field for field, _ in named], level=[level for _, level in named], n_effective=np.nan)
    tall["is_mean"] = tall["field"].map({name: is_metric(items[name]) for name in items}).astype(bool)
    tall["n"] = [answered.loc[s, f] for s, f in zip(tall["subject"], tall["field"], strict=True)]
    if sample.weights is not None:
        sizes = profile_sizes(items, labels, sample.weights.to_numpy(dtype=float))
        tall["n_effective"] = [sizes.loc[s, item] for s, item in zip(tall["subject"], tall["item"], strict=True)]
    return tall[tall["n"] >= LEAST_SHOWN]


def shares_of(sample: Sample, labels: pd.Series, table: pd.DataFrame) -> pd.DataFrame:
    """The answers of a profile that are shares, with Wilson's interval."""
    tall = _tall(sample, labels, table)
    shares = tall[~tall["is_mean"]]
    sure = shares["n_effective"].fillna(shares["n"])
    low, high = wilson(shares["estimate"] * sure, sure)
    return shares.assign(low=low, high=high)


def means_of(sample: Sample, labels: pd.Series, table: pd.DataFrame) -> pd.DataFrame:
    """The numbers of a profile, with the 90 % interval of their mean (Student's t)."""
    tall = _tall(sample, labels, table)
    means = tall[tall["is_mean"]].assign(level="")
    reach = []
    for subject, field in means[["subject", "field"]].itertuples(index=False):
        members = labels.index if subject == MARKET else labels.index[labels == subject]
        known = sample.rows.loc[members, field].dropna().astype(float)
        n, error = float(len(known)), known.std() / np.sqrt(len(known))
        if sample.weights is not None:
            weights = sample.weights[known.index].to_numpy()
            n, error = effective_size(weights), weighted_mean(known.to_numpy(), weights)[1]
        reach.append(scipy.stats.t.isf(0.05, n - 1) * error)
    spread = np.array(reach, dtype=float)
    return means.assign(low=means["estimate"] - spread, high=means["estimate"] + spread)


def _show_answers(shown: Evidence, title: str) -> Sequence[Piece]:
    words, said = shown.words, []
    shares = shown.of("profile_share").sort_values("estimate", ascending=False, kind="stable")
    name = title or "How common is each answer before any cut?"
    picture = [dots_of(shares, words, name, "share of those who answered")] if len(shares) else []
    found, strongest = shown.first("n_dimensions"), shown.first("component_share", level="1")
    if found is not None and found["estimate"] == 0:
        said.append(stating("No dimension of the answers stands out from shuffled ones.", found))
    elif found is not None:
        stand = " stands" if found["estimate"] == 1 else "s stand"
        text = f"{int(found['estimate'])} dimension{stand} out from shuffled answers"
        if strongest is not None:
            text += f"; the strongest holds {value(strongest, words)} of all variance, shuffled answers reach "
            text += numbers.rate(strongest["baseline"])
        said.append(stating(f"{text}.", found, *([] if strongest is None else [strongest])))
    pair = shown.first("association")  # the pair of answers that goes together most
    if pair is not None and pair["verdict"] != Verdict.SUPPORTED:
        said.append(stating("No two answers are shown to go together.", shown.of("association")))
    elif pair is not None:
        one, (column, _, level) = words.short(str(pair["field"]), pair["level"]), str(pair["within"]).partition("=")
        is_number = where(shares, field=column).empty  # without a level, as a yes is
        other = words.short(column, level or ("" if is_number else "yes"))
        how = "go together most" if pair["estimate"] > 0 else "exclude each other most"
        said.append(stating(f"“{one}” and “{other}” {how}: rank correlation {on_scale(pair)}.", pair))
    missing = shown.of("missing_share").sort_values("estimate", ascending=False, kind="stable")
    for worst in records(missing.head(1)):
        column = str(worst["field"])
        name = words.item(column) if words.is_item(column) else words.column(column)
        text = f"Missing most often: {name}, {backed(worst, words)}."
        is_whole = worst["estimate"] == 0
        said.append(stating("Nothing is missing in any column.", missing) if is_whole else stating(text, worst))
    return (*picture, Listing(said))
