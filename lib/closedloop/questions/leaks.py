"""Does a column know the answer already? How well each one alone tells the outcome, and when it is filled."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from closedloop.documents.findings import Claim, Column, table_of, value
from closedloop.documents.numbers import written
from closedloop.documents.pieces import Piece, Sentence, stating
from closedloop.documents.wording import records
from closedloop.evidence.leaks import TOO_WELL
from closedloop.loop.counting import rates
from closedloop.loop.leaks import ADVICE, ALARM, CANNOT_TELL, REMARK, known_leaks, leaks_of
from closedloop.questions.answer import Answer
from closedloop.questions.evidence import Evidence
from closedloop.questions.period import opened
from closedloop.questions.prospects import chosen_frame, prospects_of

_MOST_HONEST = 5


def leaks(leads: pd.DataFrame, deals: pd.DataFrame, *, among: str | None = None) -> Answer:
    """How well each column alone orders won before lost ones inside periods (AUC), and whether it is filled afterwards.

    Judged are ``leads``, where none are recorded ``deals``. A column that knows too much was recorded too late: scores,
    comparisons, segments and rules leave it out until its moment is put right in market.toml.
    """
    now, (frame, table) = opened(), chosen_frame(leads, deals)
    answer = now.ask("leaks", "leaks", frame, table, _show, among=among)
    if answer.rows.empty:
        answer.missing["leaks"] = f"No {table} are recorded, so no column can know their outcome."
        return answer
    judged = known_leaks(now.situation, table, answer.rows) if answer.among else leaks_of(now.situation)[table]
    is_judged = judged["auc_within"].notna() | judged["finding"].isin([ALARM, REMARK])
    found = judged[is_judged]
    for why in judged.loc[judged["finding"] == CANNOT_TELL, "why"] if found.empty else ():
        answer.missing["leaks"] = f"Whether a column knows the answer cannot be told: {why}. {ADVICE}"
    _state(answer, found)
    answer.tables["leaks"] = found[["table", "column", "known", "finding", "why", "advice"]]
    kept_out = list(found.loc[found["finding"] == ALARM, "column"])
    answer.results |= {"n_leaks": int((found["finding"] != "").sum()), "kept_out": kept_out}
    return answer


def _state(answer: Answer, found: pd.DataFrame) -> None:
    """How well each column alone tells the outcome; of those that look like a leak, how often they are filled."""
    origin = answer.origin(prospects_of(answer.now.situation, answer.rows, answer.table_name).when)
    areas = {"auc_within": "estimate", "auc_within_low": "low", "auc_within_high": "high"}
    rows = found.rename(columns={"column": "field", **areas}).assign(level="")
    answer.estimate(rows.assign(baseline=TOO_WELL), origin, "column_auc", unit="ratio", kind="predictive")
    together = {name.replace("within", "together"): end for name, end in areas.items()}
    rows = found.rename(columns={"column": "field", **together})
    rows = rows[rows["estimate"].notna()].assign(baseline=TOO_WELL, level="")
    answer.estimate(rows, origin, "together_auc", unit="ratio", kind="predictive")
    rows = found[found["level"].notna() & (found["finding"] != "")]
    levels = zip(*(rows[name] for name in ("column", "level", "k", "n_level")), strict=True)
    for name, level, k, n in levels:
        answer.estimate(rates([(level, k, n)], name), origin, "level_won_rate")
    rows = found.rename(columns={"column": "field"}).assign(level="")
    for fate in ("open", "won", "lost"):
        filled = rows.assign(estimate=rows[f"{fate}_filled_share"], low=np.nan, high=np.nan)
        filled = filled[filled["estimate"].notna() & (filled["finding"] != "")]
        answer.count(filled.drop(columns="n"), origin, f"{fate}_filled_rate", unit="rate")


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    claims, found = shown.claims, shown.table("leaks").set_index("column")
    is_leak = claims["field"].map(found["finding"]).isin([ALARM, REMARK])
    areas = claims[claims["measure"] == "column_auc"].sort_values("estimate", ascending=False, kind="stable")
    honest = areas[~is_leak.reindex(areas.index)]
    kept = {*claims.loc[is_leak, "field"], *honest["field"].head(_MOST_HONEST)}
    listed = claims[claims["field"].isin(kept) & (claims["measure"] != "level_won_rate")]
    rows = listed.set_index("field").loc[[name for name in areas["field"] if name in kept]]
    columns: dict[str, str | tuple[str, Column]] = {
        "column_auc": ("AUC alone, within periods", "backed"),
        "together_auc": ("AUC together with those below", "backed"),
        "open_filled_rate": "filled while open",
        "won_filled_rate": "filled when won",
        "lost_filled_rate": "filled when lost",
        "known": ("declared known at", _text_of(found["known"])),
        "why": ("looks like a leak", _text_of(found["why"])),
    }
    table = table_of(rows.reset_index(), shown.words, "column", columns, label=lambda c: shown.words.column(c["field"]))
    return table, *_findings(shown, claims, found), *_most_telling(shown, honest)


def _text_of(texts: pd.Series) -> Callable[[Mapping[str, Claim]], str]:
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
