"""The section of 03 leads about columns that know the answer."""

from collections.abc import Callable, Mapping

import pandas as pd

from closedloop.documents.findings import Claim, Column, table_of, value
from closedloop.documents.numbers import written
from closedloop.documents.pieces import Piece, Sentence, stating
from closedloop.documents.sections.section import Evidence, Pieces, Section
from closedloop.documents.wording import records
from closedloop.loop.leaks import ALARM, REMARK

_MOST_HONEST = 5


def _leaks(shown: Evidence) -> Pieces:
    claims, found = shown.cell("leaks"), shown.table("leaks").set_index("column")
    is_leak = claims["field"].map(found["finding"]).isin([ALARM, REMARK])
    areas = claims[claims["measure"] == "column_auc"].sort_values("estimate", ascending=False, kind="stable")
    honest = areas[~is_leak.reindex(areas.index)]
    kept = {*claims.loc[is_leak, "field"], *honest["field"].head(_MOST_HONEST)}
    listed = claims[claims["field"].isin(kept) & (claims["measure"] != "level_won_rate")]
    rows = listed.set_index("field").loc[[f for f in areas["field"] if f in kept]]
    columns: dict[str, str | tuple[str, Column]] = {
        "column_auc": ("AUC alone, within periods", "backed"),
        "together_auc": ("AUC together with those below", "backed"),
        "open_filled_rate": "filled while open",
        "won_filled_rate": "filled when won",
        "lost_filled_rate": "filled when lost",
        "known": ("declared known at", _told(found["known"])),
        "why": ("looks like a leak", _told(found["why"])),
    }
    table = table_of(rows.reset_index(), shown.words, "column", columns, label=lambda c: shown.words.column(c["field"]))
    return table, *_findings(shown, claims, found), *_most_telling(shown, honest)


def _told(texts: pd.Series) -> Callable[[Mapping[str, Claim]], str]:
    """The text that belongs to a row's column; "no" where there is none."""
    return lambda row: str(texts.get(str(next(iter(row.values()))["field"])) or "no")


def _findings(shown: Evidence, claims: pd.DataFrame, found: pd.DataFrame) -> list[Piece]:
    """What looks like a leak, what became of it, and what to do about it."""
    pieces: list[Piece] = []
    for name, row in found[found["finding"] != ""].iterrows():
        fate = "; kept out of scores, comparisons, segments and rules" if row["finding"] == ALARM else ""
        text = f"{shown.words.column(str(name))} ({name}): {row['why']}{fate}. {row['advice']}"
        pieces.append(stating(text, claims[claims["field"] == name]))
    return pieces or [stating("No column looks like a leak.", claims[claims["measure"] == "column_auc"])]


def _most_telling(shown: Evidence, honest: pd.DataFrame) -> list[Sentence]:
    known = honest[honest["estimate"].notna()]
    if known.empty:
        return []
    best = records(known.head(1))[0]
    edge = written(best["baseline"], best["unit"], shown.words.currency)
    name = shown.words.column(str(best["field"]))
    text = f"The most telling column that is no leak, {name}, has an AUC of {value(best, shown.words)} alone"
    return [stating(f"{text}; of a leak the whole interval lies above {edge}.", best)]


LEAKS = (
    Section("leads", "leaks", "Does a column know the answer already?", _leaks, ("leaks",), measures=("column_auc",)),
)
