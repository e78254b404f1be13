"""02 Personas: who buys in each segment, and how do we recognise them?"""

import numpy as np
import pandas as pd

from closedloop.evidence.claims import Origin, share_looks
from closedloop.evidence.rules import Rule, RuleError, assignment_rule, cross_validated_error
from closedloop.evidence.segments import Segmentation
from closedloop.loop.campaigns import campaigns
from closedloop.loop.comparisons import shown_rates
from closedloop.loop.counting import counts, levels, rates, share_counts
from closedloop.loop.observed import observe
from closedloop.loop.persona import EVERYONE, Persona, PersonaSet, estimate
from closedloop.loop.records import Sample, column, won
from closedloop.loop.rivals import competitors, rivals
from closedloop.loop.situation import Situation, fetched
from closedloop.loop.step import Draft, Step
from closedloop.terms import Moment

_TRAIT_SHARE = 0.5


def research_set(situation: Situation, sample: Sample, found: Segmentation | None) -> PersonaSet:
    """The persona set that market research alone suggests: one persona a segment, or one for everyone."""
    fields = _shared_fields(situation, sample)
    error: RuleError | None = None
    if found is None or found.recommended_k == 1 or not fields:
        rule = Rule((), EVERYONE, ())
        found_personas: tuple[Persona, ...] = (Persona(EVERYONE, "Everyone", rule=("every customer",)),)
    else:
        names = _names(situation, found.profile)
        labels = found.labels.astype(str).map(lambda segment: names[segment][0])
        rule = assignment_rule(sample.rows[fields], labels, rng=situation.rng("rule"))
        error = cross_validated_error(sample.rows[fields], labels, rng=situation.rng("rule-error"))
        found_personas = _from_segments(names, rule)
    base = PersonaSet(
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
    return estimate(base, situation.deals if situation.view.has("deals") else None)


def _from_segments(names: dict[str, tuple[str, str]], rule: Rule) -> tuple[Persona, ...]:
    sentences = rule.sentences()
    return tuple(
        Persona(slug, name, segment=segment, rule=tuple(sentences[slug]))
        for segment, (slug, name) in names.items()
        if slug in sentences  # a segment that the rule never assigns cannot be recognised, so it is no persona
    )


def _shared_fields(situation: Situation, sample: Sample) -> list[str]:
    """Fields that the sample shares with the records that a rule has to assign."""
    view = situation.view
    records = next((table for table in ("leads", "deals") if view.has(table)), None)
    if records is None or sample.rows.empty:
        return []
    known = view.inherited(records)
    volatile = ("campaign", "experiment", "arm", "first_touch")
    return [name for name in known if name in sample.rows and name not in volatile and sample.rows[name].nunique() > 1]


def _names(situation: Situation, profile: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Slug and display name of each segment: what sets it most apart from the others."""
    segments = profile.drop(index="market")
    scale = profile.loc["market"].abs().clip(lower=1.0)
    taken: set[str] = set()
    names = {}
    for segment in segments.index:
        others = segments.drop(index=segment)
        apart = ((segments.loc[segment] - others.mean()) / scale).sort_values(ascending=False, kind="stable")
        column = next((str(c) for c in apart.index if _slug(str(c)) not in taken), f"segment-{segment}")
        taken.add(_slug(column))
        names[str(segment)] = (_slug(column), _display(situation, column))
    return names


def _slug(column: str) -> str:
    plain = column.removeprefix("wants_").removeprefix("is_").lower()
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in plain)
    return "-".join(part for part in kept.split("-") if part)[:48]


def _display(situation: Situation, column: str) -> str:
    name, _, level = column.partition("=")
    plain = name.removeprefix("wants_").removeprefix("is_").replace("_", " ")
    text = (
        f"{situation.definition.labels.get(name, plain)}: {situation.definition.label(name, level)}" if level else plain
    )
    return text[:1].upper() + text[1:]


def personas(situation: Situation, sample: Sample, in_force: PersonaSet) -> Step:
    """Describe the set in force: sizes, rules, attributes against the market, win rates, and what changed."""
    draft = Draft("personas")
    records = _records(situation)
    _sizes(draft, situation, in_force, records)
    _rule_quality(draft, situation, sample, in_force)
    _attributes(draft, situation, sample, in_force)
    _win_rates(draft, situation, in_force)
    observe(draft, situation, in_force)
    rivals(draft, situation, in_force)
    campaigns(draft, situation, in_force)
    draft.results |= {
        "n_personas": len(in_force.personas),
        "origin": in_force.origin,
        "n_assumed": sum(persona.is_assumed for persona in in_force.personas),
        "personas": in_force.ids,
        "competitors": competitors(situation),
    }
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


def _rule_quality(draft: Draft, situation: Situation, sample: Sample, in_force: PersonaSet) -> None:
    """How often the rule errs on cases that it was not learned from, beside guessing."""
    draft.results |= {"rule_error": in_force.rule_error, "guess_error": in_force.guess_error}
    if in_force.rule_error is None or not in_force.rule_n:
        draft.missing["rule_error"] = (
            "The rule's error is unknown: it is measured when research makes the set, and this rule has changed since."
            if len(in_force.personas) > 1
            else "There is one persona for everyone, so no rule can err."
        )
        return
    origin = Origin("02_personas", "rules", sample.source, *_asked(situation, sample))
    for measure, error in (("rule_error", in_force.rule_error), ("guess_error", in_force.guess_error or 0.0)):
        rows = rates([("", error * in_force.rule_n, in_force.rule_n)], "")
        draft.estimate(rows, origin, measure, kind="predictive")


def _attributes(draft: Draft, situation: Situation, sample: Sample, in_force: PersonaSet) -> None:
    columns = [c for c in [*sample.items, *sample.held_apart] if c not in in_force.fields]
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
    rows, assigned = levels(sample.rows, columns), in_force.assign(sample.rows)
    found = share_counts(rows, assigned)
    origin = Origin("02_personas", "attributes", sample.source, *_asked(situation, sample))
    draft.looks.append(share_looks(found, origin))
    nearest = _nearest(found)
    draft.tables["nearest"] = nearest[["persona", "nearest", "field", "level"]]
    told = nearest.assign(subject=nearest["persona"], field="persona", level=nearest["nearest"])
    origin = origin._replace(cell="nearest")
    draft.estimate(told.rename(columns={"distance": "estimate"}), origin, "mean_difference", unit="points")
    _state_prevalence(draft, rows, assigned, found, origin._replace(cell="prevalence"))


def _asked(situation: Situation, sample: Sample) -> tuple[str, str]:
    """The periods that the sample is of."""
    day = next((c for c in ("answered_on", "created_on") if c in sample.rows), None)
    return situation.span(pd.to_datetime(sample.rows[day]) if day else pd.Series(dtype="datetime64[us]"))


def _nearest(found: pd.DataFrame) -> pd.DataFrame:
    """For each persona the most similar other one, and the attribute that tells them apart best.

    ``distance``: mean difference of the shares of all attributes; ``n``: the persona's rows.
    """
    wide = found.assign(share=found["k"] / found["n"]).pivot_table(
        index="subject", columns=["field", "level"], values="share"
    )
    values, sizes = wide.fillna(0.0).to_numpy(), found.groupby("subject")["n"].max()
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
        draft.missing["win_rates"] = (
            "No deal had ended when this period was planned, so win rates by persona are assumed. "
            "Collect `deals` with outcomes."
        )
        return
    deals = situation.closed_deals
    first, last = situation.span(deals["closed_on"])
    by, strata = in_force.assign(deals).to_frame("persona"), situation.names_of(deals["closed_on"])
    table = counts(by, ["persona"], won(deals), strata)
    origin = Origin("02_personas", "win_rate", "deals", first, last)
    draft.looks.append(shown_rates(table, origin, "win_rate", situation.definition.claims.practical_threshold))
