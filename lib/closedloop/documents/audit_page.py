"""The audit page of a market: what was read, set aside and emptied, and which columns know the answer."""

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from closedloop.market.definition import Definition
from closedloop.market.periods import as_told
from closedloop.presentation.page import page, templates

if TYPE_CHECKING:
    import pandas as pd

    from closedloop.market.staging.audit import Audit

_PARTS = (
    (
        "tables",
        "Tables",
        "Rows that the loop uses, rows that were set aside, and rows equal to an earlier one but for ids.",
    ),
    (
        "actions",
        "What was done",
        "Rows set aside, cells emptied, and contradictions that were only marked. Lines are those of the file as an "
        "editor shows it, its header the first; without a file they are rows of the select.",
    ),
    (
        "leaks",
        "Columns that know the answer",
        "Columns that alone or together tell the outcome too well, or are filled because of it. Alarm: declared known "
        "before the outcome, so kept out of scores, comparisons, segments and rules. Remark: declared at the close or "
        "not at all, vouched for by people, or with a level of which none or all were won.",
    ),
    (
        "columns",
        "Columns",
        "When each column is known, the share of its cells that are empty, and what keeps it out of rules, segments, "
        "comparisons and scores, until it is listed under [checked].",
    ),
)


_EMPTY = {"leaks": "No column looks like a leak."}
_LEFT_OUT = ["auc_within_low", "auc_within_high", "auc_together_low", "auc_together_high", "level", "k", "n_level"]


def audit_html(definition: Definition, audit: "Audit", leaks: "pd.DataFrame") -> str:
    """The audit page: what the contract did to the market's rows, and which columns look like leaks.

    ``leaks``: as of ``loop.leaks.market_leaks``.
    """
    frames = vars(audit) | {"leaks": leaks.drop(columns=_LEFT_OUT, errors="ignore")}
    # a market without dates has no first and last day
    frames["tables"] = audit.tables.dropna(axis="columns", how="all")
    parts = [_part(title, text, frames[name], _EMPTY.get(name, "")) for name, title, text in _PARTS]
    last = as_told(definition, definition.extracted_on) if definition.extracted_on else ""
    template = templates("closedloop.documents").get_template("audit.html")
    body = template.render(definition=definition, last=last, parts=parts)
    return page(f"Audit: {definition.title}", Markup(body), kind="wide", crumbs=[("All runs", "../index.html")])


def _part(title: str, text: str, frame: "pd.DataFrame", empty: str) -> dict[str, Any]:
    columns: dict[Any, str] = {name: str(name).removeprefix("n_").replace("_", " ") for name in frame.columns}
    numeric = [columns[name] for name in frame.select_dtypes("number").columns]
    rows = [[(columns[n], _cell(str(n), v)) for n, v in row.items()] for row in frame.to_dict("records")]
    shown = {"columns": list(columns.values()), "numeric": numeric, "rows": rows}
    return {"title": title, "text": text, "empty": empty or "Nothing to report.", **shown}


def _cell(name: str, value: Any) -> str:
    if hasattr(value, "__len__") and not isinstance(value, str):
        return ", ".join(map(str, value[:10])) + (" …" if len(value) > 10 else "")
    if value is None or str(value) in ("None", "nan", "NaT", "<NA>", ""):
        return "–"
    if name.endswith("_share"):
        return f"{value:.1%}"
    return f"{value:.2f}" if name.startswith("auc") else str(value)
