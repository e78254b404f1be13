"""Does a column know the answer already? What looks like a leak, and was kept out."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from closedloop.period.counting import rates
from closedloop.period.leaks import ADVICE, ALARM, CANNOT_TELL, REMARK, leaks_of
from closedloop.period.records import column
from closedloop.presentation.blocks import Piece, stating
from closedloop.presentation.findings import Column, table_of, value
from closedloop.presentation.numbers import written
from closedloop.presentation.sentences import records
from closedloop.statistics.scoring.leaks import TOO_WELL
from closedloop.workbench.answer import Answer, Evidence
from closedloop.workbench.period import opened

_MOST_HONEST = 5


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
    origin = answer.origin(column(answer.rows, day))
    named = found.rename(columns={"column": "field"}).assign(level="", baseline=TOO_WELL)
    for measure, which in (("column_auc", "within"), ("together_auc", "together")):
        ends = {f"auc_{which}": "estimate", f"auc_{which}_low": "low", f"auc_{which}_high": "high"}
        rows = named.rename(columns=ends)
        rows = rows if which == "within" else rows[rows["estimate"].notna()]
        answer.estimate(rows, origin, measure, unit="ratio", kind="predictive")
    suspect = found[found["finding"] != ""]
    for name, level, k, n in suspect.loc[suspect["level"].notna(), ["column", "level", "k", "n_level"]].to_numpy():
        answer.estimate(rates([(level, k, n)], name), origin, "level_won_rate")
    rows = suspect.rename(columns={"column": "field"}).drop(columns="n").assign(level="", low=np.nan, high=np.nan)
    for fate in ("open", "won", "lost"):
        filled = rows.assign(estimate=rows[f"{fate}_filled_share"])
        answer.count(filled[filled["estimate"].notna()], origin, f"{fate}_filled_rate", unit="rate")
    answer.tables["leaks"] = found[["table", "column", "known", "finding", "why", "advice"]]
    kept_out = list(found.loc[found["finding"] == ALARM, "column"])
    answer.results |= {"n_leaks": len(suspect), "kept_out": kept_out}
    return answer


def _show(shown: Evidence, title: str) -> Sequence[Piece]:
    words, claims, found = shown.words, shown.cell("leaks"), shown.table("leaks").set_index("column")
    is_leak = claims["field"].map(found["finding"]).isin([ALARM, REMARK])
    areas = claims[claims["measure"] == "column_auc"].sort_values("estimate", ascending=False, kind="stable")
    honest = areas[~is_leak.reindex(areas.index)]
    kept = {*claims.loc[is_leak, "field"], *honest["field"].head(_MOST_HONEST)}
    listed = claims[claims["field"].isin(kept) & (claims["measure"] != "level_won_rate")]
    rows = listed.set_index("field").loc[[field for field in areas["field"] if field in kept]]

    def text_of(name: str) -> Column:
        return lambda row: str(found[name].get(str(next(iter(row.values()))["field"])) or "no")

    columns: dict[str, str | tuple[str, Column]] = {
        "column_auc": ("AUC alone, within periods", "backed"),
        "together_auc": ("AUC together with those below", "backed"),
        "open_filled_rate": "filled while open",
        "won_filled_rate": "filled when won",
        "lost_filled_rate": "filled when lost",
        "known": ("declared known at", text_of("known")),
        "why": ("looks like a leak", text_of("why")),
    }
    table = table_of(rows.reset_index(), words, "column", columns, label=lambda claim: words.column(claim["field"]),
                     caption=title)  # fmt: skip
    said: list[Piece] = []
    for name, row in found[found["finding"] != ""].iterrows():
        fate = "; kept out of scores, comparisons, segments and rules" if row["finding"] == ALARM else ""
        text = f"{words.column(str(name))} ({name}): {row['why']}{fate}. {row['advice']}"
        said.append(stating(text, claims[claims["field"] == name]))
    if len(found) and not said:  # without any found nothing could be judged, and the answer says why
        said.append(stating("No column looks like a leak.", areas))
    for best in records(honest[honest["estimate"].notna()].head(1)):
        text = f"The most telling column that is no leak, {words.column(best['field'])}, has an AUC of "
        text += f"{value(best, words)} alone; of a leak the whole interval lies above "
        said.append(stating(f"{text}{written(best['baseline'], best['unit'], words.currency)}.", best))
    return table, *said
