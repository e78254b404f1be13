"""Does a column know the answer already? What looks like a leak, and was kept out."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from closedloop.period.counting import rates
from closedloop.period.leaks import ADVICE, ALARM, CANNOT_TELL, REMARK, leaks_of
from closedloop.period.records import column
from closedloop.presentation.blocks import Piece, Sentence, stating
from closedloop.presentation.findings import Claim, Column, Label, table_of, value
from closedloop.presentation.numbers import written
from closedloop.presentation.sentences import records
from closedloop.statistics.scoring.leaks import TOO_WELL
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened

_MOST_HONEST = 5
_AREAS = {"auc_within": "estimate", "auc_within_low": "low", "auc_within_high": "high"}


def leaks(records_of: pd.DataFrame, *, among: str | None = None) -> Answer:
    """How well each column alone, and with others, tells won from lost, beside when it is filled.

    ``records_of``: every lead or deal. The area under the curve within periods, with its interval; a column whose whole
    interval lies above .8, or that is filled for one outcome more than for the other, looks like a leak (METHODS). One
    that is declared known before the outcome is kept out of scores, comparisons, segments and rules, until people
    vouch for it.
    """
    now, table = opened(), f"{records_of.index.name}s"
    answer = now.ask("leaks", "leaks", records_of, table, _show, among=among)
    if answer.rows.empty or table not in leaks_of(now.situation):
        answer.missing["leaks"] = "No leads or deals are recorded, so no column can know their outcome."
        return answer
    judged = leaks_of(now.situation)[table]
    found = judged[judged["auc_within"].notna() | judged["finding"].isin([ALARM, REMARK])]
    if found.empty:
        for why in judged.loc[judged["finding"] == CANNOT_TELL, "why"]:
            answer.missing["leaks"] = f"Whether a column knows the answer cannot be told: {why}. {ADVICE}"
    day = "closed_on" if table == "deals" else "handed_off_on" if "handed_off_on" in answer.rows else "created_on"
    _state(answer, found, column(answer.rows, day))
    answer.tables["leaks"] = found[["table", "column", "known", "finding", "why", "advice"]]
    kept_out = list(found.loc[found["finding"] == ALARM, "column"])
    answer.results |= {"n_leaks": int((found["finding"] != "").sum()), "kept_out": kept_out}
    return answer


def _state(answer: Answer, found: pd.DataFrame, days: pd.Series) -> None:
    """How well each column alone tells the outcome; of those that look like a leak, how often they are filled."""
    origin = answer.origin(days)
    rows = found.rename(columns={"column": "field", **_AREAS}).assign(level="", baseline=TOO_WELL)
    answer.estimate(rows, origin, "column_auc", unit="ratio", kind="predictive")
    together = {name.replace("within", "together"): end for name, end in _AREAS.items()}
    rows = found.rename(columns={"column": "field", **together}).assign(level="", baseline=TOO_WELL)
    answer.estimate(rows[rows["estimate"].notna()], origin, "together_auc", unit="ratio", kind="predictive")
    rows = found[found["level"].notna() & (found["finding"] != "")]
    for name, level, k, n in rows[["column", "level", "k", "n_level"]].itertuples(index=False):
        answer.estimate(rates([(level, k, n)], name), origin, "level_won_rate")
    rows = found.rename(columns={"column": "field"}).assign(level="", low=np.nan, high=np.nan)
    for fate in ("open", "won", "lost"):
        filled = rows.assign(estimate=rows[f"{fate}_filled_share"])
        filled = filled[filled["estimate"].notna() & (filled["finding"] != "")]
        answer.count(filled.drop(columns="n"), origin, f"{fate}_filled_rate", unit="rate")


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    claims, found = shown.cell("leaks"), shown.table("leaks").set_index("column")
    is_leak = claims["field"].map(found["finding"]).isin([ALARM, REMARK])
    areas = claims[claims["measure"] == "column_auc"].sort_values("estimate", ascending=False, kind="stable")
    honest = areas[~is_leak.reindex(areas.index)]
    kept = {*claims.loc[is_leak, "field"], *honest["field"].head(_MOST_HONEST)}
    listed = claims[claims["field"].isin(kept) & (claims["measure"] != "level_won_rate")]
    rows = listed.set_index("field").loc[[field for field in areas["field"] if field in kept]]
    columns: dict[str, str | tuple[str, Column]] = {
        "column_auc": ("AUC alone, within periods", "backed"),
        "together_auc": ("AUC together with those below", "backed"),
        "open_filled_rate": "filled while open",
        "won_filled_rate": "filled when won",
        "lost_filled_rate": "filled when lost",
        "known": ("declared known at", _text_of(found["known"])),
        "why": ("looks like a leak", _text_of(found["why"])),
    }
    table = table_of(rows.reset_index(), shown.words, "column", columns, label=_column_of(shown), caption=title)
    return table, *_findings(shown, claims, found), *_most_telling(shown, honest)


def _column_of(shown: Evidence) -> Label:
    return lambda claim: shown.words.column(str(claim["field"]))


def _text_of(texts: pd.Series) -> Callable[[Mapping[str, Claim]], str]:
    """The text that belongs to a row's column; "no" where there is none."""
    return lambda row: str(texts.get(str(next(iter(row.values()))["field"])) or "no")


def _findings(shown: Evidence, claims: pd.DataFrame, found: pd.DataFrame) -> list[Piece]:
    """What looks like a leak, what became of it, and what to do about it."""
    pieces: list[Piece] = []
    if found.empty:  # nothing could be judged, and the answer says why
        return pieces
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
