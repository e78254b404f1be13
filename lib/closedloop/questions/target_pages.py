"""What the choice of target segments looks like on a page: bars and weights, both axes, and what to offer."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from closedloop.documents.charts import Picture
from closedloop.documents.findings import Claim, first, ranged, value, where
from closedloop.documents.numbers import MISSING
from closedloop.documents.pieces import Listing, Piece, Sentence, claim_ids, stating
from closedloop.documents.segment_charts import positions
from closedloop.documents.tables import Table
from closedloop.documents.wording import records
from closedloop.questions.evidence import Evidence

_CRITERIA = {
    "size": "size: share of the market",
    "growth": "growth: change of its share of new records",
    "won_amount": "amount of a won deal (mean)",
    "won_amount_per_decided": "won amount per decided deal (win rate times amount)",
    "needs_served": "wishes that the offer serves",
    "win_rate": "win rate",
    "sales_cycle": "days to win (median; fewer is better)",
    "materials_ready": "wishes with a message, a proof and an answer",
}
_BARS = {
    "smallest_share": "large enough: share of the market",
    "smallest_accounts": "large enough: known accounts",
    "least_recognised": "recognisable: share of its members whom the personas' rule finds",
    "least_stability": "found again in other samples (1 is always)",
}
_AXES = {"attractiveness": "attractiveness", "strength": "own strength"}
_SCORES = {f"{axis}_score": name for axis, name in _AXES.items()}
_MOST_WISHES = 3


def show_criteria(shown: Evidence, title: str) -> Sequence[Piece]:
    """The bars and the weights that were set before the data were cut."""
    bars = [claim for name in _BARS if (claim := shown.first(name)) is not None]
    weights = [(axis, claim) for axis in _AXES for claim in records(shown.of(f"{axis}_weight"))]
    text = "market.toml sets no criteria, so the usual ones count alike. Set your own there, under [criteria]."
    if shown.result("are_criteria_set"):
        text = "These criteria stand in market.toml, so they were set before the cut."
    if shown.result("are_criteria_given"):
        text = "Some of these criteria are this notebook's own; the others are as the market says."
    words = shown.words
    asked = tuple((_BARS[str(claim["measure"])], f"at least {value(claim, words)}") for claim in bars)
    counted = tuple((_named(str(claim["level"])), _AXES[axis], value(claim, words)) for axis, claim in weights)
    return (
        Table(("a target has to be", "asked"), asked, (False, True), title,
              claims=tuple(claim_ids(claim) for claim in bars)),
        Table(("criterion", "speaks for", "weight"), counted, (False, False, True),
              claims=tuple(claim_ids(claim) for _, claim in weights)),
        Sentence(text),
    )  # fmt: skip


def _named(criterion: str) -> str:
    return _CRITERIA.get(criterion, criterion.replace("_", " "))


def show_targets(shown: Evidence, title: str) -> Sequence[Piece]:
    """Both axes, every criterion in every segment, and the choice."""
    rows = shown.table("targets")
    said = []
    for row in records(rows):
        name = named(shown, str(row["segment"]))
        text = f"{name[:1].upper()}{name[1:]} – {row['choice']}: {row['reason']}."
        said.append(stating(text, where(shown.cell("targets"), field="segment", level=str(row["segment"]))))
    picture = _positions(shown, rows, title or "Which segments are attractive, and where are we strong?")
    return (*([] if picture is None else [picture]), _components(shown, rows), Listing(said))


def named(shown: Evidence, segment: str, most: int | None = None) -> str:
    """A segment with the personas that stand for it, or the first of them: "segment 0 (persona Low price)"."""
    rows = shown.table("targets")
    personas = rows.loc[rows["segment"] == segment, "personas"] if len(rows) else pd.Series(dtype="str")
    names = [shown.words.told(name) for ids in personas if ids for name in ids.split(", ")][:most]
    return f"{shown.words.name(segment)} ({' and '.join(names)})" if names else shown.words.name(segment)


def _positions(shown: Evidence, rows: pd.DataFrame, title: str) -> Picture | None:
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
    return positions(pd.DataFrame(points), title, ("own strength", "attractiveness"), caption=caption)


def _components(shown: Evidence, rows: pd.DataFrame) -> Table:
    """Every criterion (rows) in every segment (columns), with its interval."""
    segments = [str(name) for name in rows["segment"]]
    measures = {f"criterion_{name}": text for name, text in _CRITERIA.items()}
    measures |= {"recognised_share": "members whom the rule finds", **_SCORES}
    cells, ids = [], []
    for measure, text in measures.items():
        claims = shown.of(measure)
        if len(claims):
            cells.append((text, *(ranged(first(claims, level=segment), shown.words) for segment in segments)))
            ids.append(claim_ids(claims))
    heads = ("criterion", *map(shown.words.name, segments))
    return Table(heads, tuple(cells), (False, *(True for _ in segments)), claims=tuple(ids))


def show_offer(shown: Evidence, title: str) -> Sequence[Piece]:
    """Whom to adapt the offer for, what each of them wants, and the pages to work with."""
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
    table = Table(heads, tuple(cells for cells, _ in found), (False, False, True, False), title,
                  claims=tuple(ids for _, ids in found))  # fmt: skip
    scores = where(shown.ledger, cell="targets")
    return table, stating(text, scores[scores["level"].isin(listed["segment"])])


def _offered(shown: Evidence, row: Claim) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a segment wants, how far the team's texts are, and the pages of its personas."""
    segment, words = str(row["segment"]), shown.words
    wishes = _wishes(shown, segment)
    ready = shown.first("criterion_materials_ready", level=segment)
    wanted = [f"{words.short(str(c['field']), c['level'])} {value(c, words)}" for c in wishes]
    pages = [words.told(name) for name in str(row["personas"]).split(", ") if name]
    where_to = (
        f"campaign brief and sales playbook of {' and of '.join(pages)}" if pages else "none: no persona stands for it"
    )
    cited = [*wishes, *([] if ready is None else [ready])]
    return (named(shown, segment), ", ".join(wanted) or MISSING, value(ready, words), where_to), claim_ids(*cited)


def _wishes(shown: Evidence, segment: str) -> list[dict[str, Any]]:
    """The answers that are most above the market's, with the segment's own share."""
    claims = shown.of("profile_share").set_index(["field", "level"])
    mine, whole = claims[claims["subject"] == segment], claims[claims["subject"] == "market"]
    gap = (mine["estimate"] - whole["estimate"]).dropna().sort_values(ascending=False, kind="stable")
    top = mine.loc[[key for key in gap.index if gap[key] > 0][:_MOST_WISHES]]
    return records(top.reset_index())
