"""Who is in the market, how a persona is recognised, and whether the set holds: in other samples, and over time."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.ledger import Origin
from closedloop.errors import ParameterError, allowed
from closedloop.period.counting import LEAST_SHOWN, by_close, column, level_texts, levels, rates
from closedloop.personas.changes import changes
from closedloop.personas.persona_set import COMMIT, GATE, Change
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Note, Piece, Query, Sentence, Table, stating
from closedloop.presentation.persona_words import change_table, edit_evidence, edit_told, makeup, unrecognised
from closedloop.presentation.sentences import backed, records, value, where
from closedloop.presentation.tables import dots_of, table_of
from closedloop.presentation.words import capital
from closedloop.questions.personas.promised_rates import buyer_fields
from closedloop.statistics.level_effects import MISSING
from closedloop.statistics.proportions import at_rate
from closedloop.statistics.segmentation.indicators import is_metric
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of
from closedloop.workbench.period import opened

_MOST_LEVELS = 3  # of a field of the rule: the most common ones
_STABLE = 0.75  # the bar of METHODS, 2
_RESAMPLED = 2_000
_SAME = "No persona changed since the last period."


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
    source, frame = ("deals", deals) if leads.empty and deals is not None and len(deals) else ("leads", leads)
    answer = now.ask("recognise", "rules", frame, source, _show, among=among, most_levels=most_levels)
    answer.headline = _headline
    days, source = column(answer.rows, "created_on"), source if len(frame) else "none"
    _sizes(answer, answer.origin(days, "personas", source))
    _members(answer, answer.origin(days, table=source), most_levels)
    rule, lineage = now.personas.rule, now.lineage
    error = lineage.rule_error
    answer.results |= {"rule_error": error.error if error else None, "guess_error": error.guessing if error else None}
    if error is None:
        answer.missing["rule_error"] = lineage.why_untraced
    else:
        first, last = now.personas.rule_periods or lineage.asked  # as long as the rule stays, it is measured once
        of_sample = Origin(now.notebook, "rules", lineage.sample.source, first, last)
        for measure, share in (("rule_error", error.error), ("guess_error", error.guessing)):
            answer.estimate(rates([("", share * error.n, error.n)], ""), of_sample, measure, kind="predictive")
    review = pd.Timestamp(now.period.end) if now.definition.has_calendar else pd.NaT
    about = {"sql": rule.to_sql(), "is_cross_fitted": lineage.is_cross_fitted, "review_on": review}
    sentences = [[persona.id, sentence] for persona in now.personas.personas for sentence in persona.rule]
    answer.tables["rules"] = pd.DataFrame(sentences, columns=["persona", "sentence"])
    answer.tables["held"] = _held(answer)
    answer.tables["set"] = pd.DataFrame([about]).astype({"review_on": "datetime64[us]"})
    return answer


def _sizes(answer: Answer, origin: Origin) -> None:
    """The share of each persona, and how many rest on no outcome yet."""
    personas = answer.now.personas
    members = answer.rows["persona"] if len(answer.rows) else pd.Series(dtype="str")
    n = members.value_counts().reindex(personas.ids, fill_value=0)
    answer.estimate(rates(zip(personas.ids, n, [n.sum()] * len(n), strict=True), "persona"), origin, "persona_share")
    fields_ = [name for name in personas.rule.fields if name in answer.rows]
    if fields_:  # the rule gives them a persona, and knows nothing of them
        blank = members[answer.rows[fields_].isna().all(axis=1)].value_counts().reindex(personas.ids, fill_value=0)
        fallen = [(name, int(blank[name])) for name in personas.ids if blank[name] >= LEAST_SHOWN]
        unknown = [{"field": "persona", "level": name, "estimate": k, "n": int(n[name])} for name, k in fallen]
        answer.count(unknown, origin, "n_unrecognised")
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


def _held(answer: Answer) -> pd.DataFrame:
    """How many members of each persona have each level of the fields that say who a buyer is.

    Columns persona, field, level, n.
    """
    rows = answer.rows
    names = [name for name in buyer_fields(answer.now.situation) if name in rows and not is_metric(rows[name])]
    texts, found = level_texts(rows, names, {}).fillna(MISSING), []
    for name in names:
        held = pd.DataFrame({"persona": rows["persona"].astype("str"), "level": texts[name]}).value_counts(sort=False)
        found.append(held.rename("n").reset_index().assign(field=name)[["persona", "field", "level", "n"]])
    columns = {"persona": "str", "field": "str", "level": "str", "n": "int64"}
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(columns)).astype(columns)


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    return *_show_sizes(shown, title), *_show_rule(shown, "")


def _show_sizes(shown: Evidence, title: str) -> Sequence[Piece]:
    claims = shown.of("persona_share").sort_values("estimate", ascending=False, kind="stable")
    if claims.empty:
        return _headline(shown)
    picture = dots_of(claims, shown.words, title or "Who is in the market?", "share of those known",
                      level_of(shown.words))  # fmt: skip
    named = level_of(shown.words)
    told = [stating(f"{named(row)}: {unrecognised(row)}.", row) for row in records(shown.of("n_unrecognised"))]
    return picture, *_headline(shown), *([Listing(told)] if told else [])


def _headline(shown: Evidence) -> list[Sentence]:
    """How many personas are in force, and how many of them rest on no outcome yet."""
    n, assumed = shown.first("n_personas"), shown.first("n_assumed")
    if n is None or assumed is None:
        return [Sentence("No persona is in force.")]
    held = "all rest on outcomes" if n["estimate"] > 1 else "it rests on outcomes"
    if shown.result("only_won"):
        held = "what they promise cannot be told: only won deals are recorded"
    elif assumed["estimate"]:
        held = f"{value(assumed, shown.words)} still assumed, with fewer than ten decided deals of its own"
    return [stating(f"{numbers.plural(n['estimate'], 'persona')}; {held}.", n, assumed)]


def _show_rule(shown: Evidence, title: str) -> Sequence[Piece]:
    """What most of each persona are; the whole rule, in words and as SQL, is folded away."""
    words, shares = shown.words, shown.of("member_share")
    made = [(name, said) for name in shown.rules for said in makeup(where(shares, subject=name), words)]
    rows, cited = tuple((words.name(name), said.text) for name, said in made), tuple(said.claims for _, said in made)
    ways = [f"{capital(words.told(name))}: {way}" for name, found in shown.rules.items() for way in found]
    queries = [Query("The same rule as SQL", str(text)) for text in shown.table("set").get("sql", [])]
    listed = [Table(("persona", "who they are"), rows, (False, False), title, claims=cited)] if rows else []
    error, guess = shown.first("rule_error"), shown.first("guess_error")
    errs = Sentence("How often the rule errs could not be measured.")
    if error is not None and guess is not None:
        text = f"The rule errs on {backed(error, words)} of unseen cases, guessing the largest persona on "
        errs = stating(f"{text}{value(guess, words)}.", error, guess)
    return *listed, errs, Query("The whole rule in words", "\n".join(ways)), *queries


def stability(
    deals: pd.DataFrame | None = None,
    over: str = "samples",
    *,
    resampled: int = _RESAMPLED,
    among: str | None = None,
) -> Answer:
    """Does the set hold: would it be found again in other ``samples``, and what changed over the ``periods``?

    Over "samples": of each persona's segment SLSW, 1 for always (METHODS 2). Of each split the share of ``resampled``
    samples of ``deals`` (every one) in which it would be worth as much, in its direction: of all deals, which hold
    those that suggested it and so speak for it, and of those decided since, which do not. Over "periods": what became
    of every persona since the last one (new, split, merged, retired, adjusted or kept: rules alone count, for promised
    win rates are renewed every period), and every permanent edit since research found the first set, newest first, with
    the figures that it rested on. Errors: ParameterError.
    """
    now = opened()
    if over == "periods":
        answer = now.ask("stability", "changes", pd.DataFrame(), "deals", _show_periods, over=over)
        answer.tables["changes"] = changes(now.personas_before, now.personas)
        entries = [asdict(entry) for entry in reversed(now.personas.changelog)]
        answer.tables["history"] = pd.DataFrame(entries, columns=[field.name for field in fields(Change)])
        answer.results["review_on"] = f"{now.period.end:%Y-%m-%d}" if now.definition.has_calendar else None
        return answer
    if over != "samples" or deals is None:
        given = "" if over != "samples" else " without deals"
        raise ParameterError(f"stability: over = {over!r}{given}; allowed: {allowed(('samples', 'periods'))}")
    answer = now.ask("stability", "stability", deals, "deals", _show_samples, among=among,
                     over=over, resampled=resampled)  # fmt: skip
    lineage = now.lineage
    if lineage.segments is None or not lineage.segment_of:
        answer.missing["stability"] = lineage.why_untraced
    else:
        slsw = lineage.segments.slsw
        chosen = slsw[slsw["k"] == lineage.segments.recommended_k]
        by_segment = chosen.set_index(chosen["segment"].astype(str))
        rows = [
            {"field": "persona", "level": persona, "estimate": by_segment.loc[segment, "slsw"],
             "n": by_segment.loc[segment, "size"]}
            for persona, segment in lineage.segment_of.items()
        ]  # fmt: skip
        origin = Origin(now.notebook, "stability", lineage.sample.source, *lineage.asked)
        answer.estimate(rows, origin, "slsw", unit="ratio")
    if now.personas.splits and len(answer.rows):
        _splits(answer, now.personas.splits, resampled)
    return answer


def _splits(answer: Answer, splits: Sequence[Change], resampled: int) -> None:
    situation = answer.now.situation
    decided = by_close(answer.rows)
    decided = decided.assign(ended=situation.names_of(decided["closed_on"]))
    rng = situation.rng("split-stability")
    for measure, is_later in (("split_kept_share", False), ("split_kept_since_share", True)):
        for entry in splits:
            own = decided[decided["persona"].isin([entry.into, entry.persona])]
            own = own[own["ended"] > entry.last_period] if is_later else own
            answer.estimate(_kept(entry, own, rng, resampled), answer.origin(own["closed_on"]), measure)


def _kept(entry: Change, deals: pd.DataFrame, rng: np.random.Generator, resampled: int) -> list[dict[str, object]]:
    """The share for one split; nothing when one of its sides has fewer than ten of the deals."""
    sides, counted = [entry.into, entry.persona], deals.groupby("persona")["is_won"].agg(["sum", "size"])
    if not set(sides) <= set(counted.index) or counted.loc[sides, "size"].min() < LEAST_SHOWN:
        return []
    k, n = (counted.loc[sides, name].to_numpy(dtype=float) for name in ("sum", "size"))
    drawn = rng.binomial(n.astype(int), k / n, (resampled, 2)) / n  # resampling rows of a group of fixed size
    sign = np.sign((entry.estimate or 0.0) - (entry.baseline or 0.0))
    gate = at_rate(GATE, k.sum() / n.sum())
    share = float((sign * (drawn[:, 0] - drawn[:, 1]) > gate).mean())
    return [{"field": "persona", "level": entry.into, "estimate": share, "n": int(n.sum())}]


def _show_samples(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: dict[str, Any] = {
        "slsw": "its segment is found again (1 is always)",
        "n": (
            "sampled rows of its segment",
            lambda row: numbers.count(row["slsw"]["n"]) if "slsw" in row else numbers.MISSING,
        ),
        "split_kept_share": "its split holds in samples of all deals",
        "split_kept_since_share": "and of the deals since",
    }
    listed = table_of(shown.claims, shown.words, "persona", columns, label=level_of(shown.words), caption=title)
    weakest = records(shown.of("slsw").sort_values("estimate", kind="stable").head(1))
    if not weakest:
        return (listed,)
    verdict = "stable enough to plan with" if weakest[0]["estimate"] >= _STABLE else "too loose to plan with alone"
    text = f"Each is found again with {value(weakest[0], shown.words)} or more"
    name = shown.words.told(weakest[0]["level"])
    return listed, stating(f"{text} ({name}): {verdict}.", *weakest)


def _show_periods(shown: Evidence, title: str) -> Sequence[Piece]:
    return *_show_changes(shown, title), *_show_history(shown, "")


def _show_changes(shown: Evidence, title: str) -> Sequence[Piece]:
    """The table ``changes`` (``persona_changes.changes``), and how many changed."""
    frame = shown.table("changes")
    if frame.empty:
        return (Sentence(_SAME),)
    # that a win rate rests on deals now is no change of who a persona is
    n = int(((frame["change"] != "kept") & (frame["is_rule_changed"] | ~frame["is_first_promise"])).sum())
    said = f"{numbers.plural(n, 'change')} since the last period." if n else _SAME
    said = "The first set, as research found it." if frame["change"].eq("new").all() else said
    return change_table(frame, shown.words, title), Sentence(said)


def _show_history(shown: Evidence, title: str) -> Sequence[Piece]:
    rows = records(shown.table("history"))
    entries = [Change(**{str(k): v for k, v in row.items() if not numbers.is_missing(v)}) for row in rows]
    when = f"when {shown.period} has ended"
    if shown.words.definition.clock == "none":
        when = "when new records come in; this market records no dates"
    if shown.result("review_on"):
        when = f"{numbers.day(pd.Timestamp(shown.result('review_on')))}, when the period has ended"
    review = Note(f"Next review: {when}.")
    if not entries:
        return Sentence("No edit has been made: the set is as research found it."), review
    cells = tuple(
        (entry.period, edit_told(entry, shown.words), edit_evidence(entry), entry.claim_id or numbers.MISSING)
        for entry in entries
    )
    heads = ("since", "edit", "evidence", "claim in the ledger of the period before")
    caption = f"{title} With every refinement all promised win rates are estimated anew.".strip()
    n = sum(entry.edit != COMMIT for entry in entries)
    text = f"{n} edit{'' if n == 1 else 's'} made since research found the first set."
    return Table(heads, cells, (False,) * 4, caption), Sentence(text), review
