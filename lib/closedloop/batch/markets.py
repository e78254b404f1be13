"""A market made ready for the batch, in a process of its own: canonical tables, list of periods, audit page."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
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
Condition = Callable[[], bool]
_MENDABLE = 2  # the exit code of an error that the user can mend


def open_market(market: str, out: Path, is_stopped: Condition, later: ExitStack) -> list[PeriodPlan]:
    """The market's periods in their order of time: remembered while data and code stay, else made ready first.

    Its audit page may still be on its way then: closing ``later`` waits for it. No periods once ``is_stopped``.
    Errors: ClosedLoopError with what can be mended, here or when ``later`` is closed.
    """
    path, page, of = out / market / "periods.json", out / market / "audit.html", _basis(market)
    if not (page.exists() and _stored(path).get("of") == of):
        page.unlink(missing_ok=True)  # so that one of today is there in the end, or none
        making = later.enter_context(_Making(market, out, is_stopped))
        making.wait(lambda: _stored(path).get("of") == of)
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


class _Making(AbstractContextManager["_Making"]):
    """The process that makes a market ready; leaving the block waits for its end, or kills it after an error."""

    def __init__(self, market: str, out: Path, is_stopped: Condition) -> None:
        self._market, self._is_stopped, self._said = market, is_stopped, TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, "-P", "-m", "closedloop.batch.markets", market, str(out)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        # it ends when its input does; Ctrl-C is for the runner
        self._process = Popen(command, stdin=PIPE, stderr=self._said, env=environment, start_new_session=True)

    def wait(self, is_enough: Condition = lambda: False) -> None:
        """Wait for its end, or until it has done ``is_enough``."""
        while self._process.poll() is None and not is_enough():
            if self._is_stopped():
                self._process.kill()
            with suppress(TimeoutExpired):
                self._process.wait(_POLL_SECONDS)
        self._said.seek(0)
        text, code = self._said.read().strip(), self._process.returncode
        if code == _MENDABLE:
            raise ClosedLoopError(text)
        if code and not self._is_stopped():
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise RuntimeError(f"{self._market} cannot be made ready: its process ended with {how}\n{text}")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._process, self._said:
            if kind is None:
                self.wait()
            else:
                self._process.kill()


def make_ready(market: str, out: Path) -> None:
    """Build the market's canonical tables, list its periods in their order of time, and write its audit page."""
    from closedloop.market.imports import note_run
    from closedloop.market.warehouse import open_warehouse
    from closedloop.period.leaks import market_leaks
    from closedloop.period.store import ENDED, START
    from closedloop.presentation.page import audit_html

    warehouse = open_warehouse(market)
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
    html = audit_html(warehouse.definition, warehouse.audit, market_leaks(warehouse))
    write_atomic(out / market / "audit.html", html.encode())


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
