"""What is special about each persona: shares of attributes beside the rest of the market."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.ledger import Origin, share_looks
from closedloop.errors import ParameterError, allowed
from closedloop.period.counting import LEAST_SHOWN, crossed_counts, levels, share_counts, sizes_told
from closedloop.personas.research import Sample
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Note, Piece, Sentence, Table, claim_ids, span, stating
from closedloop.presentation.persona_words import NOT_LED_BY
from closedloop.presentation.sentences import (
    NOTHING_SEEN,
    SURE,
    TOO_SMALL,
    Claim,
    backed,
    cases,
    first,
    is_small,
    joined,
    one_of_each_pair,
    records,
    summary,
    telling,
    value,
    where,
)
from closedloop.presentation.tables import Column, table_of
from closedloop.presentation.words import capital
from closedloop.terms import OWN_DOING, RARE
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import SETTLED, in_words
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import ShareRedraw

_MOST_LED, _MOST_ROWS, _MOST_NAMED = 3, 20, 6
_MAJORITY, _APART = 0.5, 0.05
_RECORDED = 0.5  # of a persona's members: where fewer record an attribute, its share says how many do
By = str | Sequence[str] | None


def attributes(
    people: pd.DataFrame,
    by: By = None,
    measure: str = "share",
    *,
    majority: float = _MAJORITY,
    apart: float = _APART,
    among: str | None = None,
) -> Answer:
    """What the attributes ``by`` (without any all that are no part of the rule: those follow from it) say of personas.

    "share": of every attribute in every persona, against all other ``people``, shrunk towards each other, and weighted
    where the survey is (METHODS 3, 5). "likeness": for each persona the most similar other one by the mean difference
    of all shares, and the attribute that tells the two apart best. "prevalence": how many of each persona have all of
    its traits, and all but one; a trait is a share that holds (so ask for those too), that more than ``majority`` of
    all its members have, and ``apart`` more of it than of others. ``people``: a row a person, column persona. Errors:
    ParameterError.
    """
    measures = {
        "share": ("attributes", _show_shares, _compare_shares),
        "likeness": ("nearest", _show_nearest, _state_nearest),
        "prevalence": ("prevalence", _show_prevalence, _state_prevalence),
    }
    if measure not in measures:
        raise ParameterError(f"attributes: measure = {measure!r}; allowed: {allowed(measures)}")
    section, show, state = measures[measure]
    answer = opened().ask("attributes", section, people, "people", show, among=among,
                          by=by, measure=measure, majority=majority, apart=apart)  # fmt: skip
    rows = _attribute_levels(answer, by)
    if len(rows):
        asked = Sample(answer.now.lineage.sample.source, answer.rows, [], [])
        state(answer, rows, asked.weights, answer.origin(asked.days, table=asked.source))
    return answer


def _attribute_levels(answer: Answer, by: By) -> pd.DataFrame:
    """The attributes of the people as levels; where there are none an empty frame, and the answer says why."""
    sample, personas, rows = answer.now.lineage.sample, answer.now.personas, answer.rows
    own = {*personas.fields, *personas.rule.fields}
    asked = [by] if isinstance(by, str) else list(by or ())
    if len(rows) and (unknown := [name for name in asked if name not in rows]):
        raise ParameterError(f"attributes(by={unknown}): people have no such column; allowed: {allowed(rows.columns)}")
    every = [name for name in [*sample.items, *sample.held_apart] if name not in own] if by is None else asked
    columns = [name for name in every if name in rows]
    if len(personas.personas) >= 2 and columns and len(rows):
        return levels(rows, columns, RARE)
    answer.missing[answer.section] = (
        "There is one persona for everyone, so nothing sets personas apart."
        if len(personas.personas) < 2
        else "Every known field served to find the personas or tells them, so none is left to describe them by. "
        "Collect survey answers or further fields."
    )
    return pd.DataFrame()


def _compare_shares(answer: Answer, rows: pd.DataFrame, weights: pd.Series | None, origin: Origin) -> None:
    now, members = answer.now, answer.rows["persona"]
    redraw = ShareRedraw(rows, members, "share", weights) if answer.is_recorded else None
    answer.compare(share_looks(share_counts(rows, members, weights), origin), redraw)
    answer.count([{"estimate": len(rows)}], origin, "n_described")
    sizes = [{"subject": name, "estimate": n} for name, n in members.value_counts().items() if n >= LEAST_SHOWN]
    answer.count(sizes, origin, "n_members")
    rule = levels(answer.rows, [name for name in now.personas.rule.fields if name in answer.rows])
    answer.tables["implied"] = _implied(rows, rule)
    answer.results["is_cross_fitted"] = now.lineage.is_cross_fitted


def _implied(rows: pd.DataFrame, rule: pd.DataFrame) -> pd.DataFrame:
    """The levels that one field of the rule settles: in each of its levels all have them or none.

    They follow from the rule, so that they are no facts about the people it finds. Columns field, level.
    """
    found, everybody = [], pd.Series(True, index=rows.index)
    for name in rows.columns:
        cells = [crossed_counts(rule[by], rows[name], everybody)[1] for by in rule.columns]
        shares = [table.div(table.sum(axis=1), axis=0) for table in cells]
        settled = [table.columns[((table < SETTLED) | (table > 1 - SETTLED)).all()] for table in shares]
        found += [(name, level) for level in sorted({level for levels in settled for level in levels})]
    return pd.DataFrame(found, columns=["field", "level"], dtype="str")


def _show_shares(shown: Evidence, title: str) -> Sequence[Piece]:
    shares = one_of_each_pair(shown.of("share"), shown.words)
    listed = _table(shown, shares, title)
    said = [joined(summary(shown.of("share"), shown.words))] if listed else in_words(shown.of("share"), shown)
    pieces = (listed, *said, *_led_by(shown, shares), _no_different(shown, shares), *_measured_on(shown))
    return tuple(piece for piece in pieces if piece is not None)


def _table(shown: Evidence, shares: pd.DataFrame, title: str) -> Table | None:
    """Every attribute in every persona beside the market: an arrow where the difference holds."""
    held = shares[shares["verdict"] == "supported"]
    if held.empty:
        return None
    personas = list(dict.fromkeys(shares["subject"]))
    members = where(shown.claims, measure="n_members").set_index("subject")["estimate"].astype(float)
    order = held.assign(size=held["effect"].abs()).sort_values("size", ascending=False, kind="stable")
    pairs = order[["field", "level"]].drop_duplicates().to_numpy().tolist()

    def cell(claim: Claim | None) -> str:
        if claim is None:
            return numbers.MISSING
        arrow = ("▲" if claim["effect"] > 0 else "▼") if claim["verdict"] == "supported" else ""
        ends = numbers.interval(claim["low"], claim["high"], "rate", "")
        is_rare = claim["n"] < _RECORDED * members.get(claim["subject"], 0.0)
        return f"{arrow} {numbers.rate(claim['estimate'])} ({ends}{f', {cases(claim)}' if is_rare else ''})".strip()

    rows, cited = [], []
    for field, level in pairs[:_MOST_ROWS]:
        part = where(shares, field=field, level=level)
        by_persona = {claim["subject"]: claim for claim in records(part)}
        cells = [cell(by_persona.get(persona)) for persona in personas]
        rows.append((shown.words.short(field, level), numbers.rate(part["baseline"].mean()), *cells))
        cited.append(claim_ids(part))
    heads = ("attribute", "market", *map(shown.words.name, personas))
    legend = "Of those that record it; ▲ more common and ▼ less common than in the market, as far as it holds."
    numeric = (False, *[True] * (len(heads) - 1))
    n_more = max(len(pairs) - _MOST_ROWS, 0)
    return Table(heads, tuple(rows), numeric, f"{title} {legend}".strip(), n_more, tuple(cited))


def _led_by(shown: Evidence, shares: pd.DataFrame) -> tuple[Piece, ...]:
    """What sets each persona apart from all others, or else most apart: its pages lead with it.

    Nothing that we did ourselves: nobody is a channel. Shared is what another persona is shown to have more of as well,
    however little.
    """
    words, is_shown = shown.words, (shares["verdict"] == "supported") | (shares["q"] <= SURE)
    more = shares[is_shown & (shares["effect"] > 0)]
    is_alone = ~more.duplicated(["field", "level"], keep=False)
    more = more[(more["verdict"] == "supported") & ~more["field"].isin(OWN_DOING)]
    more = telling(more, shown.claims, shown.table("implied"))
    lines = []
    for persona, part in more.groupby("subject", sort=False):
        alone = part[is_alone[part.index]]
        top = (part if alone.empty else alone).sort_values("effect", ascending=False, kind="stable").head(_MOST_LED)
        listed = ", ".join(
            f"{words.short(str(claim['field']), claim['level'])} ({numbers.rate(claim['estimate'])} against "
            f"{numbers.rate(claim['baseline'])} of the market)"
            for claim in records(top)
        )
        tail = "" if alone.empty else " No other persona shares that."
        lines.append(stating(f"{capital(words.told(str(persona)))} – lead with: {listed}.{tail}", top))
    if not lines:
        if (shares["verdict"] == "supported").any():
            return (stating(f"Nothing makes any persona stand out. {NOT_LED_BY}.", shares),)
        return (stating("Nothing is shown to set the personas apart.", shares),)
    return Listing(lines), Note("Each persona has a campaign brief and a sales playbook of its own.")


def _no_different(shown: Evidence, shares: pd.DataFrame) -> Listing | None:
    """The attributes in which personas are no different from the market, and those that cannot be told, by persona."""
    words, everyone = shown.words, shares["subject"].nunique()
    lines = []
    same = where(shares, verdict="indistinguishable")
    small = is_small(same)
    told = {f"{NOTHING_SEEN} from the market": same[~small], f"{TOO_SMALL} from the market": same[small]}
    for text, part in (told | {"too few to tell": where(shares, verdict="refused")}).items():
        alike: dict[str, list[str]] = {}
        for persona, mine in part.groupby("subject", sort=False):
            names = [words.short(str(claim["field"]), claim["level"]) for claim in records(mine)]
            listed = ", ".join(names[:_MOST_NAMED]) + (" and others" if len(names) > _MOST_NAMED else "")
            alike.setdefault(listed, []).append(str(persona))
        for listed, personas in alike.items():
            who = "Every persona" if len(personas) == everyone else capital("; ".join(map(words.told, personas)))
            lines.append(stating(f"{who} – {text}: {listed}.", part[part["subject"].isin(personas)]))
    return Listing(lines) if lines else None


def _measured_on(shown: Evidence) -> tuple[Sentence | Note, ...]:
    """On whom the attributes were measured, how old that is, and how each row came to its persona."""
    n = shown.first("n_described")
    if n is None:
        return ()
    rows = stating(f"Measured on {value(n, shown.words)} rows of {n['source_table']}, {span(n)}.", n)
    is_fair = shown.result("is_cross_fitted")
    how = "by rules learned on the others, so that no answer proves itself" if is_fair else "by the rule in force"
    return rows, Note(f"Each row was assigned to its persona {how}.")


def _state_nearest(answer: Answer, rows: pd.DataFrame, weights: pd.Series | None, origin: Origin) -> None:
    counted = share_counts(rows, answer.rows["persona"], weights)
    shares = counted.assign(share=counted["k"] / counted["n"], told=sizes_told(counted)["n"])
    places: dict[str, Any] = {"index": "subject", "columns": ["field", "level"]}
    wide, known = (shares.pivot_table(**places, values=name).fillna(0.0) for name in ("share", "told"))
    sizes = shares.groupby("subject")["told"].max()
    if wide.empty:
        return
    members = answer.rows["persona"].value_counts().reindex(wide.index).to_numpy()[:, None]
    # what few record is no question to ask
    is_usual = known.to_numpy() >= np.maximum(LEAST_SHOWN, _RECORDED * members)
    gaps = np.abs(wide.to_numpy()[:, None, :] - wide.to_numpy()[None, :, :])
    distance = gaps.mean(axis=2) + np.diag(np.full(len(wide), np.inf))
    pairs = []
    for i, persona in enumerate(wide.index):
        if np.isfinite(distance[i]).any():
            j = int(distance[i].argmin())
            asked = np.where(is_usual[i] & is_usual[j], gaps[i, j], -1.0)  # without any usual one: the largest gap
            best = tuple(wide.columns[int((asked if asked.max() > 0 else gaps[i, j]).argmax())])
            pairs.append([persona, wide.index[j], *best, distance[i, j], int(sizes[persona])])
    found = pd.DataFrame(pairs, columns=["persona", "nearest", "field", "level", "estimate", "n"])
    answer.tables["nearest"] = found[["persona", "nearest", "field", "level"]]
    stated = found.assign(subject=found["persona"], field="persona", level=found["nearest"])
    answer.estimate(stated, origin, "mean_difference", unit="points")


def _show_nearest(shown: Evidence, title: str) -> Sequence[Piece]:
    claims, words = shown.of("mean_difference").sort_values("estimate", kind="stable"), shown.words
    if claims.empty:
        return ()
    pairs = shown.table("nearest").set_index("persona")
    rows, cited = [], []
    for claim in records(claims):
        field, level = pairs.loc[claim["subject"], ["field", "level"]]
        told = where(shown.ledger, measure="share", field=field, level=level)
        both = [first(told, subject=name) for name in (claim["subject"], claim["level"])]
        named = (words.name(claim["subject"]), words.level("persona", claim["level"]), words.short(field, level))
        rows.append((*named, *(backed(one, words) for one in both)))
        cited.append(claim_ids(claim, *(one for one in both if one is not None)))
    heads = ("persona", "most alike", "largest difference", "share here", "share there")
    closest = records(claims.head(1))[0]
    alike = " and ".join(map(words.told, (closest["subject"], closest["level"])))
    listed = Table(heads, tuple(rows), (False,) * len(heads), title, claims=tuple(cited))
    return listed, stating(f"Look twice before you tell them apart: {alike}.", closest)


def _state_prevalence(answer: Answer, rows: pd.DataFrame, weights: pd.Series | None, origin: Origin) -> None:
    """Counted when the families are closed: a trait is a difference that holds."""
    answer.conclude = partial(_count_matches, rows=rows, origin=origin)


def _count_matches(answer: Answer, judged: pd.DataFrame, *, rows: pd.DataFrame, origin: Origin) -> None:
    """How many members of each persona have all its traits, and all but one; ``rows``: levels of everybody."""
    persona, asked = answer.rows["persona"], answer.arguments
    held = where(judged, measure="share", verdict="supported")
    held = held[(held["effect"] > asked["apart"]) & held["field"].isin(rows.columns)]
    for name, part in held.groupby("subject"):
        members = rows[persona == name]
        has = {pair: members[pair[0]] == pair[1] for pair in zip(part["field"], part["level"], strict=True)}
        traits = [own for own in has.values() if own.mean() > asked["majority"]]
        if traits:
            n, matches = len(traits), sum(own.astype(int) for own in traits)
            found = {"n_traits": n, "n_all": int((matches == n).sum()), "n_all_but_one": int((matches >= n - 1).sum())}
            for measure, total in found.items():
                answer.count([{"estimate": total, "n": len(members)}], origin, measure, subject=str(name))
    answer.results["is_cross_fitted"] = answer.now.lineage.is_cross_fitted
    if answer.stated.empty:
        answer.missing["prevalence"] = (
            "No persona has a trait: an attribute that more than "
            f"{numbers.rate(asked['majority'])} of its members have, and that is shown to set it apart."
        )


def _show_prevalence(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: dict[str, str | tuple[str, Column]] = {
        "n_traits": "traits described",
        "n": ("members", lambda row: numbers.count(row["n_all"]["n"])),
        "n_all": "match all traits",
        "n_all_but_one": "match all, or all but one",
    }
    listed = table_of(shown.claims, shown.words, "persona", columns, caption=title)
    full = shown.of("n_all")
    fewest = records(full.assign(_share=full["estimate"] / full["n"]).sort_values("_share", kind="stable").head(1))[0]
    text = (
        f"Rarest among its members is the full description of {shown.words.told(fewest['subject'])}: "
        f"{value(fewest, shown.words)} of {numbers.count(fewest['n'])} have every trait."
    )
    how = "rules learned on the others give" if shown.result("is_cross_fitted") else "the rule in force gives"
    return listed, stating(text, fewest), Note(f"Members are those whom {how} to the persona.")
