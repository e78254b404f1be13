"""Who is in the market, and how a persona is recognised: sizes, the rule, and how often it errs."""

from collections.abc import Sequence

import pandas as pd

from closedloop.claims.ledger import Origin
from closedloop.period.counting import LEAST_SHOWN, levels, rates
from closedloop.period.records import column
from closedloop.presentation.blocks import Piece, Query, Sentence, stating
from closedloop.presentation.findings import backed, dots_of, value, where
from closedloop.presentation.persona_words import makeup
from closedloop.presentation.sentences import capital
from closedloop.presentation.tables import Table
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of
from closedloop.workbench.period import opened

_MOST_LEVELS = 3  # of a field of the rule: the most common ones


def recognise(
    leads: pd.DataFrame,
    deals: pd.DataFrame | None = None,
    *,
    most_levels: int = _MOST_LEVELS,
    among: str | None = None,
) -> Answer:
    """How large each persona is among all ``leads`` (``deals`` where none are recorded), and the rule that finds it.

    Shares have Wilson's interval. Told are the ``most_levels`` most common levels of every field of the rule, the rule
    in words and as SQL, and its error on cases that it did not see (cross-validation), beside guessing the largest
    persona; a committed rule is applied as it is. ``n_assumed``: how many personas promise nothing yet, for want of
    outcomes.
    """
    now = opened()
    table, frame = ("deals", deals) if leads.empty and deals is not None and len(deals) else ("leads", leads)
    answer = now.ask("recognise", "rules", frame, table, _show, among=among, most_levels=most_levels)
    answer.headline = _headline
    days, source = column(answer.rows, "created_on"), table if len(frame) else "none"
    _sizes(answer, answer.origin(days, "personas", source))
    _members(answer, answer.origin(days, table=source), most_levels)
    rule, lineage = now.personas.rule, now.lineage
    error = lineage.rule_error
    answer.results |= {"rule_error": error.error if error else None, "guess_error": error.guessing if error else None}
    if error is None:
        answer.missing["rule_error"] = lineage.why_untraced
    else:
        of_sample = Origin(now.notebook, "rules", lineage.sample.source, *lineage.asked)
        for measure, share in (("rule_error", error.error), ("guess_error", error.guessing)):
            answer.estimate(rates([("", share * error.n, error.n)], ""), of_sample, measure, kind="predictive")
    review = pd.Timestamp(now.period.end) if now.definition.has_calendar else pd.NaT
    about = {"sql": rule.to_sql(), "is_cross_fitted": lineage.is_cross_fitted, "review_on": review}
    sentences = [[persona.id, sentence] for persona in now.personas.personas for sentence in persona.rule]
    answer.tables["rules"] = pd.DataFrame(sentences, columns=["persona", "sentence"])
    answer.tables["set"] = pd.DataFrame([about]).astype({"review_on": "datetime64[us]"})
    return answer


def _sizes(answer: Answer, origin: Origin) -> None:
    """The share of each persona, and how many rest on no outcome yet."""
    personas = answer.now.personas
    members = answer.rows["persona"] if len(answer.rows) else pd.Series(dtype="str")
    n = members.value_counts().reindex(personas.ids, fill_value=0)
    answer.estimate(rates(zip(personas.ids, n, [n.sum()] * len(n), strict=True), "persona"), origin, "persona_share")
    n_assumed = sum(persona.is_assumed for persona in personas.personas)
    answer.count([{"estimate": len(personas.ids)}], origin, "n_personas")
    answer.count([{"estimate": n_assumed}], origin, "n_assumed")
    answer.results |= {
        "n_personas": len(personas.ids),
        "only_won": answer.now.situation.has_only_won,
        "origin": personas.origin,
        "n_assumed": n_assumed,
        "personas": personas.ids,
    }


def _members(answer: Answer, origin: Origin, most_levels: int) -> None:
    """What most of each persona are, by the fields of the rule."""
    rows = answer.rows
    by = levels(rows, [name for name in answer.now.personas.rule.fields if name in rows])
    for persona, part in by.groupby(rows["persona"]) if len(by.columns) else ():
        for name in part.columns:
            common = part[name].value_counts().head(most_levels)
            common = common[common >= LEAST_SHOWN]
            members = pd.DataFrame(rates([(level, k, len(part)) for level, k in common.items()], name))
            if len(members):
                of_all = members["level"].map(by[name].value_counts() / len(by))
                answer.estimate(members.assign(baseline=of_all), origin, "member_share", subject=str(persona))


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    return *_show_sizes(shown, title), *_show_rule(shown, "")


def _show_sizes(shown: Evidence, title: str) -> Sequence[Piece]:
    claims = shown.of("persona_share").sort_values("estimate", ascending=False, kind="stable")
    if claims.empty:
        return (counted_personas(shown),)
    picture = dots_of(claims, shown.words, title or "Who is in the market?", "share of those known",
                      level_of(shown.words))  # fmt: skip
    return picture, counted_personas(shown)


def _headline(shown: Evidence) -> list[Sentence]:
    return [counted_personas(shown)]


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


def _show_rule(shown: Evidence, title: str) -> Sequence[Piece]:
    """What most of each persona are; the whole rule, in words and as SQL, is folded away."""
    shares = shown.of("member_share")
    made = [(name, makeup(where(shares, subject=name), shown.words)) for name in shown.rules]
    rows = tuple((shown.words.name(name), said.text) for name, found in made for said in found)
    cited = tuple(said.claims for _, found in made for said in found)
    ways = [f"{capital(shown.words.told(name))}: {way}" for name, found in shown.rules.items() for way in found]
    queries = [Query("The same rule as SQL", str(text)) for text in shown.table("set").get("sql", [])]
    listed = [Table(("persona", "who they are"), rows, (False, False), title, claims=cited)] if rows else []
    return *listed, _rule_quality(shown), Query("The whole rule in words", "\n".join(ways)), *queries


def _rule_quality(shown: Evidence) -> Sentence:
    error, guess = shown.first("rule_error"), shown.first("guess_error")
    if error is None or guess is None:
        return Sentence("How often the rule errs could not be measured.")
    text = f"The rule errs on {backed(error, shown.words)} of unseen cases, guessing the largest persona on "
    return stating(f"{text}{value(guess, shown.words)}.", error, guess)
