"""``closedloop check``: what a market's data would do to its pages, before anything is claimed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from closedloop.errors import ClosedLoopError, ParameterError
from closedloop.market import imports
from closedloop.market.building import build_warehouse
from closedloop.market.definition import read_definition
from closedloop.market.staging.audit import Audit, held_back
from closedloop.market.staging.checks import told
from closedloop.market.staging.findings import told as finding_told
from closedloop.market.warehouse import Warehouse, open_warehouse
from closedloop.period.leaks import ALARM, market_leaks
from closedloop.period.leaks import told as leaks_told
from closedloop.presentation.page import audit_html
from closedloop.workbench.notebooks import notebooks

NOTHING, WARNING, CANNOT_RUN = 0, 1, 3


@dataclass(frozen=True)
class Checked:
    """The outcome of a check, as text, page and document; ``exit_code`` is one of NOTHING, WARNING, CANNOT_RUN."""

    text: str
    page: str
    document: dict[str, Any]
    exit_code: int


def check(market: str, tell: Callable[[str], None], *, may_shrink: bool = False) -> Checked:
    """Read a market's files and judge them; a market that cannot run is told in one line. Errors: ParameterError.

    ``may_shrink``: as of ``build_warehouse``.
    """
    n_notebooks = len(notebooks())
    try:
        if may_shrink:
            build_warehouse(read_definition(market), may_shrink=True)
        warehouse = open_warehouse(market)
        tell(f"{market}: looking for columns that know the answer")
        leaks = market_leaks(warehouse)
        return _checked(market, warehouse, warehouse.audit, leaks, n_notebooks)
    except ParameterError:
        raise
    except ClosedLoopError as error:
        return Checked(f"{market} cannot run: {error}", "", {"market": market, "cannot_run": str(error)}, CANNOT_RUN)


def _since(warehouse: Warehouse) -> list[str]:
    """What is other than at the import before this one; nothing where there was none."""
    old = imports.before(warehouse.folder)
    if old is None:
        return []
    lines = [imports.told(change) for change in imports.changes(old, warehouse.folder)]
    lines += imports.headers_told(old, warehouse.folder)
    again = imports.periods_that_change(warehouse.definition, old, warehouse.folder)
    lines.append(f"past periods that change, and run again: {', '.join(again) or 'none'}")
    return ["\n".join(["Since the last import:", *lines])]


def _checked(market: str, warehouse: Warehouse, audit: Audit, leaks: pd.DataFrame, n_notebooks: int) -> Checked:
    actions, findings = audit.actions.to_dict("records"), audit.findings.to_dict("records")
    held, since = held_back(audit), _since(warehouse)
    parts = [
        audit.sources.to_string(index=False),
        audit.tables.dropna(axis="columns", how="all").fillna("-").to_string(index=False),
        "\n".join(map(told, actions)) or "Nothing was set aside, emptied or marked.",
        "\n".join(map(finding_told, findings)) or "Nothing else looks wrong.",
        "\n".join([*held, *leaks_told(leaks)]),
        *since,
        f"{n_notebooks} notebooks can be read.",
    ]
    is_decided = [action["action"] == "left out" for action in actions]  # as people said that it be
    is_wrong = bool(not all(is_decided) or findings or held or (leaks["finding"] == ALARM).any())
    document = {
        "market": market,
        **{name: getattr(audit, name).to_dict("records") for name in ("sources", "tables", "columns")},
        "actions": actions,
        "since": since,
        "findings": findings,
        "held_back": held,
        "leaks": leaks[["table", "column", "known", "finding", "why", "advice"]].to_dict("records"),
    }
    page = audit_html(warehouse.definition, audit, leaks)
    return Checked("\n\n".join(parts), page, document, WARNING if is_wrong else NOTHING)
