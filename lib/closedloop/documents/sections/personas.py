"""The sections of 02 personas."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, Column, backed, dots_of, first, joined, table_of, value, where
from closedloop.documents.persona_diff import detail
from closedloop.documents.persona_names import default_name
from closedloop.documents.pieces import Note, Query, Sentence, span, stating
from closedloop.documents.rule_words import makeup
from closedloop.documents.sections.conversions import conversions
from closedloop.documents.sections.persona_sheet import (
    actions,
    attribute_table,
    avoid,
    funnel,
    history,
    no_different,
    stability,
)
from closedloop.documents.sections.section import Evidence, Pieces, Section, claim_pieces, compared, level_of
from closedloop.documents.summaries import summary
from closedloop.documents.tables import Table, table
from closedloop.documents.wording import capital, records
from closedloop.loop.comparisons import CONVERSION, TURNS

SAME = "Nothing changed since the last period."


def counted_personas(shown: Evidence) -> Sentence:
    """How many personas are in force, and how many of them rest on no outcome yet."""
    n, assumed = shown.first("n_personas"), shown.first("n_assumed")
    if n is None or assumed is None:
        return Sentence("No persona is in force.")
    held = "all rest on outcomes"
    if shown.result("only_won"):
        held = "what they promise cannot be told: only won deals are recorded"
    elif assumed["estimate"]:
        held = f"{value(assumed, shown.words)} still assumed, without outcomes of its own"
    return stating(f"{value(n, shown.words)} persona{'s' if n['estimate'] != 1 else ''}; {held}.", n, assumed)


def _persona_shares(shown: Evidence) -> Pieces:
    claims = shown.of("persona_share").sort_values("estimate", ascending=False, kind="stable")
    axis = "share of those it was made from"
    picture = dots_of(claims, shown.words, "Who is in the market?", axis, level_of(shown.words))
    columns: dict[str, str | tuple[str, Column]] = {
        "persona_share": "share",
        "promised_before": ("win rate promised last", "backed"),
        "came_win_rate": ("it was", "backed"),
        "promised_win_rate": ("promised now", "backed"),
        "basis": ("rests on", lambda row: _basis(row, shown)),
    }
    both = pd.concat([claims, shown.of("promised_before", "came_win_rate", "promised_win_rate", "n_promised_won")])
    return (
        picture,
        counted_personas(shown),
        table_of(both, shown.words, "persona", columns, label=level_of(shown.words)),
    )


def _basis(row: Mapping[str, Claim], shown: Evidence) -> str:
    """The deals that a promise rests on."""
    promise, won = row.get("promised_win_rate"), row.get("n_promised_won")
    if shown.result("only_won"):
        return "no win rate: only won deals are recorded"
    if promise is None or won is None:
        return "assumed: too few deals of its own"
    return f"{value(won, shown.words)} won of {numbers.count(promise['n'])} decided, {span(promise)}"


def _rules(shown: Evidence) -> Pieces:
    """What most of each persona are; the whole rule, in words and as SQL, is folded away."""
    shares = shown.of("member_share")
    told = [(name, makeup(where(shares, subject=name), shown.words)) for name in shown.rules]
    rows = tuple((shown.words.name(name), said.text) for name, found in told for said in found)
    cited = tuple(said.claims for _, found in told for said in found)
    ways = [f"{capital(shown.words.told(name))}: {way}" for name, found in shown.rules.items() for way in found]
    queries = [Query("The same rule as SQL", str(text)) for text in shown.table("set").get("sql", [])]
    listed = [Table(("persona", "who they are"), rows, (False, False), claims=cited)] if rows else []
    return *listed, rule_quality(shown), Query("The whole rule in words", "\n".join(ways)), *queries


def rule_quality(shown: Evidence) -> Sentence:
    """How often the rule errs, beside guessing."""
    error, guess = shown.first("rule_error"), shown.first("guess_error")
    if error is None or guess is None:
        return Sentence("How often the rule errs could not be measured.")
    text = f"The rule errs on {backed(error, shown.words)} of unseen cases, guessing the largest persona on "
    return stating(f"{text}{value(guess, shown.words)}.", error, guess)


def _attributes(shown: Evidence) -> Pieces:
    listed = attribute_table(shown)
    said = [joined(summary(shown.of("share"), shown.words))] if listed else compared(shown.of("share"), shown.words)
    pieces = (listed, *said, no_different(shown), *_measured_on(shown))
    return tuple(piece for piece in pieces if piece is not None)


def _measured_on(shown: Evidence) -> Pieces:
    """On whom the attributes were measured, how old that is, and how each row came to its persona."""
    n = shown.first("n_described")
    if n is None:
        return ()
    when = (
        str(n["first_period"])
        if n["first_period"] == n["last_period"]
        else f"{n['first_period']} to {n['last_period']}"
    )
    told = stating(f"Measured on {value(n, shown.words)} rows of {n['source_table']}, {when}.", n)
    is_fair = bool(shown.table("set").get("is_cross_fitted", pd.Series([False])).iloc[0])
    how = "by rules learned on the others, so that no answer proves itself" if is_fair else "by the rule in force"
    return told, Note(f"Each row was assigned to its persona {how}.")


def _win_by_persona(shown: Evidence) -> Pieces:
    if len(shown.of(CONVERSION)):
        return conversions(shown, "win_rate")
    title = "Which personas are won more often?"
    claims = shown.of("win_rate", *TURNS.values())
    return claim_pieces(claims[claims["field"] == "persona"], shown.words, title, "share of decided deals won")


def _nearest(shown: Evidence) -> Pieces:
    best = {row["persona"]: row for row in records(shown.table("nearest"))}
    shares = shown.of("share")

    def share_of(role: str) -> Column:
        def told(row: Mapping[str, Claim]) -> str:
            pair = best[row["mean_difference"]["subject"]]
            found = first(shares, subject=pair[role], field=pair["field"], level=pair["level"])
            return value(found, shown.words)

        return told

    claims = shown.of("mean_difference").sort_values("estimate", kind="stable")
    columns: dict[str, str | tuple[str, Column]] = {
        "nearest": ("most alike", lambda row: level_of(shown.words)(row["mean_difference"])),
        "difference": ("largest difference", lambda row: _said(best[row["mean_difference"]["subject"]], shown)),
        "share": ("share here", share_of("persona")),
        "nearest_share": ("share there", share_of("nearest")),
    }
    listed = table_of(claims, shown.words, "persona", columns, label=lambda claim: shown.words.name(claim["subject"]))
    told = [_pair_of(shares, best[subject]) for subject in claims["subject"].head(len(listed.rows))]
    closest = records(claims.head(1))[0]
    alike = " and ".join(map(shown.words.told, (closest["subject"], closest["level"])))
    cited = tuple((*ids, *found) for ids, found in zip(listed.claims, told, strict=True))
    return replace(listed, claims=cited), stating(f"Look twice before you tell them apart: {alike}.", closest)


def _said(pair: Mapping[str, str], shown: Evidence) -> str:
    return shown.words.short(pair["field"], pair["level"])


def _pair_of(shares: pd.DataFrame, pair: Mapping[str, str]) -> tuple[str, ...]:
    """The ids of the claims on the attribute in both personas."""
    found = shares[(shares["field"] == pair["field"]) & (shares["level"] == pair["level"])]
    return tuple(found.loc[found["subject"].isin([pair["persona"], pair["nearest"]]), "claim_id"])


def _prevalence(shown: Evidence) -> Pieces:
    claims = shown.cell("prevalence")
    columns: dict[str, str | tuple[str, Column]] = {
        "n_traits": "traits described",
        "n": ("real records", lambda row: numbers.count(row["n_all"]["n"])),
        "n_all": "match all traits",
        "n_all_but_one": "match all but one",
    }
    listed = table_of(claims, shown.words, "persona", columns)
    fewest = records(shown.of("n_all").sort_values("estimate", kind="stable").head(1))[0]
    text = (
        f"Rarest is the full description of {shown.words.told(fewest['subject'])}: {value(fewest, shown.words)} of "
        f"{numbers.count(fewest['n'])} real records match every trait."
    )
    return listed, stating(text, fewest)


def persona_changes(shown: Evidence) -> Pieces:
    """What changed in the personas, and what kind of change it is."""
    frame = shown.table("changes")
    if frame.empty:
        return (Sentence(SAME),)
    columns = {"persona": "persona", "change": "change", "detail": "detail"}
    rows = records(frame)
    named = frame.assign(
        persona=[_named(row, shown) for row in rows], detail=[detail(row, shown.words) for row in rows]
    )
    n = int((frame["change"] != "kept").sum())
    told = f"{n} change{'s' if n != 1 else ''} since the last period." if n else SAME
    return table(named, columns, shown.words), Sentence(told)


def _named(row: Mapping[str, str], shown: Evidence) -> str:
    """The name of a persona that may be in force no longer."""
    known = shown.words.names.get(row["persona"])
    return known or default_name(row, shown.words) or shown.words.name(row["persona"])


PERSONAS = (
    Section("personas", "personas", "Who is in the market?", _persona_shares, measures=("persona_share",)),
    Section("personas", "rules", "How do we recognise a persona?", _rules, ("rules",)),
    Section("personas", "attributes", "What is special about each persona?", _attributes, measures=("share",)),
    Section(
        "personas",
        "actions",
        "What do we do differently for each persona?",
        actions,
        gaps=("attributes",),
        measures=("share",),
    ),
    Section("personas", "win_rate", "Which personas are won more often?", _win_by_persona),
    Section("personas", "funnel", "How far do their leads get?", funnel, measures=("n_leads",)),
    Section("personas", "avoid", "Whom should we not pursue?", avoid),
    Section("personas", "nearest", "Which personas are easily confused?", _nearest, measures=("mean_difference",)),
    Section("personas", "prevalence", "How many real records fit the description?", _prevalence, measures=("n_all",)),
    Section("personas", "stability", "Would we find the same personas again?", stability, measures=("slsw",)),
    Section("personas", "changes", "What changed since the last period?", persona_changes),
    Section("personas", "history", "Why is the set as it is?", history),
)
