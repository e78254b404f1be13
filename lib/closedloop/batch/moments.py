"""The work of worker processes: open a market, compute a moment of a period. None of it runs in the parent."""

import hashlib
import json
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from closedloop.batch.plan import OUTCOME, PLAN, STEPS, PeriodPlan

if TYPE_CHECKING:
    from closedloop.market.warehouse import Warehouse


@dataclass(frozen=True)
class Turn:
    """What a computed moment tells the runner; ``missing`` counts sections without evidence by step."""

    personas: tuple[str, ...] = ()
    competitors: tuple[str, ...] = ()
    missing: Mapping[str, int] | None = None
    peak_mb: float | None = None


def open_market(market: str, out: Path) -> list[PeriodPlan]:
    """Build the market's warehouse, write its audit page, and list its periods in their order of time."""
    from closedloop.batch.report import write_audit
    from closedloop.loop import turn
    from closedloop.market.warehouse import open_warehouse

    warehouse = open_warehouse(market)
    write_audit(out, warehouse.definition, warehouse.audit)
    seen = _Seen(warehouse)
    return [
        PeriodPlan(
            period.name,
            turn.has_begun(market, period.name),
            {
                PLAN: seen.fingerprint(period.planned_on),
                OUTCOME: seen.fingerprint(period.looked_back_on(warehouse.extracted_on)),
            },
        )
        for period in turn.periods(market)
    ]


class _Seen:
    """Fingerprints of all rows that a view may see: they change when one of those rows does."""

    def __init__(self, warehouse: "Warehouse") -> None:
        self.warehouse = warehouse
        self.found: dict[date, str] = {}

    def fingerprint(self, on: date) -> str:
        if on not in self.found:
            self.found[on] = self._fingerprint(on)
        return self.found[on]

    def _fingerprint(self, on: date) -> str:
        from pandas.util import hash_pandas_object

        view, digest = self.warehouse.view(on), hashlib.sha256()
        for name in sorted(self.warehouse.tables):
            frame = view.known(name).execute()
            rows = hash_pandas_object(frame, index=False).sort_values()
            digest.update(f"{name} {list(frame.columns)} {len(frame)}".encode() + rows.to_numpy().tobytes())
        return digest.hexdigest()


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
