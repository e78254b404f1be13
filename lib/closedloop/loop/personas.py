"""02 Personas: who buys in each segment, and how do we recognise them?"""

from dataclasses import asdict, fields

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin, share_looks
from closedloop.evidence.indicators import level_text
from closedloop.evidence.rules import Rule, RuleError, assignment_rule, cross_validated_error
from closedloop.evidence.segments import Segmentation
from closedloop.loop.adjusting import adjusted, state
from closedloop.loop.campaigns import campaigns
from closedloop.loop.changelog import Change
from closedloop.loop.comparisons import UNLIKE, deal_levels, known_before, shown_rates
from closedloop.loop.conversions import compare as compare_conversions
from closedloop.loop.counting import LEAST_SHOWN, counts, levels, rates, share_counts, sizes_told
from closedloop.loop.lineage import Lineage, Trait, segment_traits, shared_fields
from closedloop.loop.observed import observe
from closedloop.loop.persona import EVERYONE, Persona, PersonaSet
from closedloop.loop.persona_changes import changes
from closedloop.loop.persona_sheet import sheet
from closedloop.loop.records import Sample, column, lead_frame, won
from closedloop.loop.rivals import competitors, rivals
from closedloop.loop.situation import Situation
from closedloop.loop.step import Draft, Step
from closedloop.loop.texts import texts_in_force
from closedloop.market.warehouse import fetched
from closedloop.terms import Moment

_TRAIT_SHARE = 0.5
_MOST_LEVELS = 3  # of a field of the rule: told are the most common ones
_SETTLED = 0.005  # misses of entry, not exceptions
_ENTRY = fields(Change)


def research_set(situation: Situation, sample: Sample, found: Segmentation | None) -> PersonaSet:
    """The persona set, without rates, that market research alone suggests: a persona a segment, or one for everyone."""
    fields = shared_fields(situation, sample)
    error: RuleError | None = None
    if found is None or found.recommended_k == 1 or not fields:
        rule = Rule((), EVERYONE, ())
        found_personas: tuple[Persona, ...] = (Persona(EVERYONE, "Everyone", rule=("every customer",)),)
    else:
        traits = segment_traits(found.profile, sample.rows)
        labels = found.labels.astype(str).map(lambda segment: traits[segment].id)
        rule = assignment_rule(sample.rows[fields], labels, rng=situation.rng("rule"))
        error = cross_validated_error(sample.rows[fields], labels, rng=situation.rng("rule-error"))
        found_personas = _from_segments(traits, rule, sample.rows)
    return PersonaSet(
        market=situation.market,
        period=situation.period.name,
        origin="research",
        rule=rule,
        personas=found_personas,
        fields=tuple(fields),
        rule_error=error.error if error else None,
        guess_error=error.guessing if error else None,
        rule_n=error.n if error else None,
    )


def _from_segments(traits: dict[str, Trait], rule: Rule, rows: pd.DataFrame) -> tuple[Persona, ...]:
    sentences, assigned = rule.sentences(), rule.assign(rows)
    found = []
    for segment, (name, field, level) in traits.items():
        if name not in sentences:
            continue  # a segment that the rule never assigns cannot be recognised, so it is no persona
        has_level = level_text(rows.loc[assigned == name, field]).dropna() == level if level else pd.Series()
        share = float(has_level.mean()) if len(has_level) else None
        found.append(Persona(name, segment=segment, rule=tuple(sentences[name]), field=field, level=level, share=share))
    return tuple(found)


def personas(
    situation: Situation,
    sample: Sample,
    segments: Segmentation | None,
    in_force: PersonaSet,
    before: PersonaSet | None,
) -> Step:
    """Describe the set in force: sizes, rules, attributes against the market, win rates, and what changed.

    ``sample`` and ``segments`` are what research made of the market today; ``before`` is the last period's set.
    """
    draft = Draft("personas")
    lineage = Lineage(situation, sample, segments, in_force)
    records = _records(situation)
    _sizes(draft, situation, in_force, records)
    _makeup(draft, situation, in_force, records)
    _rule_quality(draft, lineage)
    _attributes(draft, lineage)
    _win_rates(draft, situation, in_force)
    sheet(draft, lineage, before)
    draft.tables["changes"] = changes(before, in_force)
    draft.tables["history"] = _history(in_force)
    draft.tables["texts"] = texts_in_force(situation.view)
    observe(draft, situation, in_force)
    rivals(draft, situation, in_force)
    campaigns(draft, situation, in_force)
    draft.results |= {
        "n_personas": len(in_force.personas),
        "only_won": situation.has_only_won,
        "origin": in_force.origin,
        "n_assumed": sum(persona.is_assumed for persona in in_force.personas),
        "personas": in_force.ids,
        "competitors": competitors(situation),
    }
    return draft.done()


def comparisons(situation: Situation, in_force: PersonaSet) -> Step:
    """What 02 compares of how deals end, and nothing else."""
    draft = Draft("personas")
    _win_rates(draft, situation, in_force)
    return draft.done()


def _records(situation: Situation) -> pd.DataFrame:
    """The people to recognise: leads, else deals, as known at creation."""
    for table in ("leads", "deals"):
        if situation.view.has(table):
            return fetched(situation.view.with_fields(table, Moment.CREATION))
    return pd.DataFrame()


def _sizes(draft: Draft, situation: Situation, in_force: PersonaSet, records: pd.DataFrame) -> None:
    """How many of the known records each persona is, and which of them rest on no outcome yet."""
    assigned = in_force.assign(records) if len(records) else pd.Series(dtype="str")
    n = assigned.value_counts().reindex(in_force.ids, fill_value=0)
    source = next((table for table in ("leads", "deals") if situation.view.has(table)), "none")
    span = situation.span(column(records, "created_on")) if len(records) else (situation.period.name,) * 2
    origin = Origin("02_personas", "personas", source, *span)
    draft.estimate(rates(zip(in_force.ids, n, [n.sum()] * len(n), strict=True), "persona"), origin, "persona_share")
    draft.count([{"estimate": len(in_force.ids)}], origin, "n_personas")
    draft.count([{"estimate": sum(p.is_assumed for p in in_force.personas)}], origin, "n_assumed")
    sentences = [[p.id, sentence] for p in in_force.personas for sentence in p.rule]
    draft.tables["rules"] = pd.DataFrame(sentences, columns=["persona", "sentence"])


def _makeup(draft: Draft, situation: Situation, in_force: PersonaSet, records: pd.DataFrame) -> None:
    """What most of a persona's known records are, by the fields of its rule, beside all known records."""
    by = levels(records, [name for name in in_force.rule.fields if name in records])
    if by.empty:
        return
    source = next(table for table in ("leads", "deals") if situation.view.has(table))
    origin = Origin("02_personas", "rules", source, *situation.span(column(records, "created_on")))
    for persona, part in by.groupby(in_force.assign(records)):
        for name in part.columns:
            common = part[name].value_counts().head(_MOST_LEVELS)
            common = common[common >= LEAST_SHOWN]
            rows = pd.DataFrame(rates([(level, k, len(part)) for level, k in common.items()], name))
            shares = by[name].value_counts() / len(by)
            if len(rows):
                told = rows.assign(baseline=rows["level"].map(shares))
                draft.estimate(told, origin, "member_share", subject=str(persona))


def _history(in_force: PersonaSet) -> pd.DataFrame:
    """The changelog as a table, newest first."""
    return pd.DataFrame([asdict(entry) for entry in reversed(in_force.changelog)], columns=[f.name for f in _ENTRY])


def _rule_quality(draft: Draft, lineage: Lineage) -> None:
    """How often the rule errs on cases that it was not learned from, beside guessing."""
    error = lineage.rule_error
    draft.results |= {"rule_error": error.error if error else None, "guess_error": error.guessing if error else None}
    if error is None:
        draft.missing["rule_error"] = lineage.why_untraced
        return
    origin = Origin("02_personas", "rules", lineage.sample.source, *lineage.asked)
    for measure, share in (("rule_error", error.error), ("guess_error", error.guessing)):
        draft.estimate(rates([("", share * error.n, error.n)], ""), origin, measure, kind="predictive")


def _attributes(draft: Draft, lineage: Lineage) -> None:
    sample, in_force = lineage.sample, lineage.in_force
    own = {*in_force.fields, *in_force.rule.fields}
    columns = [c for c in [*sample.items, *sample.held_apart] if c not in own]
    if len(in_force.personas) < 2 or not columns or sample.rows.empty:
        text = (
            "There is one persona for everyone, so nothing sets personas apart."
            if len(in_force.personas) < 2
            else (
                "Every known field is part of the rule, so none is left to describe the personas by. "
                "Collect survey answers or further fields."
            )
        )
        draft.missing |= dict.fromkeys(("attributes", "nearest", "prevalence"), text)
        return
    rows, assigned = levels(sample.rows, columns), lineage.assigned
    found = share_counts(rows, assigned, sample.weights)
    origin = Origin("02_personas", "attributes", sample.source, *lineage.asked)
    draft.looks.append(share_looks(found, origin))
    draft.count([{"estimate": len(rows)}], origin, "n_described")
    members = [{"subject": name, "estimate": n} for name, n in assigned.value_counts().items() if n >= LEAST_SHOWN]
    draft.count(members, origin, "n_members")
    draft.tables["implied"] = _implied(rows, levels(sample.rows, [f for f in in_force.rule.fields if f in sample.rows]))
    nearest = _nearest(found)
    draft.tables["nearest"] = nearest[["persona", "nearest", "field", "level"]]
    told = nearest.assign(subject=nearest["persona"], field="persona", level=nearest["nearest"])
    origin = origin._replace(cell="nearest")
    draft.estimate(told.rename(columns={"distance": "estimate"}), origin, "mean_difference", unit="points")
    _state_prevalence(draft, rows, assigned, found, origin._replace(cell="prevalence"))


def _implied(rows: pd.DataFrame, rule: pd.DataFrame) -> pd.DataFrame:
    """The levels that one field of the rule settles: in each of its levels all have them or none.

    They follow from the rule, so that they are no facts about whom it finds. Columns field, level.
    """
    found = []
    for name in rows.columns:
        shares = [pd.crosstab(rule[by], rows[name], normalize="index") for by in rule.columns]
        settled = [table.columns[((table < _SETTLED) | (table > 1 - _SETTLED)).all()] for table in shares]
        found += [(name, level) for level in sorted({level for levels in settled for level in levels})]
    return pd.DataFrame(found, columns=["field", "level"], dtype="str")


def _nearest(found: pd.DataFrame) -> pd.DataFrame:
    """For each persona the most similar other one, and the attribute that tells them apart best.

    ``distance``: mean difference of the shares of all attributes; ``n``: the persona's rows.
    """
    wide = found.assign(share=found["k"] / found["n"]).pivot_table(
        index="subject", columns=["field", "level"], values="share"
    )
    values, sizes = wide.fillna(0.0).to_numpy(), sizes_told(found).groupby(found["subject"])["n"].max()
    gaps = np.abs(values[:, None, :] - values[None, :, :])
    distance = gaps.mean(axis=2) + np.diag(np.full(len(values), np.inf))
    rows = []
    for i, persona in enumerate(wide.index):
        if np.isfinite(distance[i]).any():
            j = int(distance[i].argmin())
            best = tuple(wide.columns[int(gaps[i, j].argmax())])
            rows.append([persona, wide.index[j], *best, distance[i, j], int(sizes[persona])])
    return pd.DataFrame(rows, columns=["persona", "nearest", "field", "level", "distance", "n"])


def _state_prevalence(
    draft: Draft, rows: pd.DataFrame, assigned: pd.Series, found: pd.DataFrame, origin: Origin
) -> None:
    """How many real records show all of a persona's majority traits, and all but one."""
    shares = found.assign(share=found["k"] / found["n"], rest=found["k_rest"] / found["n_rest"])
    traits = shares[(shares["share"] > _TRAIT_SHARE) & (shares["share"] - shares["rest"] > 0.05)]
    for persona, part in traits.groupby("subject"):
        members, n = rows[assigned == persona], len(part)
        pairs = zip(part["field"], part["level"], strict=True)
        matches = sum((members[field] == level).astype(int) for field, level in pairs)
        counted = {"n_traits": n, "n_all": int((matches == n).sum()), "n_all_but_one": int((matches >= n - 1).sum())}
        for measure, total in counted.items():
            draft.count([{"estimate": total, "n": len(members)}], origin, measure, subject=str(persona))


def _win_rates(draft: Draft, situation: Situation, in_force: PersonaSet) -> None:
    if not situation.view.has("deals") or situation.closed_deals.empty:
        why = (
            "No deal had ended in the last periods when this one was planned"
            if situation.view.has("deals")
            else "No deals are recorded"
        )
        draft.missing["win_rates"] = f"{why}, so win rates by persona are assumed. Collect `deals` with outcomes."
        return
    if situation.has_only_won:
        leads = lead_frame(situation) if situation.view.has("leads") else pd.DataFrame()
        leads = leads.assign(persona=in_force.assign(leads))
        compare_conversions(draft, situation, leads, ("02_personas", "win_rate"), ["persona"])
        return
    deals = situation.closed_deals
    first, last = situation.span(deals["closed_on"])
    deals = deals.assign(persona=in_force.assign(deals))
    strata, before = situation.names_of(deals["closed_on"]), known_before(situation, deals)
    table = counts(deals, ["persona"], won(deals), strata, is_before=before)
    origin = Origin("02_personas", "win_rate", "deals", first, last)
    draft.looks.append(shown_rates(table, origin, "win_rate", situation.claims.practical_threshold))
    like_with_like = adjusted(situation, in_force, deals, deal_levels(situation, deals), ["persona"])
    state(draft, like_with_like, origin, UNLIKE)
