"""What is special about each persona: shares of attributes beside the rest of the market."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from closedloop.claims.ledger import Origin, share_looks
from closedloop.errors import ParameterError, allowed
from closedloop.period.counting import LEAST_SHOWN, crossed_counts, levels, share_counts, sizes_told
from closedloop.period.records import Sample
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Listing, Note, Piece, Sentence, claim_ids, span, stating
from closedloop.presentation.findings import Claim, Column, first, joined, summary, table_of, telling, value
from closedloop.presentation.sentences import capital, one_of_each_pair, records
from closedloop.presentation.tables import Table
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import in_words, level_of
from closedloop.workbench.period import opened
from closedloop.workbench.redraws import ShareRedraw

_SETTLED = 0.005  # misses of entry, not exceptions
_MOST_LED, _MOST_ROWS, _MOST_NAMED = 3, 20, 6


def attributes(people: pd.DataFrame, by: str | Sequence[str] | None = None, *, among: str | None = None) -> Answer:
    """The share of every attribute ``by`` in every persona of ``people``, against all other people.

    Shares are shrunk towards each other, and weighted where the survey is (METHODS 3, 5). Without ``by`` it is all
    questions and fields that are no part of the rule: those follow from it. ``people``: a row a person, column persona.
    """
    now = opened()
    answer = now.ask("attributes", "attributes", people, "people", _show, among=among, by=by)
    rows = attribute_levels(answer, by)
    if rows.empty:
        return answer
    members, origin = answer.rows["persona"], origin_of(answer)
    weights = weights_of(answer)
    redraw = ShareRedraw(rows, members, "share", weights) if answer.is_recorded else None
    answer.compare(share_looks(share_counts(rows, members, weights), origin), redraw)
    answer.count([{"estimate": len(rows)}], origin, "n_described")
    sizes = [{"subject": name, "estimate": n} for name, n in members.value_counts().items() if n >= LEAST_SHOWN]
    answer.count(sizes, origin, "n_members")
    rule = levels(answer.rows, [name for name in now.personas.rule.fields if name in answer.rows])
    answer.tables["implied"] = _implied(rows, rule)
    answer.results["is_cross_fitted"] = now.lineage.is_cross_fitted
    return answer


def attribute_levels(answer: Answer, by: str | Sequence[str] | None) -> pd.DataFrame:
    """The attributes ``by`` of the people as levels; where there are none an empty frame, and the answer says why.

    Errors: ParameterError for an attribute that the people do not have.
    """
    sample, personas, rows = answer.now.lineage.sample, answer.now.personas, answer.rows
    own = {*personas.fields, *personas.rule.fields}
    asked = [by] if isinstance(by, str) else list(by or ())
    if len(rows) and (unknown := [name for name in asked if name not in rows]):
        raise ParameterError(
            f"{answer.verb}(by={unknown}): people have no such column; allowed: {allowed(rows.columns)}"
        )
    every = [name for name in [*sample.items, *sample.held_apart] if name not in own] if by is None else asked
    columns = [name for name in every if name in rows]
    if len(personas.personas) >= 2 and columns and len(rows):
        return levels(rows, columns)
    answer.missing[answer.section] = (
        "There is one persona for everyone, so nothing sets personas apart."
        if len(personas.personas) < 2
        else "Every known field is part of the rule, so none is left to describe the personas by. "
        "Collect survey answers or further fields."
    )
    return pd.DataFrame()


def weights_of(answer: Answer) -> pd.Series | None:
    """What each of the answer's people counts, where the survey is weighted."""
    return Sample(answer.now.lineage.sample.source, answer.rows, [], []).weights


def origin_of(answer: Answer) -> Origin:
    """Where figures of the answer's people come from, by the day on which they were asked or recorded."""
    rows = answer.rows
    day = next((name for name in ("answered_on", "created_on") if name in rows), None)
    days = pd.to_datetime(rows[day]) if day else pd.Series(dtype="datetime64[us]")
    return answer.origin(days, table=answer.now.lineage.sample.source)


def _implied(rows: pd.DataFrame, rule: pd.DataFrame) -> pd.DataFrame:
    """The levels that one field of the rule settles: in each of its levels all have them or none.

    They follow from the rule, so that they are no facts about the people it finds. Columns field, level.
    """
    found, everybody = [], pd.Series(True, index=rows.index)
    for name in rows.columns:
        cells = [crossed_counts(rule[by], rows[name], everybody)[1] for by in rule.columns]
        shares = [table.div(table.sum(axis=1), axis=0) for table in cells]
        settled = [table.columns[((table < _SETTLED) | (table > 1 - _SETTLED)).all()] for table in shares]
        found += [(name, level) for level in sorted({level for levels in settled for level in levels})]
    return pd.DataFrame(found, columns=["field", "level"], dtype="str")


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    listed = attribute_table(shown, title)
    said = [joined(summary(shown.of("share"), shown.words))] if listed else in_words(shown.of("share"), shown)
    pieces = (listed, *said, *led_by(shown), no_different(shown), *_measured_on(shown))
    return tuple(piece for piece in pieces if piece is not None)


def attribute_table(shown: Evidence, title: str) -> Table | None:
    """Every attribute in every persona beside the market: an arrow where the difference holds."""
    shares = one_of_each_pair(shown.of("share"), shown.words)
    held = shares[shares["verdict"] == "supported"]
    if held.empty:
        return None
    personas = list(dict.fromkeys(shares["subject"]))
    order = held.assign(size=held["effect"].abs()).sort_values("size", ascending=False, kind="stable")
    pairs = order[["field", "level"]].drop_duplicates().to_numpy().tolist()
    rows, cited = [], []
    for field, level in pairs[:_MOST_ROWS]:
        part = shares[(shares["field"] == field) & (shares["level"] == level)]
        by_persona = {claim["subject"]: claim for claim in records(part)}
        cells = [_cell(by_persona.get(persona)) for persona in personas]
        rows.append((shown.words.short(field, level), numbers.rate(part["baseline"].mean()), *cells))
        cited.append(claim_ids(part))
    heads = ("attribute", "market", *map(shown.words.name, personas))
    legend = "▲ more common and ▼ less common than in the market, as far as the difference holds."
    caption = f"{title} {legend}".strip()
    numeric = (False, *[True] * (len(heads) - 1))
    return Table(heads, tuple(rows), numeric, caption, max(len(pairs) - _MOST_ROWS, 0), tuple(cited))


def _cell(claim: Claim | None) -> str:
    if claim is None:
        return numbers.MISSING
    arrow = ("▲" if claim["effect"] > 0 else "▼") if claim["verdict"] == "supported" else ""
    ends = numbers.interval(claim["low"], claim["high"], "rate", "")
    return f"{arrow} {numbers.rate(claim['estimate'])} ({ends})".strip()


def led_by(shown: Evidence) -> tuple[Piece, ...]:
    """What sets each persona apart from all others, or else most apart: its pages lead with it."""
    shares = one_of_each_pair(shown.of("share"), shown.words)
    more = shares[(shares["verdict"] == "supported") & (shares["effect"] > 0)]
    more = telling(more, shown.claims, shown.table("implied"))
    is_alone = ~more.duplicated(["field", "level"], keep=False)
    lines = []
    for persona, part in more.groupby("subject", sort=False):
        alone = part[is_alone[part.index]]
        top = (part if alone.empty else alone).sort_values("effect", ascending=False, kind="stable").head(_MOST_LED)
        listed = ", ".join(_against(claim, shown) for claim in records(top))
        tail = "" if alone.empty else " No other persona shares that."
        lines.append(stating(f"{capital(shown.words.told(str(persona)))} – lead with: {listed}.{tail}", top))
    if not lines:
        return (stating("Nothing is shown to set the personas apart.", shares),)
    return Listing(lines), Note("Each persona has a campaign brief and a sales playbook of its own.")


def _against(claim: Claim, shown: Evidence) -> str:
    name = shown.words.short(str(claim["field"]), claim["level"])
    return f"{name} ({numbers.rate(claim['estimate'])} against {numbers.rate(claim['baseline'])} of the market)"


def no_different(shown: Evidence) -> Listing | None:
    """The attributes in which personas are no different from the market, and those that cannot be told, by persona."""
    shares = one_of_each_pair(shown.of("share"), shown.words)
    everyone = shares["subject"].nunique()
    lines = []
    for verdict, text in (("indistinguishable", "no different from the market"), ("refused", "too few to tell")):
        part = shares[shares["verdict"] == verdict]
        by_names: dict[str, list[str]] = {}
        for persona, mine in part.groupby("subject", sort=False):
            by_names.setdefault(_names(mine, shown), []).append(str(persona))
        for names, personas in by_names.items():
            who = "Every persona" if len(personas) == everyone else capital("; ".join(map(shown.words.told, personas)))
            lines.append(stating(f"{who} – {text}: {names}.", part[part["subject"].isin(personas)]))
    return Listing(lines) if lines else None


def _names(claims: pd.DataFrame, shown: Evidence) -> str:
    names = [shown.words.short(str(row["field"]), row["level"]) for row in records(claims)]
    return ", ".join(names[:_MOST_NAMED]) + (" and others" if len(names) > _MOST_NAMED else "")


def _measured_on(shown: Evidence) -> tuple[Sentence | Note, ...]:
    """On whom the attributes were measured, how old that is, and how each row came to its persona."""
    n = shown.first("n_described")
    if n is None:
        return ()
    rows = stating(f"Measured on {value(n, shown.words)} rows of {n['source_table']}, {span(n)}.", n)
    is_fair = shown.result("is_cross_fitted")
    how = "by rules learned on the others, so that no answer proves itself" if is_fair else "by the rule in force"
    return rows, Note(f"Each row was assigned to its persona {how}.")


_MAJORITY, _APART = 0.5, 0.05


def nearest(people: pd.DataFrame, by: str | Sequence[str] | None = None, *, among: str | None = None) -> Answer:
    """For each persona the most similar other one, and the attribute that tells the two apart best.

    Alike is the mean difference of the shares of all attributes ``by`` (all that are no part of the rule without any).
    ``people``: a row a person, column persona.
    """
    answer = opened().ask("nearest", "nearest", people, "people", _show_nearest, among=among, by=by)
    rows = attribute_levels(answer, by)
    if rows.empty:
        return answer
    counted = share_counts(rows, answer.rows["persona"], weights_of(answer))
    shares = counted.assign(share=counted["k"] / counted["n"])
    wide = shares.pivot_table(index="subject", columns=["field", "level"], values="share").fillna(0.0)
    sizes = sizes_told(counted).groupby(counted["subject"])["n"].max()
    gaps = np.abs(wide.to_numpy()[:, None, :] - wide.to_numpy()[None, :, :])
    distance = gaps.mean(axis=2) + np.diag(np.full(len(wide), np.inf))
    pairs = []
    for i, persona in enumerate(wide.index):
        if np.isfinite(distance[i]).any():
            j = int(distance[i].argmin())
            best = tuple(wide.columns[int(gaps[i, j].argmax())])
            pairs.append([persona, wide.index[j], *best, distance[i, j], int(sizes[persona])])
    found = pd.DataFrame(pairs, columns=["persona", "nearest", "field", "level", "estimate", "n"])
    answer.tables["nearest"] = found[["persona", "nearest", "field", "level"]]
    stated = found.assign(subject=found["persona"], field="persona", level=found["nearest"])
    answer.estimate(stated, origin_of(answer), "mean_difference", unit="points")
    return answer


def _show_nearest(shown: Evidence, title: str) -> Sequence[Piece]:
    claims = shown.of("mean_difference").sort_values("estimate", kind="stable")
    if claims.empty:
        return ()
    pairs = {row["persona"]: row for row in records(shown.table("nearest"))}
    shares = shown.ledger[shown.ledger["measure"] == "share"]

    def pair_of(row: Mapping[str, Claim]) -> Mapping[str, str]:
        return pairs[row["mean_difference"]["subject"]]

    def share_of(role: str) -> Column:
        def share(row: Mapping[str, Claim]) -> str:
            pair = pair_of(row)
            found = first(shares, subject=pair[role], field=pair["field"], level=pair["level"])
            return value(found, shown.words)

        return share

    columns: dict[str, str | tuple[str, Column]] = {
        "nearest": ("most alike", lambda row: level_of(shown.words)(row["mean_difference"])),
        "difference": (
            "largest difference",
            lambda row: shown.words.short(pair_of(row)["field"], pair_of(row)["level"]),
        ),
        "share": ("share here", share_of("persona")),
        "nearest_share": ("share there", share_of("nearest")),
    }
    listed = table_of(claims, shown.words, "persona", columns, label=lambda claim: shown.words.name(claim["subject"]),
                      caption=title)  # fmt: skip
    behind = [_of_pair(shares, pairs[subject]) for subject in claims["subject"].head(len(listed.rows))]
    cited = tuple((*ids, *found) for ids, found in zip(listed.claims, behind, strict=True))
    closest = records(claims.head(1))[0]
    alike = " and ".join(map(shown.words.told, (closest["subject"], closest["level"])))
    return replace(listed, claims=cited), stating(f"Look twice before you tell them apart: {alike}.", closest)


def _of_pair(shares: pd.DataFrame, pair: Mapping[str, str]) -> tuple[str, ...]:
    """The ids of the claims on the attribute in both personas."""
    found = shares[(shares["field"] == pair["field"]) & (shares["level"] == pair["level"])]
    return tuple(found.loc[found["subject"].isin([pair["persona"], pair["nearest"]]), "claim_id"])


def prevalence(
    people: pd.DataFrame,
    by: str | Sequence[str] | None = None,
    *,
    majority: float = _MAJORITY,
    apart: float = _APART,
    among: str | None = None,
) -> Answer:
    """How many ``people`` of each persona have all of its traits, and all but one.

    A trait is an attribute that more than ``majority`` of the persona have, and ``apart`` more of it than of others.
    """
    answer = opened().ask("prevalence", "prevalence", people, "people", _show_prevalence, among=among,
                          by=by, majority=majority, apart=apart)  # fmt: skip
    rows = attribute_levels(answer, by)
    if rows.empty:
        return answer
    persona, origin = answer.rows["persona"], origin_of(answer)
    counted = share_counts(rows, persona, weights_of(answer))
    shares = counted.assign(share=counted["k"] / counted["n"], rest=counted["k_rest"] / counted["n_rest"])
    traits = shares[(shares["share"] > majority) & (shares["share"] - shares["rest"] > apart)]
    for name, part in traits.groupby("subject"):
        members, n = rows[persona == name], len(part)
        pairs = zip(part["field"], part["level"], strict=True)
        matches = sum((members[field] == level).astype(int) for field, level in pairs)
        found = {"n_traits": n, "n_all": int((matches == n).sum()), "n_all_but_one": int((matches >= n - 1).sum())}
        for measure, total in found.items():
            answer.count([{"estimate": total, "n": len(members)}], origin, measure, subject=str(name))
    return answer


def _show_prevalence(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: dict[str, str | tuple[str, Column]] = {
        "n_traits": "traits described",
        "n": ("real records", lambda row: numbers.count(row["n_all"]["n"])),
        "n_all": "match all traits",
        "n_all_but_one": "match all but one",
    }
    listed = table_of(shown.claims, shown.words, "persona", columns, caption=title)
    fewest = records(shown.of("n_all").sort_values("estimate", kind="stable").head(1))[0]
    text = (
        f"Rarest is the full description of {shown.words.told(fewest['subject'])}: {value(fewest, shown.words)} of "
        f"{numbers.count(fewest['n'])} real records match every trait."
    )
    return listed, stating(text, fewest)
