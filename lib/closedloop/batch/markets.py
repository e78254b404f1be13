"""A market made ready for the batch, in a process of its own: canonical tables, audit page, list of periods."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from tempfile import TemporaryFile
from typing import Any

from closedloop.batch.plan import PeriodPlan
from closedloop.errors import ClosedLoopError
from closedloop.market.definition import read_definition
from closedloop.market.files import hashes, write_atomic
from closedloop.market.kept import fingerprint, package_code

_POLL_SECONDS = 0.1
_MENDABLE = 2  # the exit code of an error that the user can mend


def open_market(market: str, out: Path, is_stopped: Callable[[], bool] = lambda: False) -> list[PeriodPlan]:
    """The market's periods in their order of time: remembered while data and code stay, else made ready first.

    None of them once ``is_stopped``. Errors: ClosedLoopError with what can be mended.
    """
    path, of = out / market / "periods.json", _basis(market)
    if not ((out / market / "audit.html").exists() and _stored(path).get("of") == of):
        _make_ready(market, out, is_stopped)
    return [PeriodPlan(**period) for period in _stored(path).get("periods", ())] if not is_stopped() else []


def _basis(market: str) -> dict[str, str]:
    definition = read_definition(market)
    words = hashes([definition.folder / "market.toml"], definition.folder)  # the audit page is headed by them
    return {"data": fingerprint(definition), "code": package_code(), **words}


def _stored(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _make_ready(market: str, out: Path, is_stopped: Callable[[], bool]) -> None:
    command = [sys.executable, "-P", "-m", "closedloop.batch.markets", market, str(out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with (
        TemporaryFile("w+") as said,
        # it ends when its input does; Ctrl-C is for the runner
        Popen(command, stdin=PIPE, stderr=said, env=environment, start_new_session=True) as process,
    ):
        while process.poll() is None:
            if is_stopped():
                process.kill()
            with suppress(TimeoutExpired):
                process.wait(_POLL_SECONDS)
        said.seek(0)
        text, code = said.read().strip(), process.returncode
    if code == _MENDABLE:
        raise ClosedLoopError(text)
    if code and not is_stopped():
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise RuntimeError(f"{market} cannot be made ready: its process ended with {how}\n{text}")


def make_ready(market: str, out: Path) -> None:
    """Build the market's canonical tables, write its audit page, and list its periods in their order of time."""
    from closedloop.market.imports import note_run
    from closedloop.market.warehouse import open_warehouse
    from closedloop.period.leaks import market_leaks
    from closedloop.period.store import ENDED, START
    from closedloop.presentation.page import audit_html

    warehouse = open_warehouse(market)
    html = audit_html(warehouse.definition, warehouse.audit, market_leaks(warehouse))
    write_atomic(out / market / "audit.html", html.encode())
    periods = [
        PeriodPlan(
            period.name,
            warehouse.has_begun(period),
            {
                START: warehouse.fingerprint(period.planned_on),
                ENDED: warehouse.fingerprint(period.looked_back_on(warehouse.extracted_on)),
            },
        )
        for period in warehouse.periods
    ]
    content = {"of": _basis(market), "periods": [asdict(period) for period in periods]}
    write_atomic(out / market / "periods.json", json.dumps(content, indent=1).encode() + b"\n")
    note_run(warehouse.folder)


def _end_with_input() -> None:
    os.read(0, 1)  # nothing is ever written to it
    os._exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        make_ready(sys.argv[1], Path(sys.argv[2]))
    except ClosedLoopError as error:
        print(error, file=sys.stderr)
        sys.exit(_MENDABLE)
