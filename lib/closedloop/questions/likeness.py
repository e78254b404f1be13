"""Which personas are easily confused, and how many real people fit a persona's whole description."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.findings import Claim, Column, first, table_of, value
from closedloop.documents.pieces import Piece, stating
from closedloop.documents.wording import records
from closedloop.loop.counting import share_counts, sizes_told
from closedloop.questions.answer import Answer
from closedloop.questions.attributes import attribute_levels, origin_of, weights_of
from closedloop.questions.comparison import level_of
from closedloop.questions.evidence import Evidence
from closedloop.questions.period import opened

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
