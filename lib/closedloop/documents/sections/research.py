"""The sections of 01 research."""

from functools import partial

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.cases import cases
from closedloop.documents.charts import heat
from closedloop.documents.findings import Claim, Column, backed, dots_of, first, table_of, value, where
from closedloop.documents.pieces import Listing, Sentence, stating
from closedloop.documents.sections.section import Evidence, Pieces, Section, claim_pieces, level_of
from closedloop.documents.sections.targets import HELD, IDEAL, OFFER, SEGMENTING, TARGETS, on_scale
from closedloop.documents.segment_charts import stability
from closedloop.documents.wording import records
from closedloop.terms import Verdict

_NAMED = ("recommended_k", "lowest_k", "highest_k", "bic_k", "icl_k", "held_out_k")
_FIT = {"bic_k": "BIC", "icl_k": "ICL", "held_out_k": "held-out rows"}
_MEANINGS = {
    "natural": "which means clear groups that every criterion sees",
    "reproducible": "which means found again in other samples, though without clear gaps between them",
    "constructive": "which means a useful way to cut a market that changes without steps",
    "no segments": "which means that no cut comes back in other samples",
}


def sample(shown: Evidence) -> Sentence:
    """How many rows of what were cut by how many columns, and whether they are enough."""
    rows, columns, advised = (shown.first(name) for name in ("n_rows", "n_columns", "n_advised"))
    if rows is None or columns is None or advised is None:
        return Sentence("Nothing is recorded that could be cut into segments.")
    worth = shown.first("n_effective_rows")
    counted = rows if worth is None else worth
    enough = (
        "enough" if counted["estimate"] >= advised["estimate"] else "too few to be sure, so look at the stability first"
    )
    told = "" if worth is None else f", as sure as {value(worth, shown.words)} of equal weight,"
    text = (
        f"{value(rows, shown.words)} rows of {rows['source_table']}{told} for {value(columns, shown.words)} columns: "
    )
    return stating(f"{text}{enough} (advised are {value(advised, shown.words)}).", rows, columns, advised, counted)


def _sample(shown: Evidence) -> Pieces:
    return sample(shown), *_weights(shown), *map(partial(_held_back, shown), records(shown.of("n_values")))


def _held_back(shown: Evidence, claim: Claim) -> Sentence:
    """A field by which nobody can be compared, and how to vouch for it."""
    name, table = claim["field"], claim["source_table"]
    n_values, n = numbers.count(claim["estimate"]), numbers.count(claim["n"])
    text = f"{shown.words.column(str(name))} ({name} of {table}) looks like {claim['level']}: {n_values} values among "
    text += f"{n} records; it is kept out of rules, segments, comparisons"
    return stating(f"{text} and scores. List it under [checked] of market.toml if it is a field.", claim)


def _weights(shown: Evidence) -> list[Sentence]:
    """What is weighted and what is not, and whose answers have no weight; nothing where none is recorded."""
    worth, lost = shown.first("n_effective_rows"), shown.first("n_without_weight")
    said = []
    if worth is not None:
        said.append(stating(
            "Answers count by their weights: segments, shares, sizes, means and comparisons are the market's, not the "
            "sample's; effective n is how many answers of equal weight would be as sure. Counted by heads are missing "
            "answers, what goes together, and how well segments are recognised.", worth))  # fmt: skip
    if lost is not None:
        text = (
            f"{value(lost, shown.words)} of {numbers.count(lost['n'])} respondents have no weight and are left out: "
            "nobody knows how many people they stand for."
        )
        said.append(stating(text, lost))
    return said


def chosen(shown: Evidence) -> pd.DataFrame:
    """The claims on the number of segments that is used, and on those that the criteria name."""
    named = {str(k) for k in (shown.result(name) for name in _NAMED) if k}
    return shown.cell("criteria")[shown.cell("criteria")["level"].isin(named)]


def _criteria(shown: Evidence) -> Pieces:
    k = shown.result("recommended_k")
    title = "How many segments can be trusted, and what else speaks for a number?"
    picture = stability(shown.cell("criteria"), title, recommended=k if k and k > 1 else None)
    columns: dict[str, str | tuple[str, Column]] = {
        "ari": "found again",
        "ari_shuffled": "shuffled answers",
        "weakest_slsw": "weakest segment",
        "bic": "BIC (lower is better)",
        "icl": "ICL (lower is better)",
        "held_out_log_likelihood": "held-out log-likelihood",
    }
    listed = shown.cell("criteria").sort_values("level", kind="stable")
    told = table_of(listed, shown.words, "segments", columns, label=level_of(shown.words))
    return picture, Listing([_reason(shown), _range(shown), verdict(shown)]), told


def _reason(shown: Evidence) -> Sentence:
    """Why this number of segments, in one sentence."""
    k = shown.result("recommended_k")
    if not k or k == 1:
        return _no_reason(shown)
    whole, shuffled, weakest = (shown.first(name, level=str(k)) for name in ("ari", "ari_shuffled", "weakest_slsw"))
    text = f"{k} segments are used: the largest number that is found again"
    if whole is None or shuffled is None or weakest is None:
        return stating(f"{text}.", chosen(shown))
    found, asked, luck, least = (
        numbers.decimal(part) for part in
        (whole["estimate"], whole["baseline"], shuffled["estimate"], weakest["estimate"])
    )  # fmt: skip
    text += f" (agreement {found} where {asked} is asked, and {luck} for shuffled answers) with every segment"
    return stating(f"{text} (the weakest {least}).", whole, shuffled, weakest)


def _no_reason(shown: Evidence) -> Sentence:
    """Why no number of segments is used, beside the one that came closest."""
    text = "No number of segments can be trusted: one market"
    tried = shown.of("ari").sort_values("estimate", ascending=False, kind="stable")
    if tried.empty:
        return stating(f"{text}.", chosen(shown))
    best = records(tried.head(1))[0]
    weakest = shown.first("weakest_slsw", level=str(best["level"]))
    beside = "" if weakest is None else f", its weakest segment at {numbers.decimal(weakest['estimate'])}"
    found, asked = numbers.decimal(best["estimate"]), numbers.decimal(best["baseline"])
    text += f". The best number, {best['level']}, is found again at {found}{beside}; {asked} is asked of both."
    return stating(text, *[claim for claim in (best, weakest) if claim is not None])


def _range(shown: Evidence) -> Sentence:
    """What fit alone would choose, and how far the criteria lie apart."""
    preferred = {name: shown.result(key) for key, name in _FIT.items()}
    told = ", ".join(f"{name} {'one market' if k == 1 else k}" for name, k in preferred.items() if k)
    lowest, highest = shown.result("lowest_k"), shown.result("highest_k")
    if not lowest or lowest == highest:
        return stating("The criteria agree on the number." if told else "No other criterion could be computed.",
                       chosen(shown))  # fmt: skip
    apart = f"The criteria name {lowest} to {highest}"
    tail = "fit alone goes on rewarding finer cuts, and only what is found again can be worked with"
    return stating(f"{apart}{f' ({told})' if told else ''}: {tail}.", chosen(shown))


def verdict(shown: Evidence) -> Sentence:
    """The word for the kind of segments, and what it means."""
    word = str(shown.result("verdict") or "not judged")
    meaning = f", {_MEANINGS[word]}" if word in _MEANINGS else ""
    return stating(f"Verdict: {word}{meaning}.", chosen(shown))


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
    segments = [f"{shown.words.name(str(claim['subject']))} ({cases(claim)})" for claim in _largest(claims)]
    wide = claims.assign(item=labels).pivot_table(index="item", columns="subject", values="estimate", sort=False)
    order = (wide.max(axis=1) - wide.min(axis=1)).sort_values(ascending=False, kind="stable").index
    unit = "rate" if (claims["unit"] == "rate").all() else "ratio"
    drawn = wide.loc[order].set_axis(segments, axis=1)
    picture = heat(drawn, claims.assign(item=labels), "What tells the segments apart?", unit=unit)
    return picture, stating(f"They are cut above all by: {', '.join(map(str, order[:3]))}.", claims)


def _largest(claims: pd.DataFrame) -> list[Claim]:
    """Of each segment the claim on the question that most answered, for its size."""
    most = claims.sort_values(["n", "n_effective"], ascending=False, kind="stable")
    return [records(most[most["subject"] == subject].head(1))[0] for subject in claims["subject"].unique()]


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
    return claim_pieces(where(shown.of("share"), cell="described"), shown.words, title, "share of the segment")


def _explore(shown: Evidence) -> Pieces:
    """Shares of all answers, what goes together, and where answers are missing."""
    shares = shown.of("profile_share")
    shares = shares[shares["subject"] == "market"].sort_values("estimate", ascending=False, kind="stable")
    title = "How common is each answer before any cut?"
    picture = [dots_of(shares, shown.words, title, "share of those who answered")] if len(shares) else []
    said = [*_dimensions(shown), *_together(shown), *_gaps_in_answers(shown)]
    return (*picture, Listing(said))


def _dimensions(shown: Evidence) -> list[Sentence]:
    found = shown.first("n_dimensions")
    if found is None:
        return []
    n = int(found["estimate"])
    if n == 0:
        return [stating("No dimension of the answers stands out from shuffled ones.", found)]
    first_one = shown.first("component_share", level="1")
    beside = "" if first_one is None else (
        f"; the strongest holds {value(first_one, shown.words)} of all variance, "
        f"shuffled answers reach {numbers.rate(first_one['baseline'])}"
    )  # fmt: skip
    text = f"{n} dimension{' stands' if n == 1 else 's stand'} out from shuffled answers{beside}."
    return [stating(text, found, *([] if first_one is None else [first_one]))]


def _together(shown: Evidence) -> list[Sentence]:
    """The pair of answers that goes together most."""
    pair = shown.first("association")
    if pair is None:
        return []
    one = shown.words.short(str(pair["field"]), pair["level"])
    name, _, level = str(pair["within"]).partition("=")
    other = shown.words.short(name, level or "yes")
    if pair["verdict"] != Verdict.SUPPORTED:
        return [stating("No two answers are shown to go together.", shown.of("association"))]
    how = "most often come together" if pair["estimate"] > 0 else "exclude each other most"
    return [stating(f"“{one}” and “{other}” {how}: rank correlation {on_scale(pair)}.", pair)]


def _gaps_in_answers(shown: Evidence) -> list[Sentence]:
    claims = shown.of("missing_share").sort_values("estimate", ascending=False, kind="stable")
    worst = records(claims.head(1))
    if not worst or worst[0]["estimate"] == 0:
        return [stating("Nothing is missing in any column.", claims)] if worst else []
    column = worst[0]["field"]
    name = shown.words.item(str(column)) if shown.words.is_item(str(column)) else shown.words.column(str(column))
    return [stating(f"Missing most often: {name}, {backed(worst[0], shown.words)}.", worst[0])]


RESEARCH = (
    SEGMENTING,
    IDEAL,
    Section("research", "sample", "Whom do we know about?", _sample, measures=("n_rows",)),
    Section(
        "research", "explore", "What do the answers look like before any cut?", _explore, measures=("missing_share",)
    ),
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
    TARGETS,
    OFFER,
    HELD,
)
