"""The sections of 06 refinement."""

import pandas as pd

from closedloop.documents import numbers
from closedloop.documents.charts import dots
from closedloop.documents.pieces import Sentence
from closedloop.documents.sections.section import Evidence, Pieces, Section, condition, signed, spoken
from closedloop.documents.tables import Table, table


def _duel(shown: Evidence) -> Pieces:
    frame = shown.table("duel")
    rivals = frame[frame["gain"].notna()]
    verdict = Sentence(f"Verdict: {shown.result('verdict') or 'cannot tell'}.")
    columns = {
        "contender": "contender",
        "n": "deals",
        "log_loss": "log loss (lower is better)",
        "auc_within": "AUC within periods",
    }
    rows = table(frame, columns, shown.words, units={"log_loss": "ratio", "auc_within": "ratio"})
    if rivals.empty:
        return rows, verdict
    values = {
        "label": rivals["contender"],
        "estimate": rivals["gain"],
        "low": rivals["gain_low"],
        "high": rivals["gain_high"],
        "n": rivals["n"],
    }
    title = "Who predicts the next deals better than the personas in force?"
    axis = "gain in log loss over the set in force (right of zero is better)"
    return (
        dots(pd.DataFrame(values).reset_index(drop=True), title, axis, unit="ratio", baseline=0.0),
        verdict,
        rows,
    )


def _edits(shown: Evidence) -> Pieces:
    frame = shown.table("edits")
    if frame.empty:
        return (Sentence(f"No edit holds; {numbers.count(shown.result('n_watch') or 0)} to watch."),)
    named = frame.assign(
        persona=[shown.words.name(str(v)) for v in frame["persona"]],
        what=[condition(r, shown) for _, r in frame.iterrows()],
        effect=[signed(value) for value in frame["effect"]],
    ).sort_values("status", kind="stable")
    columns = {"persona": "persona", "edit": "edit", "what": "about", "effect": "effect", "n": "deals",
               "status": "status", "reverts_when": "turned back when"}  # fmt: skip
    made = int((frame["status"] == "permanent").sum())
    return table(named, columns, shown.words, units={"edit": "label"}), Sentence(
        f"{made} edits hold, {len(frame) - made} to watch."
    )


def _persona_promises(shown: Evidence) -> Pieces:
    frame = shown.table("promises")
    rows = [_scored(row, shown) for _, row in frame.iterrows()]
    judged = frame["is_kept"].dropna()
    kept = int(judged.astype(bool).sum())
    heads = ("persona", "we said", "it was", "deals", "kept")
    text = (
        f"{kept} of {len(judged)} promised win rates came true." if len(judged) else "No promise could be judged yet."
    )
    return Table(heads, tuple(rows), (False, True, True, True, False)), Sentence(text)


def _scored(row: pd.Series, shown: Evidence) -> tuple[str, ...]:
    kept = "not judged" if numbers.is_missing(row["is_kept"]) else "yes" if row["is_kept"] else "no"
    said = numbers.interval(row["promised_low"], row["promised_high"], "rate", "")
    return (
        shown.words.name(str(row["persona"])),
        said,
        numbers.rate(row["observed"]),
        numbers.count(row["n"]),
        kept,
    )


def _drift(shown: Evidence) -> Pieces:
    frame = shown.table("drift")
    columns = {"kind": "kind of drift", "statistic": "statistic", "p": "p", "is_drift": "drift"}
    found = [spoken(row["kind"]) for _, row in frame.iterrows() if row["is_drift"] is True or row["is_drift"] == 1]
    text = f"The market drifts in: {', '.join(found)}." if found else "No drift was detected."
    return table(frame, columns, shown.words, units={"statistic": "ratio", "p": "ratio", "kind": "label"}), Sentence(
        text
    )


REFINEMENT = (
    Section("refinement", "duel", "Do new personas predict better than the old?", _duel, ("duel",)),
    Section("refinement", "promises", "Did the promised win rates come true?", _persona_promises, ("promises",)),
    Section("refinement", "edits", "What changes in the personas?", _edits),
    Section("refinement", "drift", "Does the market drift?", _drift, ("drift",)),
)
