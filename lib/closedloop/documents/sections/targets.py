"""The sections of 01 research that choose: whether to segment, what to look for, whom to aim at, and what held."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.cases import cases
from closedloop.documents.findings import backed, ends, first, value, where
from closedloop.documents.pieces import Listing, Sentence, claim_ids, stating
from closedloop.documents.sections.section import Evidence, Pieces, Section
from closedloop.documents.segment_charts import positions
from closedloop.documents.tables import Table
from closedloop.documents.wording import records

CRITERIA = {
    "size": "size: share of the market",
    "growth": "growth: change of its share of new records",
    "won_amount": "amount of a won deal (mean)",
    "won_amount_per_decided": "won amount per decided deal (win rate times amount)",
    "needs_served": "wishes that the offer serves",
    "win_rate": "win rate",
    "sales_cycle": "days to win (median; fewer is better)",
    "materials_ready": "wishes with a message, a proof and an answer",
}
_ASKED = {
    "smallest_share": "large enough: share of the market",
    "smallest_accounts": "large enough: known accounts",
    "least_recognised": "recognisable: share of its members whom the personas' rule finds",
    "least_stability": "found again in other samples (1 is always)",
}
_VERDICTS = {"supported": "changed", "leaning": "may have changed", "indistinguishable": "no detectable change",
             "refused": "cannot tell"}  # fmt: skip
_AXES = {"attractiveness": "attractiveness", "strength": "own strength"}
_MOST_WISHES = 3
Claim = Mapping[str, Any]


def _segmenting(shown: Evidence) -> Pieces:
    """Is there enough to cut, and something to judge a cut by?"""
    rows, columns, advised, ended = (shown.first(name) for name in ("n_rows", "n_columns", "n_advised", "n_ended"))
    worth = shown.first("n_effective_rows")
    counted = rows if worth is None else worth
    before = shown.first("earlier_segments")
    checks = [
        (
            f"{'' if worth is None else 'effective '}rows to cut, beside those advised",
            [counted, advised],
            _at_least(counted, advised),
        ),
        ("questions or fields to cut by", [columns], _at_least(columns)),
        ("ended deals to judge segments by", [ended], _at_least(ended)),
        ("segments before the last wave", [before], "no" if before is None else "yes"),
    ]
    cells = tuple((name, _told(shown, found), answer) for name, found, answer in checks)
    ids = tuple(claim_ids(*[claim for claim in found if claim is not None]) for _, found, _ in checks)
    lacking = [name for name, _, answer in checks if answer == "no"]
    text = "Everything that a cut needs is there." if not lacking else f"A cut has to do without: {'; '.join(lacking)}."
    return Table(("what a cut needs", "found", "there"), cells, (False, True, False), claims=ids), stating(
        text, *[claim for _, found, _ in checks for claim in found if claim is not None]
    )


def _at_least(found: Claim | None, asked: Claim | None = None) -> str:
    least = 1 if asked is None else asked["estimate"]
    return "yes" if found is not None and found["estimate"] >= least else "no"


def _told(shown: Evidence, found: Sequence[Claim | None]) -> str:
    return " / ".join(value(claim, shown.words) for claim in found)


def _ideal(shown: Evidence) -> Pieces:
    """The knock-outs and the weights that were set before the data were cut."""
    asked = [(name, shown.first(name)) for name in _ASKED]
    limits = [(_ASKED[name], f"at least {value(claim, shown.words)}", claim) for name, claim in asked if claim]
    weights = [
        (name, _criterion(claim), value(claim, shown.words), claim)
        for axis, name in _AXES.items()
        for claim in records(shown.of(f"{axis}_weight"))
    ]
    is_set = shown.result("are_criteria_set")
    text = (
        "These criteria stand in market.toml, so they were set before the cut."
        if is_set
        else "market.toml sets no criteria, so the usual ones count alike. Set your own there, under [criteria]."
    )
    return (
        Sentence(text),
        Table(("a target has to be", "asked"), tuple((name, told) for name, told, _ in limits), (False, True),
              claims=tuple(claim_ids(claim) for *_, claim in limits)),
        Table(("criterion", "speaks for", "weight"), tuple((name, axis, told) for axis, name, told, _ in weights),
              (False, False, True), claims=tuple(claim_ids(claim) for *_, claim in weights)),
    )  # fmt: skip


def _criterion(claim: Claim) -> str:
    return CRITERIA.get(str(claim["level"]), str(claim["level"]).replace("_", " "))


def named(shown: Evidence, segment: str, most: int | None = None) -> str:
    """A segment with the personas that stand for it, or the first of them: "segment 0 (persona Low price)"."""
    rows = shown.table("targets")
    personas = rows.loc[rows["segment"] == segment, "personas"] if len(rows) else pd.Series(dtype="str")
    names = [shown.words.told(name) for told in personas if told for name in told.split(", ")][:most]
    return f"{shown.words.name(segment)} ({' and '.join(names)})" if names else shown.words.name(segment)


def _targets(shown: Evidence) -> Pieces:
    rows = shown.table("targets")
    choices = [stating(_choice(shown, row), _scored(shown, row["segment"])) for row in records(rows)]
    picture = _positions(shown, rows)
    return (*([] if picture is None else [picture]), Listing(choices), _components(shown, rows))


def _choice(shown: Evidence, row: Claim) -> str:
    name = named(shown, str(row["segment"]))
    return f"{name[:1].upper()}{name[1:]} – {row['choice']}: {row['reason']}."


def _scored(shown: Evidence, segment: str) -> pd.DataFrame:
    return where(shown.cell("targets"), field="segment", level=segment)


def _positions(shown: Evidence, rows: pd.DataFrame) -> Any:
    """The segments on both axes; nothing when either axis is unknown."""
    points = []
    for row in records(rows):
        x, y = (shown.first(f"{axis}_score", level=str(row["segment"])) for axis in ("strength", "attractiveness"))
        if x is None or y is None:
            return None
        place = {"x": x["estimate"], "x_low": x["low"], "x_high": x["high"]}
        place |= {"y": y["estimate"], "y_low": y["low"], "y_high": y["high"]}
        label = named(shown, str(row["segment"]), most=1)
        points.append({**place, "label": label, "is_sure": row["choice"] == "target", "claims": claim_ids(x, y)})
    caption = (
        "Filled: a target; hollow: not, or nobody can tell. Bars: 90 % intervals that hold for all segments at once."
    )
    title = "Which segments are attractive, and where are we strong?"
    return positions(pd.DataFrame(points), title, ("own strength", "attractiveness"), caption=caption)


def _components(shown: Evidence, rows: pd.DataFrame) -> Table:
    """Every criterion (rows) in every segment (columns), with its interval."""
    segments = [str(name) for name in rows["segment"]]
    measures = {f"criterion_{name}": told for name, told in CRITERIA.items()} | {
        "recognised_share": "members whom the rule finds",
        "attractiveness_score": "attractiveness",
        "strength_score": "own strength",
    }
    cells, ids = [], []
    for measure, told in measures.items():
        claims = shown.of(measure)
        if claims.empty:
            continue
        found = [first(claims, level=segment) for segment in segments]
        cells.append((told, *(_cell(shown, claim) for claim in found)))
        ids.append(claim_ids(claims))
    heads = ("criterion", *map(shown.words.name, segments))
    return Table(heads, tuple(cells), (False, *(True for _ in segments)), claims=tuple(ids))


def _cell(shown: Evidence, claim: Claim | None) -> str:
    if claim is None:
        return numbers.MISSING
    if claim["unit"] == "ratio":
        return on_scale(claim, with_n=False)
    told = value(claim, shown.words)
    return told if claim["low"] == claim["high"] else f"{told} ({ends(claim, shown.words)})"


def on_scale(claim: Claim, *, with_n: bool = True) -> str:
    """A figure on a scale to 1 or around 0 with its interval: "0.95 (0.90 to 0.99, n = 300)"."""
    found, low, high = (numbers.decimal(claim[name]) for name in ("estimate", "low", "high"))
    n = f", {cases(claim)}" if with_n else ""
    return f"{found} ({low} to {high}{n})"


def _offer(shown: Evidence) -> Pieces:
    rows = shown.table("targets")
    aimed = rows[rows["choice"] == "target"]
    listed = aimed if len(aimed) else rows[rows["choice"] == "cannot tell"]
    names = ", ".join(named(shown, str(segment)) for segment in listed["segment"])
    text = "No segment is a target, nor close to one: one offer for everyone is a valid answer."
    if len(aimed):
        text = f"Adapt offer, price, channels and messages for {names}."
    elif len(listed):
        text = f"No segment is shown to be a target, so one offer for everyone stays valid; look first at {names}."
    if listed.empty:
        return (Sentence(text),)
    found = [_offered(shown, row) for row in records(listed)]
    heads = ("segment", "wants more than the market", "texts ready for its wishes", "pages to work with")
    told = Table(heads, tuple(cells for cells, _ in found), (False, False, True, False),
                 claims=tuple(ids for _, ids in found))  # fmt: skip
    scores = shown.cell("targets")
    return stating(text, scores[scores["level"].isin(listed["segment"])]), told


def _offered(shown: Evidence, row: Claim) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a segment wants, how far the team's texts are, and the pages of its personas."""
    segment, words = str(row["segment"]), shown.words
    wishes = _wishes(shown, segment)
    ready = shown.first("criterion_materials_ready", level=segment)
    wanted = [f"{words.short(str(c['field']), c['level'])} {value(c, words)}" for c in wishes]
    pages = [words.told(name) for name in str(row["personas"]).split(", ") if name]
    told = (
        f"campaign brief and sales playbook of {' and of '.join(pages)}" if pages else "none: no persona stands for it"
    )
    cited = [*wishes, *([] if ready is None else [ready])]
    cells = (named(shown, segment), ", ".join(wanted) or numbers.MISSING, value(ready, words), told)
    return cells, claim_ids(*cited)


def _wishes(shown: Evidence, segment: str) -> list[dict[str, Any]]:
    """The answers that are most above the market's, with the segment's own share."""
    claims = shown.of("profile_share").set_index(["field", "level"])
    mine, all_of = claims[claims["subject"] == segment], claims[claims["subject"] == "market"]
    gap = (mine["estimate"] - all_of["estimate"]).dropna().sort_values(ascending=False, kind="stable")
    top = mine.loc[[key for key in gap.index if gap[key] > 0][:_MOST_WISHES]]
    return records(top.reset_index())


def _held(shown: Evidence) -> Pieces:
    found, last = shown.first("wave_agreement"), shown.first("n_last_wave")
    before = shown.first("earlier_segments")
    verdict, now = shown.result("earlier_verdict"), shown.result("recommended_k") or 1
    if before is None or last is None:
        return ()
    told = f"Before the last wave of {value(last, shown.words)} rows the cut gave "
    told += f"{value(before, shown.words)} segments ({verdict})" if before["estimate"] > 1 else "no segments"
    same = "as many as now" if before["estimate"] == now else "not the number of now"
    if found is None:
        return (stating(f"{told}, {same}; so no segment can be followed.", before, last),)
    agreement = stating(
        f"{told}, {same}. On the rows of the last wave, which it had never seen, it agrees with today's cut at "
        f"{on_scale(found)} on a scale to 1.", before, last, found,
    )  # fmt: skip
    return agreement, _sizes(shown), _changed(shown)


def _changed(shown: Evidence) -> Sentence:
    """Which segments are shown to have changed size."""
    looks = shown.of("wave_share")
    names = [shown.words.name(str(level)) for level in looks.loc[looks["verdict"] == "supported", "level"]]
    told = f"Changed in size: {', '.join(names)}." if names else "No segment is shown to have grown or shrunk."
    return stating(told, looks)


def _sizes(shown: Evidence) -> Table:
    """Each segment: which it was, its share of the last wave, and the change against the waves before."""
    earlier = shown.table("matched")
    was = dict(zip(earlier["segment"], earlier["earlier"], strict=True)) if len(earlier) else {}
    cells, ids = [], []
    for claim in records(shown.of("wave_share").sort_values("level")):
        segment = str(claim["level"])
        change = shown.first("wave_share_change", level=segment)
        old = was.get(segment, "")
        cells.append((
            shown.words.name(segment), f"segment {old}" if old else "new", backed(claim, shown.words),
            _cell(shown, change), _VERDICTS[str(claim["verdict"])],
        ))  # fmt: skip
        ids.append(claim_ids(claim, *([] if change is None else [change])))
    heads = ("segment", "was before", "share of the last wave", "change since the waves before", "verdict")
    return Table(heads, tuple(cells), (False, False, True, True, False), claims=tuple(ids))


SEGMENTING = Section("research", "segmenting", "Should we segment this market?", _segmenting, measures=("n_rows",))
IDEAL = Section("research", "ideal", "What would a good target segment be?", _ideal, measures=("smallest_share",))
TARGETS = Section("research", "targets", "Which segments should we aim at?", _targets, ("targets",), ("uncounted",))
OFFER = Section("research", "offer", "What do we offer whom we aim at?", _offer, ("targets",), ("offer",))
HELD = Section("research", "held", "Has the segmentation held since the last wave?", _held, measures=("n_last_wave",))
