"""What is answered how often: by everybody before any cut, and in each segment."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy

from closedloop.claims.comparisons import gain_looks
from closedloop.period.counting import LEAST_SHOWN, rates
from closedloop.period.records import Sample
from closedloop.personas.research import FEWEST_ROWS
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Piece, Sentence, stating
from closedloop.presentation.charts import heat
from closedloop.presentation.findings import Claim, backed, dots_of, first, on_scale, value, where
from closedloop.presentation.sentences import cases, records
from closedloop.questions.research.sample import asked_of, days_of, is_too_small
from closedloop.questions.research.segments import of_segments
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
from closedloop.statistics.segmentation.segments import Segmentation
from closedloop.terms import Verdict
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import AssociationRedraw

MARKET = "market"
_MOST_PAIRS = 5
_YES = ("true", "1")


def explore(
    sample: pd.DataFrame,
    by: Sequence[str] | None = None,
    *,
    least: int | None = None,
    pairs: int = _MOST_PAIRS,
    among: str | None = None,
    known_at: str = "",
) -> Answer:
    """How common each answer is, what is missing, what goes together, and how many dimensions stand out.

    ``sample``: one row a person or record; ``by``: the columns to segment by. Shares with Wilson's interval; the
    ``pairs`` strongest rank correlations of two answers, their intervals for all pairs at once; principal components
    beside those of shuffled columns (Horn, 1965). ``least``: fewer rows are not looked at (50). ``among``: which rows
    these are, where a cell chose them; ``known_at``: when that is known.
    """
    now = opened()
    answer = asked_of(now, "explore", "explore", sample, by, _show_explore, among=among, known_at=known_at,
                      least=least, pairs=pairs)  # fmt: skip
    known: Sample = answer.fitted
    if is_too_small(answer, known, least or FEWEST_ROWS, "explore"):
        return answer
    items, origin = known.rows[known.items], answer.origin(days_of(known.rows))
    missing = [(name, items[name].isna().sum(), len(items)) for name in known.items]
    stated = [row | {"field": row["level"], "level": ""} for row in rates(missing, "")]
    answer.estimate(stated, origin, "missing_share")
    strongest = associations(items).head(pairs)
    named = [[_answer(str(name), items) for name in strongest[of]] for of in ("first", "second")]
    looks = strongest.assign(field=[field for field, _ in named[0]], level=[level for _, level in named[0]])
    within = [field if level in ("", "yes") else f"{field}={level}" for field, level in named[1]]
    compared = gain_looks(looks, origin, measure="association").assign(within=within)
    answer.compare(compared, AssociationRedraw(items, pairs))
    found = components(items, now.situation.rng("explore"))
    stands_out = (found["share"] > found["shuffled"]).astype(bool)
    n = int(stands_out.cumprod().sum()) if len(found) else 0
    rows = pd.DataFrame({"estimate": found["share"], "baseline": found["shuffled"], "field": "component"})
    rows = rows.assign(level=found["component"].astype(str), n=len(items))
    answer.estimate(rows, origin, "component_share")
    answer.count([{"estimate": n, "n": len(items)}], origin, "n_dimensions")
    answer.results["n_dimensions"] = n
    everybody = pd.Series(MARKET, index=items.index)
    shares = _shares(known, everybody, profile_of(items, everybody, _weights(known)).tail(1))
    answer.estimate(shares, origin, "profile_share")
    return answer


def profile(found: Answer) -> Answer:
    """Every answer in every segment beside the market's, and how large each segment is.

    ``found``: of ``segments``. Shares with Wilson's interval, numbers as means with Student's; of a weighted survey
    both are weighted, with the effective n. They made the segments, so they describe them and prove nothing.
    """
    answer = of_segments("profile", "profile", found, _show_profile)
    known, segmentation = answer.fitted
    if segmentation is None:
        answer.missing |= dict.fromkeys(("profile", "segments"), found.missing["criteria"])
        return answer
    labels, origin = segmentation.labels.astype(str), answer.origin(days_of(known.rows))
    shares = _shares(known, labels, segmentation.profile)
    is_market = shares["subject"] == MARKET  # of everybody before any cut: as ``explore`` says it
    answer.estimate(shares[~is_market], origin, "profile_share")
    answer.estimate(shares[is_market], answer.origin(days_of(known.rows), "explore"), "profile_share")
    answer.estimate(_means(known, labels, segmentation.profile), origin, "profile_mean", unit="ratio")
    _state_sizes(answer, segmentation)
    return answer


def _state_sizes(answer: Answer, found: Segmentation) -> None:
    """How large each segment is, and about how many of the known accounts it holds."""
    situation, origin = answer.now.situation, answer.origin(days_of(answer.rows), "segments")
    rows = found.sizes.assign(estimate=found.sizes["share"], field="segment", level=found.sizes["segment"].astype(str))
    rows["n"] = len(found.labels)
    answer.estimate(rows, origin, "segment_share")
    if situation.holds("accounts"):
        n = int(situation.view.known("accounts").count().execute())
        scaled = {name: rows[name] * n for name in ("estimate", "low", "high")}
        answer.estimate(rows.assign(**scaled), origin, "n_accounts", unit="count")


def _weights(sample: Sample) -> np.ndarray | None:
    return None if sample.weights is None else sample.weights.to_numpy(dtype=float)


def _answer(column: str, rows: pd.DataFrame) -> tuple[str, str]:
    """``field_and_level`` of a column of a profile, where what is true is a yes."""
    field, level = field_and_level(column, rows)
    return field, "yes" if level in _YES else level


def _tall(sample: Sample, labels: pd.Series, table: pd.DataFrame) -> pd.DataFrame:
    """A profile as rows: subject, item, field, level, estimate, n, n_effective; groups of ten or more."""
    answered = sample.rows[sample.items].notna().groupby(labels).sum()
    answered.loc[MARKET] = sample.rows[sample.items].notna().sum()
    tall = table.rename_axis("subject").reset_index().melt("subject", value_name="estimate").dropna()
    tall = tall.rename(columns={tall.columns[1]: "item"})
    named = [_answer(str(item), sample.rows) for item in tall["item"]]
    tall = tall.assign(field=[field for field, _ in named], level=[level for _, level in named], n_effective=np.nan)
    tall["n"] = [answered.loc[s, f] for s, f in zip(tall["subject"], tall["field"], strict=True)]
    weights = _weights(sample)
    if weights is not None:
        sizes = profile_sizes(sample.rows[sample.items], labels, weights)
        tall["n_effective"] = [sizes.loc[s, item] for s, item in zip(tall["subject"], tall["item"], strict=True)]
    return tall[tall["n"] >= LEAST_SHOWN]


def _shares(sample: Sample, labels: pd.Series, table: pd.DataFrame) -> pd.DataFrame:
    """The answers of a profile that are shares, with Wilson's interval."""
    tall = _tall(sample, labels, table)
    shares = tall[~_is_mean(sample, tall)]
    sure = shares["n_effective"].fillna(shares["n"])
    low, high = wilson(shares["estimate"] * sure, sure)
    return shares.assign(low=low, high=high)


def _means(sample: Sample, labels: pd.Series, table: pd.DataFrame) -> pd.DataFrame:
    """The numbers of a profile, with the 90 % interval of their mean (Student's t)."""
    tall = _tall(sample, labels, table)
    means = tall[_is_mean(sample, tall)].assign(level="")
    reach = []
    for subject, field in means[["subject", "field"]].itertuples(index=False):
        members = labels.index if subject == MARKET else labels.index[labels == subject]
        known = sample.rows.loc[members, field].dropna().astype(float)
        if sample.weights is None:
            reach.append(scipy.stats.t.isf(0.05, len(known) - 1) * known.std() / np.sqrt(len(known)))
        else:
            weights = sample.weights[known.index].to_numpy()
            error = weighted_mean(known.to_numpy(), weights)[1]
            reach.append(scipy.stats.t.isf(0.05, effective_size(weights) - 1) * error)
    spread = np.array(reach, dtype=float)
    return means.assign(low=means["estimate"] - spread, high=means["estimate"] + spread)


def _is_mean(sample: Sample, tall: pd.DataFrame) -> "pd.Series[bool]":
    return tall["field"].map({name: is_metric(sample.rows[name]) for name in sample.items}).astype(bool)


def _show_explore(shown: Evidence, title: str) -> Sequence[Piece]:
    shares = shown.of("profile_share").sort_values("estimate", ascending=False, kind="stable")
    name = title or "How common is each answer before any cut?"
    picture = [dots_of(shares, shown.words, name, "share of those who answered")] if len(shares) else []
    return (*picture, Listing([*_dimensions(shown), *_together(shown), *_missing_answers(shown)]))


def _dimensions(shown: Evidence) -> list[Sentence]:
    found = shown.first("n_dimensions")
    if found is None:
        return []
    n = int(found["estimate"])
    if n == 0:
        return [stating("No dimension of the answers stands out from shuffled ones.", found)]
    strongest = shown.first("component_share", level="1")
    beside = "" if strongest is None else (
        f"; the strongest holds {value(strongest, shown.words)} of all variance, "
        f"shuffled answers reach {numbers.rate(strongest['baseline'])}"
    )  # fmt: skip
    text = f"{n} dimension{' stands' if n == 1 else 's stand'} out from shuffled answers{beside}."
    return [stating(text, found, *([] if strongest is None else [strongest]))]


def _together(shown: Evidence) -> list[Sentence]:
    """The pair of answers that goes together most."""
    pair = shown.first("association")
    if pair is None:
        return []
    if pair["verdict"] != Verdict.SUPPORTED:
        return [stating("No two answers are shown to go together.", shown.of("association"))]
    one = shown.words.short(str(pair["field"]), pair["level"])
    name, _, level = str(pair["within"]).partition("=")
    is_number = where(shown.of("profile_share"), field=name).empty  # without a level, as a yes is
    other = shown.words.short(name, level or ("" if is_number else "yes"))
    how = "go together most" if pair["estimate"] > 0 else "exclude each other most"
    return [stating(f"“{one}” and “{other}” {how}: rank correlation {on_scale(pair)}.", pair)]


def _missing_answers(shown: Evidence) -> list[Sentence]:
    claims = shown.of("missing_share").sort_values("estimate", ascending=False, kind="stable")
    worst = records(claims.head(1))
    if not worst or worst[0]["estimate"] == 0:
        return [stating("Nothing is missing in any column.", claims)] if worst else []
    column = str(worst[0]["field"])
    name = shown.words.item(column) if shown.words.is_item(column) else shown.words.column(column)
    return [stating(f"Missing most often: {name}, {backed(worst[0], shown.words)}.", worst[0])]


def _show_profile(shown: Evidence, title: str) -> Sequence[Piece]:
    claims, words = shown.of("profile_share", "profile_mean"), shown.words
    claims = claims[claims["subject"] != MARKET]
    labels = [words.item(f, v) if v else words.column(f) for f, v in claims[["field", "level"]].to_numpy()]
    most = claims.sort_values(["n", "n_effective"], ascending=False, kind="stable")
    largest = [records(most[most["subject"] == name].head(1))[0] for name in claims["subject"].unique()]
    segments = [f"{words.name(str(claim['subject']))} ({cases(claim)})" for claim in largest]
    wide = claims.assign(item=labels).pivot_table(index="item", columns="subject", values="estimate", sort=False)
    if len(segments) == 1:
        return (stating("There is one market without segments, so nothing tells any apart.", claims),)
    order = (wide.max(axis=1) - wide.min(axis=1)).sort_values(ascending=False, kind="stable").index
    unit = "rate" if (claims["unit"] == "rate").all() else "ratio"
    drawn = wide.loc[order].set_axis(segments, axis=1)
    name = title or "What tells the segments apart?"
    return (
        heat(drawn, claims.assign(item=labels), name, unit=unit),
        stating(f"They are cut above all by: {', '.join(map(str, order[:3]))}.", claims),
        *_show_sizes(shown),
    )


def _show_sizes(shown: Evidence) -> Sequence[Piece]:
    claims = shown.of("segment_share").sort_values("estimate", ascending=False, kind="stable")
    name = level_of(shown.words)
    top: Claim = records(claims.head(1))[0]
    accounts = first(shown.of("n_accounts"), level=str(top["level"]))
    reach = "" if accounts is None else f", about {value(accounts, shown.words)} known accounts"
    text = f"The largest is {name(top)}: {backed(top, shown.words)} of the market{reach}."
    picture = dots_of(claims, shown.words, "How large is each segment?", "share of the market", name)
    return picture, stating(text, *([top] if accounts is None else [top, accounts]))
