"""The sections of 01 research."""

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.charts import heat, stability
from closedloop.documents.findings import Column, backed, dots_of, first, table_of, value, where
from closedloop.documents.pieces import Sentence, stating
from closedloop.documents.sections.section import Evidence, Pieces, Section, claim_pieces, level_of
from closedloop.documents.wording import records


def sample(shown: Evidence) -> Sentence:
    """How many rows of what were cut by how many columns, and whether they are enough."""
    rows, columns, advised = (shown.first(name) for name in ("n_rows", "n_columns", "n_advised"))
    if rows is None or columns is None or advised is None:
        return Sentence("Nothing is recorded that could be cut into segments.")
    enough = (
        "enough" if rows["estimate"] >= advised["estimate"] else "too few to be sure, so look at the stability first"
    )
    text = f"{value(rows, shown.words)} rows of {rows['source_table']} for {value(columns, shown.words)} columns: "
    return stating(f"{text}{enough} (advised are {value(advised, shown.words)}).", rows, columns, advised)


def _sample(shown: Evidence) -> Pieces:
    return (sample(shown),)


def chosen(shown: Evidence) -> pd.DataFrame:
    """The claims on the number of segments that is used, and on those that the criteria name."""
    numbers_of = (shown.result(name) for name in ("recommended_k", "lowest_k", "highest_k"))
    named = {str(k) for k in numbers_of if k}
    return shown.cell("criteria")[shown.cell("criteria")["level"].isin(named)]


def _criteria(shown: Evidence) -> Pieces:
    k = shown.result("recommended_k")
    title = "How many segments are found again in other samples?"
    found = f"{k} segments are used" if k and k > 1 else "No number of segments can be trusted: one market"
    lowest, highest = shown.result("lowest_k"), shown.result("highest_k")
    spread = f"; the criteria name {lowest} to {highest}" if lowest and lowest != highest else ""
    verdict = str(shown.result("verdict") or "not judged")
    picture = stability(shown.of("ari"), shown.of("ari_shuffled"), title, recommended=k if k and k > 1 else None)
    columns: dict[str, str | tuple[str, Column]] = {
        "ari": "found again",
        "ari_shuffled": "shuffled answers",
        "bic": "BIC (lower is better)",
        "icl": "ICL (lower is better)",
        "held_out_log_likelihood": "held-out log-likelihood",
    }
    label = level_of(shown.words)
    listed = table_of(shown.cell("criteria").sort_values("level"), shown.words, "segments", columns, label=label)
    return picture, stating(f"{found}; verdict: {verdict}{spread}.", chosen(shown)), listed


def _slsw(shown: Evidence) -> Pieces:
    claims = shown.of("slsw")
    if claims.empty:
        return (Sentence("There is one market only, so no single segment can be weak."),)
    columns: dict[str, str | tuple[str, Column]] = {
        "n": ("rows", lambda row: numbers.count(row["slsw"]["n"])),
        "slsw": "found again (1 is always)",
    }
    weakest = records(claims.sort_values("estimate", kind="stable").head(1))[0]
    name, found = level_of(shown.words), numbers.plain(weakest["estimate"])
    text = f"The weakest segment is {name(weakest)}: found again at {found} on a scale to 1."
    return table_of(claims, shown.words, "segment", columns, label=name), stating(text, weakest)


def _profile(shown: Evidence) -> Pieces:
    claims = shown.of("profile_share", "profile_mean")
    claims = claims[claims["subject"] != "market"]
    labels = [shown.words.item(f, v) if v else shown.words.column(f) for f, v in claims[["field", "level"]].to_numpy()]
    segments = [f"{shown.words.name(str(s))} (n = {numbers.count(n)})" for s, n in _sizes(claims).items()]
    wide = claims.assign(item=labels).pivot_table(index="item", columns="subject", values="estimate", sort=False)
    order = (wide.max(axis=1) - wide.min(axis=1)).sort_values(ascending=False, kind="stable").index
    unit = "rate" if (claims["unit"] == "rate").all() else "ratio"
    drawn = wide.loc[order].set_axis(segments, axis=1)
    picture = heat(drawn, claims.assign(item=labels), "What tells the segments apart?", unit=unit)
    return picture, stating(f"The segments differ most on: {', '.join(map(str, order[:3]))}.", claims)


def _sizes(claims: pd.DataFrame) -> pd.Series:
    """The rows of each segment: the most that answered any question."""
    return claims.groupby("subject", sort=False)["n"].max()


def _segments(shown: Evidence) -> Pieces:
    claims = shown.of("segment_share").sort_values("estimate", ascending=False, kind="stable")
    name = level_of(shown.words)
    picture = dots_of(claims, shown.words, "How large is each segment?", "share of the market", name)
    top = records(claims.head(1))[0]
    accounts = first(shown.of("n_accounts"), level=str(top["level"]))
    reach = "" if accounts is None else f", about {value(accounts, shown.words)} known accounts"
    text = f"The largest is {name(top)}: {backed(top, shown.words)} of the market{reach}."
    return picture, stating(text, *([top] if accounts is None else [top, accounts]))


def _differences(shown: Evidence) -> Pieces:
    title = "Where do segments differ on what they were not made from?"
    return claim_pieces(where(shown.of("share"), notebook="01_research"), shown.words, title, "share of the segment")


RESEARCH = (
    Section("research", "sample", "Whom do we know about?", _sample, measures=("n_rows",)),
    Section("research", "criteria", "How many segments can be trusted?", _criteria, measures=("bic",)),
    Section("research", "slsw", "Is every segment found again?", _slsw),
    Section(
        "research",
        "profile",
        "What tells the segments apart?",
        _profile,
        (),
        ("needs",),
        ("profile_share", "profile_mean"),
    ),
    Section("research", "segments", "How large is each segment?", _segments, measures=("segment_share",)),
    Section("research", "described", "What else is different about them?", _differences, ()),
)
