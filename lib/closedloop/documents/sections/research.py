"""The sections of 01 research."""

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.charts import dots, heat, stability
from closedloop.documents.pieces import Sentence
from closedloop.documents.sections.section import Evidence, Pieces, Section, claim_pieces, group_rows, lowest
from closedloop.documents.tables import table


def _sample(shown: Evidence) -> Pieces:
    frame = shown.table("sample")
    row = frame.iloc[0]
    columns = {"source": "made of", "n": "rows", "n_items": "questions or fields", "n_needed": "rows advised",
               "first_on": "first", "last_on": "last"}  # fmt: skip
    enough = "enough" if row["n"] >= row["n_needed"] else "fewer than advised, so look at the stability first"
    text = f"{numbers.count(row['n'])} rows of {row['source']} for {row['n_items']} columns: {enough}."
    return table(frame, columns, shown.words), Sentence(text)


def _criteria(shown: Evidence) -> Pieces:
    k = shown.result("recommended_k")
    title = "How many segments are found again in other samples?"
    found = f"{k} segments are used" if k and k > 1 else "No number of segments can be trusted: one market"
    lowest, highest = shown.result("lowest_k"), shown.result("highest_k")
    spread = f"; the criteria name {lowest} to {highest}" if lowest and lowest != highest else ""
    verdict = str(shown.result("verdict") or "not judged")
    picture = stability(shown.table("criteria"), title, recommended=k if k and k > 1 else None)
    return picture, Sentence(f"{found}; verdict: {verdict}{spread}.")


def _slsw(shown: Evidence) -> Pieces:
    frame = shown.table("slsw")
    chosen = frame[frame["k"] == shown.result("recommended_k")]
    if chosen.empty:
        return (Sentence("There is one market only, so no single segment can be weak."),)
    named = chosen.assign(segment=[_segment(name, shown) for name in chosen["segment"]])
    weakest = lowest(named, "slsw")
    columns = {"segment": "segment", "size": "rows", "slsw": "found again (1 is always)"}
    text = f"The weakest segment is {weakest['segment']}: found again at {weakest['slsw']:.2f} on a scale to 1."
    return table(named, columns, shown.words, units={"slsw": "ratio"}), Sentence(text)


def _profile(shown: Evidence) -> Pieces:
    frame = shown.table("profile")
    labels = [shown.words.item(str(item)) for item in frame["item"]]
    segments = [_segment_label(row, shown) for _, row in frame.iterrows()]
    wide = frame.assign(item=labels, segment=segments).pivot_table(
        index="item", columns="segment", values="share", sort=False
    )
    order = (wide.max(axis=1) - wide.min(axis=1)).sort_values(ascending=False, kind="stable").index
    is_share = bool(frame["share"].between(0, 1).all())
    picture = heat(wide.loc[order], "What tells the segments apart?", unit="rate" if is_share else "ratio")
    return picture, Sentence(f"The segments differ most on: {', '.join(map(str, order[:3]))}.")


def _segment(name: object, shown: Evidence) -> str:
    return shown.words.name(str(name))


def _segment_label(row: pd.Series, shown: Evidence) -> str:
    return f"{_segment(row['segment'], shown)} (n = {numbers.count(row['n'])})"


def _segments(shown: Evidence) -> Pieces:
    frame = shown.table("segments").sort_values("share", ascending=False, kind="stable")
    labels = [_segment(name, shown) for name in frame["segment"]]
    picture = dots(group_rows(frame, labels, "share"), "How large is each segment?", "share of the market")
    top = frame.iloc[0]
    ends = numbers.interval(top["low"], top["high"], "rate", "")
    text = f"The largest is {labels[0]}: {numbers.rate(top['share'])} of the market ({ends})"
    accounts = top.get("n_accounts")
    reach = "" if numbers.is_missing(accounts) else f", about {numbers.count(accounts)} known accounts"
    return picture, Sentence(f"{text}{reach}.")


def _differences(shown: Evidence) -> Pieces:
    title = "Where do segments differ on what they were not made from?"
    return claim_pieces(shown.of("share"), shown.words, title, "share of the segment")


RESEARCH = (
    Section("research", "sample", "Whom do we know about?", _sample, ("sample",)),
    Section("research", "criteria", "How many segments can be trusted?", _criteria, ("criteria",)),
    Section("research", "slsw", "Is every segment found again?", _slsw, ("slsw",)),
    Section("research", "profile", "What tells the segments apart?", _profile, ("profile",), ("needs",)),
    Section("research", "segments", "How large is each segment?", _segments, ("segments",)),
    Section("research", "described", "What else is different about them?", _differences, ()),
)
