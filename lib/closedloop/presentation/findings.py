"""Claims as words, tables and figures: the only way in which a figure reaches a reader."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.ledger import TURNS, UNLIKE, alike, turning
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Sentence, claim_ids, stating
from closedloop.presentation.charts import Picture, bars, dots
from closedloop.presentation.sentences import Words, about, cases, evidence_of, is_weighted, recorded, records, sentence
from closedloop.presentation.tables import LIMIT, Table

Claim = Mapping[str, Any]
Label = Callable[[Claim], str]
LEAST_COVERED = 0.05  # of a persona's members; what fewer have says nothing about it
Column = str | Callable[[Mapping[str, Claim]], str]
Columns = Mapping[str, str | tuple[str, Column]]  # as ``table_of`` takes them


def first(claims: pd.DataFrame, **wanted: str) -> Claim | None:
    """The first claim with these values (measure, field, level, subject ...); None when there is none."""
    found = where(claims, **wanted)
    return records(found.head(1))[0] if len(found) else None


def where(claims: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """The claims with these values."""
    keep = pd.Series(True, index=claims.index)
    for name, value in wanted.items():
        keep &= claims[name] == value
    return claims[keep]


def telling(shares: pd.DataFrame, claims: pd.DataFrame, implied: pd.DataFrame) -> pd.DataFrame:
    """The attributes that describe a persona: at least one in twenty of its members has them, and not by its rule.

    ``shares``: claims on ``share``; ``claims``: those on ``n_members`` are among them; ``implied``: field and level of
    what the rule settles (table of 02 personas).
    """
    counted = where(claims, measure="n_members").set_index("subject")["estimate"]
    covered = shares["estimate"] * shares["n"].astype(float) / shares["subject"].map(counted).astype(float)
    settled = set(implied.itertuples(index=False, name=None))
    is_settled = [pair in settled for pair in zip(shares["field"], shares["level"], strict=True)]
    return shares[~(covered < LEAST_COVERED) & ~np.array(is_settled, dtype=bool)]


def value(claim: Claim | None, words: Words) -> str:
    """The estimate in its unit; a dash when there is none."""
    return numbers.MISSING if claim is None else numbers.written(claim["estimate"], claim["unit"], words.currency)


def ends(claim: Claim, words: Words) -> str:
    """Both ends of the 90 % interval."""
    return numbers.interval(claim["low"], claim["high"], claim["unit"], words.currency)


def backed(claim: Claim | None, words: Words) -> str:
    """The estimate with its 90 % interval and n: "44 % (38–50 %, n = 210)"; what a claim lacks is left out."""
    if claim is None or numbers.is_missing(claim["estimate"]):
        n = 0 if claim is None or numbers.is_missing(claim["n"]) else claim["n"]
        return f"too few to tell (n = {numbers.count(n)})"
    parts = [] if numbers.is_missing(claim["low"]) else [ends(claim, words)]
    parts += [] if numbers.is_missing(claim["n"]) or claim["verdict"] == "counted" else [cases(claim)]
    return f"{value(claim, words)} ({', '.join(parts)})" if parts else value(claim, words)


def on_scale(claim: Claim, *, with_n: bool = True) -> str:
    """A figure on a scale to 1 or around 0 with its interval: "0.95 (0.90 to 0.99, n = 300)"."""
    found, low, high = (numbers.decimal(claim[name]) for name in ("estimate", "low", "high"))
    n = f", {cases(claim)}" if with_n else ""
    return f"{found} ({low} to {high}{n})"


def ranged(claim: Claim | None, words: Words) -> str:
    """The estimate with its 90 % interval, without n: "44 % (38–50 %)"; alone where it is exact."""
    if claim is None:
        return numbers.MISSING
    if claim["unit"] == "ratio":
        return on_scale(claim, with_n=False)
    estimate = value(claim, words)
    return estimate if claim["low"] == claim["high"] else f"{estimate} ({ends(claim, words)})"


def label_of(words: Words) -> Label:
    """How a row of claims is named: its persona or competitor, and its level in a few words."""

    def named(claim: Claim) -> str:
        column, subject = str(claim["field"] or ""), str(claim["subject"])
        said = [] if subject == "market" else [words.told(subject)]
        said += [words.short(column, claim["level"])] if column else []
        return ", ".join(said) or "all together"

    return named


def dots_of(
    claims: pd.DataFrame, words: Words, title: str, axis: str, label: Label | None = None, **more: Any
) -> Picture:
    """Claims of one unit as points with their intervals (``charts.dots``), in the frame's order."""
    rows, unit = claims[["estimate", "low", "high", "n", "baseline", "claim_id"]], str(claims["unit"].iloc[0])
    if rows["baseline"].isna().all():
        rows = rows.drop(columns="baseline")
    told, named = records(claims), label or label_of(words)
    rows = rows.assign(
        n_effective=[claim["n_effective"] if is_weighted(claim) else np.nan for claim in told],
        label=[named(claim) for claim in told],
        is_sure=~claims["verdict"].isin(["leaning", "indistinguishable", "refused"]),
    )
    return dots(rows, title, axis, unit=unit, currency=words.currency, **more)


def bars_of(
    claims: pd.DataFrame, title: str, axis: str, label: Label, remark: Label | None = None, caption: str = ""
) -> Picture:
    """Counted claims as bars, each with a remark (``charts.bars``)."""
    told = records(claims)
    remarks = ["" if remark is None else remark(claim) for claim in told]
    rows = pd.DataFrame(
        {"label": [label(claim) for claim in told], "n": claims["estimate"].to_numpy(), "remark": remarks}
    )
    return bars(rows.assign(claim_id=claims["claim_id"].to_numpy()), title, axis, caption=caption)


def table_of(
    claims: pd.DataFrame,
    words: Words,
    heading: str,
    columns: Columns,
    *,
    label: Label | None = None,
    caption: str = "",
    limit: int = LIMIT,
) -> Table:
    """Claims as a table: a row for each (subject, field, level, within), a column for each measure.

    ``columns``: measure -> heading, shown as ``value``; or any key -> (heading, "backed" | a function of the row's
    claims by measure). Rows come in the frame's order; a measure that no row has is left out.
    """
    keys = ["subject", "field", "level", "within"]
    groups = [part for _, part in claims.groupby(keys, sort=False)]
    rows = [{str(claim["measure"]): claim for claim in records(part)} for part in groups]
    told = {name: (column, "value") if isinstance(column, str) else column for name, column in columns.items()}
    shown = {name: of for name, of in told.items() if callable(of[1]) or any(name in row for row in rows)}
    name_of = label or label_of(words)

    def cell(row: Mapping[str, Claim], name: str, how: Column) -> str:
        if callable(how):
            return how(row)
        claim = row.get(name)
        return numbers.MISSING if claim is None else {"value": value, "backed": backed}[how](claim, words)

    cells = [
        (name_of(next(iter(row.values()))), *(cell(row, name, how) for name, (_, how) in shown.items()))
        for row in rows[:limit]
    ]
    heads = (heading, *(head for head, _ in shown.values()))
    numeric = (False, *(not callable(how) for _, how in shown.values()))
    ids = tuple(claim_ids(part) for part in groups[:limit])
    return Table(heads, tuple(cells), numeric, caption, max(len(rows) - limit, 0), ids)


def joined(sentences: Sequence[Sentence]) -> Sentence:
    """Several sentences as one paragraph."""
    ids = [name for said in sentences for name in said.claims]
    return Sentence(" ".join(said.text for said in sentences), tuple(dict.fromkeys(ids)))


_UNLIKE = "unlike"  # what is counted of supported differences that do not hold like for like


def summary(claims: pd.DataFrame, words: Words, ledger: pd.DataFrame | None = None) -> list[Sentence]:
    """How many comparisons were made and what became of them; by which fields nothing was shown to differ.

    ``claims``: claims outside families are not comparisons and are left out. ``ledger``: where it stands what becomes
    of their differences like for like; ``claims`` themselves unless given.
    """
    looked = claims[claims["family"] != "none"]
    if looked.empty:
        return [Sentence("Nothing could be compared yet: no evidence.")]
    is_unlike = (looked["verdict"] == "supported") & turning(looked, claims if ledger is None else ledger)
    verdicts = looked["verdict"].mask(is_unlike, _UNLIKE).value_counts()
    do = "does" if verdicts.get(_UNLIKE) == 1 else "do"
    said = {"supported": "hold", _UNLIKE: f"{do} not hold like for like", "leaning": "to watch",
            "indistinguishable": "show no detectable difference",
            "refused": "cannot be told"}  # fmt: skip
    counted = {verdict: int(verdicts.get(verdict, 0)) for verdict in said}
    parts = [f"{n} {said[verdict]}" for verdict, n in counted.items() if n or verdict != _UNLIKE]
    n_looked = f"{numbers.count(len(looked))} comparison{'' if len(looked) == 1 else 's'}"
    told = [stating(f"We looked at {n_looked}: {', '.join(parts)}.", looked)]
    held = set(looked.loc[looked["verdict"] == "supported", "field"])
    fields = [str(field) for field in dict.fromkeys(looked["field"].dropna()) if field and field not in held]
    without = [f"“{name}”" if name.endswith("?") else name for name in map(words.column, fields)]
    worth = words.definition.claims.smallest_worth
    if without and not held and alike(looked, worth).all():
        nothing = f"Nothing differs by {numbers.points(worth)} or more by {_listed(without)}: treat all alike."
        return [*told, stating(nothing, looked)]
    return [*told, *([stating(f"Nothing was shown to differ by {_listed(without)}.", looked)] if without else [])]


def _listed(names: list[str], most: int = 5) -> str:
    shown = names if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} other fields"]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def turned(claim: dict[str, object], words: Words) -> Sentence:
    """What becomes of a difference once like is compared with like; ``claim``: one on ``TURNS`` of ``UNLIKE``."""
    within, counted = (numbers.signed_points(claim[name]) for name in ("estimate", "baseline"))
    said, tail = {
        TURNS["yes"]: ("the difference turns round", ""),
        TURNS["nothing"]: ("nothing is left of the difference", f": it is the {words.column(str(claim['within']))}"),
        TURNS["maybe"]: ("the difference may not hold", ""),
    }[str(claim["measure"])]
    text = f"{about(claim, words)} – {said}: {within}, against {counted} as counted{tail}"
    return stating(f"{text} ({evidence_of(claim, words)}).", claim)


def unlike(ledger: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """What becomes of these differences that do not hold like for like, the surest answer of each first."""
    measures = [TURNS[answer] for answer in UNLIKE]
    found = ledger[ledger["measure"].isin(measures)].drop_duplicates(["measure", "field", "level", "within"])
    found = found.assign(_order=found["measure"].map(measures.index)).sort_values("_order", kind="stable")
    pairs = set(zip(claims["field"], claims["level"], strict=True))
    is_asked = [pair in pairs for pair in zip(found["field"], found["level"], strict=True)]
    return found[pd.Series(is_asked, index=found.index, dtype=bool)].drop(columns="_order")


def honestly(claims: pd.DataFrame, ledger: pd.DataFrame, words: Words) -> list[Sentence]:
    """The sentence of every claim; in the same breath that it does not hold, or that its field is recorded unevenly."""
    is_turned = turning(claims, ledger)
    uneven = ledger[(ledger["measure"] == "recorded_share") & (ledger["verdict"] == "supported")]
    told = []
    for place, (claim, turns) in enumerate(zip(records(claims), is_turned, strict=True)):
        said = [sentence(claim, words)]
        if turns:
            said += [turned(row, words) for row in records(unlike(ledger, claims.iloc[[place]]))]
        is_own = (uneven["field"] == claim["field"]) & (uneven["source_table"] == claim["source_table"])
        said += [recorded(row, words) for row in records(uneven[is_own].head(1))]
        told.append(joined(said))
    return told


def holding(claims: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """The supported claims among these that hold like for like too."""
    held = claims[claims["verdict"] == "supported"]
    return held[~turning(held, ledger)]


def firm(claims: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """The claims without differences that may not hold: those are no advice."""
    is_difference = claims["verdict"].isin(["supported", "leaning"])
    return claims[~(is_difference & turning(claims, ledger, "maybe"))]
