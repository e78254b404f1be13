"""Would the same personas be found again, what changed since the last period, and why the set is as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pandas as pd

from closedloop.claims.ledger import Origin
from closedloop.period.counting import LEAST_SHOWN
from closedloop.period.records import won
from closedloop.personas.changes import changes as changes_between
from closedloop.personas.persona_set import COMMIT, GATE, SPLIT, Change
from closedloop.presentation import numbers
from closedloop.presentation.blocks import Note, Piece, Sentence, stating
from closedloop.presentation.findings import table_of, value
from closedloop.presentation.persona_words import default_name, detail, edit_evidence, edit_told
from closedloop.presentation.sentences import records
from closedloop.presentation.tables import Table, table
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.comparison import level_of
from closedloop.workbench.period import opened

SAME = "Nothing changed since the last period."
_AS_FOUND = "No edit has been made: the set is as research found it."
_STABLE = 0.75  # the bar of METHODS, 2
_RESAMPLED = 2_000


def stability(deals: pd.DataFrame, *, resampled: int = _RESAMPLED, among: str | None = None) -> Answer:
    """How surely each persona's segment is found again in bootstrap samples, and how surely each split is made again.

    Of segments it is SLSW, 1 for always (METHODS 2). Of a split it is the share of ``resampled`` samples of ``deals``
    (every one) in which it would be worth as much, in its direction: of all deals, which hold those that suggested it
    and so speak for it, and of those decided since, which do not.
    """
    now = opened()
    answer = now.ask("stability", "stability", deals, "deals", _show_stability, among=among, resampled=resampled)
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
    splits = [entry for entry in now.personas.changelog if entry.edit == SPLIT and entry.into in now.personas.ids]
    if splits and len(answer.rows):
        _splits(answer, splits, resampled)
    return answer


def _splits(answer: Answer, splits: Sequence[Change], resampled: int) -> None:
    situation = answer.now.situation
    decided = answer.rows[won(answer.rows).notna()].sort_values(["closed_on", "deal_id"], kind="stable")
    decided = decided.assign(is_won=decided["outcome"] == "won", ended=situation.names_of(decided["closed_on"]))
    rng, origin = situation.rng("split-stability"), answer.origin(decided["closed_on"])
    for measure, is_later in (("split_kept_share", False), ("split_kept_since_share", True)):
        parts = [(entry, decided[decided["ended"] > entry.last_period] if is_later else decided) for entry in splits]
        answer.estimate([row for entry, part in parts for row in _kept(entry, part, rng, resampled)], origin, measure)


def _kept(entry: Change, deals: pd.DataFrame, rng: np.random.Generator, resampled: int) -> list[dict[str, object]]:
    """The share for one split; nothing when one of its sides has fewer than ten of the deals."""
    sides, counted = [entry.into, entry.persona], deals.groupby("persona")["is_won"].agg(["sum", "size"])
    if not set(sides) <= set(counted.index) or counted.loc[sides, "size"].min() < LEAST_SHOWN:
        return []
    k, n = (counted.loc[sides, name].to_numpy(dtype=float) for name in ("sum", "size"))
    drawn = rng.binomial(n.astype(int), k / n, (resampled, 2)) / n  # resampling rows of a group of fixed size
    sign = np.sign((entry.estimate or 0.0) - (entry.baseline or 0.0))
    share = float((sign * (drawn[:, 0] - drawn[:, 1]) > GATE).mean())
    return [{"field": "persona", "level": entry.into, "estimate": share, "n": int(n.sum())}]


def _show_stability(shown: Evidence, title: str) -> Sequence[Piece]:
    columns: dict[str, Any] = {
        "slsw": "its segment is found again (1 is always)",
        "n": ("rows of its segment", lambda row: numbers.count(row["slsw"]["n"]) if "slsw" in row else numbers.MISSING),
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


def changes() -> Answer:
    """What became of every persona since the last period, and every permanent edit since research found the first set.

    New, split, merged, retired, adjusted or kept: rules alone count, for promised win rates are renewed every period.
    Edits stand newest first, with the figures that they rested on.
    """
    now = opened()
    answer = now.ask("changes", "changes", pd.DataFrame(), "deals", _show_changes)
    answer.tables["changes"] = changes_between(now.personas_before, now.personas)
    entries = [asdict(entry) for entry in reversed(now.personas.changelog)]
    answer.tables["history"] = pd.DataFrame(entries, columns=[field.name for field in fields(Change)])
    answer.results["review_on"] = f"{now.period.end:%Y-%m-%d}" if now.definition.has_calendar else None
    return answer


def _show_changes(shown: Evidence, title: str) -> Sequence[Piece]:
    return *show_changes(shown, title), *_show_history(shown, "")


def show_changes(shown: Evidence, title: str) -> Sequence[Piece]:
    """The table ``changes`` (``persona_changes.changes``), and how many changed."""
    frame = shown.table("changes")
    if frame.empty:
        return (Sentence(SAME),)
    columns = {"persona": "persona", "change": "change", "detail": "detail"}
    rows = records(frame)
    named = frame.assign(persona=[_name(row, shown) for row in rows], detail=[detail(row, shown.words) for row in rows])
    n = int((frame["change"] != "kept").sum())
    said = f"{n} change{'s' if n != 1 else ''} since the last period." if n else SAME
    return table(named, columns, shown.words, caption=title), Sentence(said)


def _name(row: Mapping[str, str], shown: Evidence) -> str:
    """The name of a persona that may be in force no longer."""
    known = shown.words.names.get(row["persona"])
    return known or default_name(row, shown.words) or shown.words.name(row["persona"])


def _show_history(shown: Evidence, title: str) -> Sequence[Piece]:
    entries = [_entry(row) for row in records(shown.table("history"))]
    when = f"when {shown.period} has ended"
    if shown.words.definition.clock == "none":
        when = "when new records come in; this market records no dates"
    if shown.result("review_on"):
        when = f"{numbers.day(pd.Timestamp(shown.result('review_on')))}, when the period has ended"
    review = Note(f"Next review: {when}.")
    if not entries:
        return Sentence(_AS_FOUND), review
    rows = tuple(
        (entry.period, edit_told(entry, shown.words), edit_evidence(entry), entry.claim_id or numbers.MISSING)
        for entry in entries
    )
    heads = ("since", "edit", "evidence", "claim in the ledger of the period before")
    caption = f"{title} With every refinement all promised win rates are estimated anew.".strip()
    n = sum(entry.edit != COMMIT for entry in entries)
    text = f"{n} edit{'' if n == 1 else 's'} made since research found the first set."
    return Table(heads, rows, (False,) * 4, caption), Sentence(text), review


def _entry(row: Mapping[str, Any]) -> Change:
    return Change(**{str(key): cell for key, cell in row.items() if not numbers.is_missing(cell)})
