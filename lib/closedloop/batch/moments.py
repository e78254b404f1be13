"""What a market's worker does: open the market, compute a moment of a period. None of it runs in the runner."""

import json
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from closedloop.batch.ledger import hashes, write_atomic
from closedloop.batch.plan import OUTCOME, PLAN, STEPS, PeriodPlan
from closedloop.market.definition import read_definition
from closedloop.market.fingerprint import fingerprint, package_code

Call = Callable[..., list[PeriodPlan]]


@dataclass(frozen=True)
class Turn:
    """What a computed moment tells the runner; ``missing`` counts sections without evidence by step."""

    personas: tuple[str, ...] = ()
    competitors: tuple[str, ...] = ()
    missing: Mapping[str, int] | None = None
    peak_mb: float | None = None


def open_market(market: str, out: Path, call: Call) -> list[PeriodPlan]:
    """The market's periods in their order of time: remembered while data and code stay, else opened by ``call``."""
    path, definition = out / market / "periods.json", read_definition(market)
    words = hashes([definition.folder / "market.toml"], definition.folder)  # the audit page is headed by them
    of = {"data": fingerprint(definition), "code": package_code(), **words}
    stored = _stored(path)
    if stored.get("of") == of and (out / market / "audit.html").exists():
        return [PeriodPlan(**period) for period in stored["periods"]]
    periods = call(opened, market, out)
    content = {"of": of, "periods": [asdict(period) for period in periods]}
    write_atomic(path, json.dumps(content, indent=1).encode() + b"\n")
    return periods


def _stored(path: Path) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stored


def opened(market: str, out: Path) -> list[PeriodPlan]:
    """Build the market's warehouse, write its audit page, and list its periods in their order of time."""
    from closedloop.batch.report import write_audit
    from closedloop.loop import turn
    from closedloop.loop.leaks import market_leaks
    from closedloop.market.warehouse import open_warehouse

    warehouse = open_warehouse(market)
    write_audit(out, warehouse.definition, warehouse.audit, market_leaks(warehouse))
    return [
        PeriodPlan(
            period.name,
            turn.has_begun(market, period.name),
            {
                PLAN: warehouse.fingerprint(period.planned_on),
                OUTCOME: warehouse.fingerprint(period.looked_back_on(warehouse.extracted_on)),
            },
        )
        for period in turn.periods(market)
    ]


def compute(moment: str, market: str, period: str, out: Path) -> Turn:
    """Compute one moment ("plan", "outcome") of a period, write its files, and tell the runner what it found."""
    from closedloop.loop import turn
    from closedloop.loop.persona import read_set

    folder = (turn.plan if moment == PLAN else turn.look_back)(market, period, out)
    found = {step: json.loads((folder / "tables" / f"{step}.json").read_text("utf-8")) for step in STEPS[moment]}
    missing = {step: len(stored["missing"]) for step, stored in found.items()}
    if moment == OUTCOME:
        return Turn(missing=missing, peak_mb=_peak_mb())
    competitors: Sequence[str] = found["personas"]["results"].get("competitors") or ()
    personas = read_set(folder / "personas.yml").ids
    return Turn(tuple(personas), tuple(competitors), missing, _peak_mb())


def _peak_mb() -> float:
    """Highest resident memory of this process so far, in MB of 10^6 bytes: at least its latest task's."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
