"""One notebook, one kernel, one truthful outcome: papermill with an engine that keeps its own account.

Papermill's own marks are not used: after a dead kernel or a timeout they call every cell completed.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closedloop.batch.imports import without
from closedloop.batch.kernels.warm import NotWarm, ParentLost
from closedloop.batch.ledger import write_atomic
from closedloop.batch.parameters import Value, check_values, declared
from closedloop.batch.trace import Limits, Trace, ending, tell_truth
from closedloop.terms import Status

RESULTS_MIME = "application/vnd.closedloop.results+json"
ENGINE = "closedloop"
_PAUSE_SECONDS = 0.1  # a process that has closed its sockets is not gone yet
_MOST_TRIES = 3
Warm = Callable[[], Path]


@dataclass(frozen=True)
class Execution:
    """How a notebook ended; ``notebook`` is what a reader gets, also of a failed run (None without any)."""

    status: Status
    cause: str
    notebook: Any
    results: Mapping[str, Any]
    peak_mb: float | None


class TruthfulEngine:
    """The engine for papermill (``papermill --engine closedloop``): what it saves says what happened, whole or not.

    Options: ``trace``, ``limits``, ``warm`` (the folder of a parent that forks kernels). It derives from no class of
    papermill's, which loads this entry point while it is itself being imported.
    """

    @classmethod
    def execute_notebook(
        cls, nb: Any, kernel_name: str, output_path: str | None = None, progress_bar: bool = True, **options: Any
    ) -> Any:
        """Run ``nb`` in a kernel of its own; raises what ended it, with the truth saved first."""
        trace = options.get("trace") or Trace()
        trace.notebook = nb
        status = Status.FAILED
        try:
            _check_parameters(nb)
            _run(nb, kernel_name, trace, options.get("limits") or Limits(), options.get("warm"))
            status = Status.OK
        except Exception as error:
            status, _ = ending(error, trace)
            raise
        finally:
            tell_truth(trace, status)
            if output_path:
                from nbformat import writes

                write_atomic(Path(output_path), writes(nb).encode())  # type: ignore[no-untyped-call]
        return nb

    @staticmethod
    def nb_kernel_name(nb: Any, name: str | None = None) -> str:
        """The kernel that was asked for, or else the notebook's."""
        return name or str(nb.metadata.kernelspec.name)

    @staticmethod
    def nb_language(nb: Any, language: str | None = None) -> str:
        """The language that was asked for, or else the notebook's."""
        return language or str(nb.metadata.kernelspec.get("language", "python"))


def _run(notebook: Any, kernel_name: str, trace: Trace, limits: Limits, warm: Path | None) -> None:
    from closedloop.batch.client import OrdinaryClient
    from closedloop.batch.warm_client import WarmClient

    client: Any = (WarmClient if warm else OrdinaryClient)(notebook, kernel_name=kernel_name, coalesce_streams=True)
    client.log.setLevel(logging.CRITICAL)  # the ledger tells it; a log line would repeat data
    client.trace, client.limits, client.warm = trace, limits, warm
    client.run()


def _check_parameters(notebook: Any) -> None:
    """Refuse names that the notebook does not declare, and values of other types: papermill would run them as code."""
    given = notebook.metadata.get("papermill", {}).get("parameters", {})
    sources = [cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if given:
        check_values(declared(sources[0], "the notebook") if sources else (), given, "the notebook")


def execute(
    source: Path, parameters: Mapping[str, Value], limits: Limits | None = None, warm: Warm | None = None
) -> Execution:
    """Run the notebook at ``source`` from top to bottom in a kernel of its own; ``warm`` gives a parent that forks it.

    What a notebook does never raises: it is in the status and the cause. A kernel that does not start is tried once
    more, on fresh sockets; one whose parent was lost, twice; a cell that fails is not. Raises NotWarm when the parent
    gives no kernel.
    """
    for attempt in range(1, _MOST_TRIES + 1):
        trace = Trace()
        status, cause = _attempt(source, parameters, limits or Limits(), trace, warm)
        if not (trace.is_lost or (status is Status.START_FAILED and attempt < _MOST_TRIES - 1)):
            break
        time.sleep(_PAUSE_SECONDS)
    return Execution(status, cause, trace.notebook, recorded_results(trace.notebook), trace.peak_mb)


def _attempt(
    source: Path, parameters: Mapping[str, Value], limits: Limits, trace: Trace, warm: Warm | None
) -> tuple[Status, str]:
    with without("rfc3987_syntax"):  # for addresses in any alphabet, of which notebooks hold none; half a second
        from papermill.iorw import load_notebook_node
        from papermill.parameterize import parameterize_notebook

    named = {"kernel_name": "python3", "language": "python", "engine_name": ENGINE}
    told: dict[str, Any] = {"trace": trace, "limits": limits, "warm": warm() if warm else None}
    try:  # what papermill's execute_notebook does, but for what it writes to the notebook before, and to disk after it
        notebook = load_notebook_node(str(source))
        notebook = parameterize_notebook(notebook, dict(parameters), **named) if parameters else notebook
        TruthfulEngine.execute_notebook(notebook, "python3", **told)
    except NotWarm:
        raise
    except Exception as error:
        trace.is_lost |= isinstance(error, ParentLost)
        return ending(error, trace)
    return Status.OK, ""


def recorded_results(notebook: Any) -> dict[str, Any]:
    """The key figures that the notebook's last results display holds; none without one."""
    found: dict[str, Any] = {}
    for cell in notebook.cells if notebook is not None else ():
        for output in cell.get("outputs", []):
            found = dict(output.get("data", {}).get(RESULTS_MIME, found))
    return found
