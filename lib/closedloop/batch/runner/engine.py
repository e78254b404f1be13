"""One notebook, one process, one truthful outcome: parameterized by papermill, run by a forked shell or a kernel.

Papermill's own marks are not used: after a dead kernel or a timeout they call every cell completed.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from closedloop.batch.ledger import Limits, Trace, mark
from closedloop.batch.runner.parent import Parent
from closedloop.errors import ClosedLoopError
from closedloop.market.files import write_atomic
from closedloop.terms import Status
from closedloop.workbench.notebooks import Value, check_values, declared

_PAUSE_SECONDS = 0.1  # a process that has closed its sockets is not gone yet
_MOST_TRIES = 3


class TruthfulEngine:
    """The engine for ``papermill --engine closedloop``: an ordinary kernel, and what is saved says what happened.

    It derives from no class of papermill's, which loads this entry point while it is itself being imported.
    """

    @classmethod
    def execute_notebook(cls, nb: Any, kernel_name: str, output_path: str | None = None, **_: Any) -> Any:
        """Run ``nb`` in a kernel of its own; raises ClosedLoopError with the cause, the truth is saved first."""
        from nbformat import writes

        from closedloop.batch.runner.forked import run_in_kernel

        given = nb.metadata.get("papermill", {}).get("parameters", {})
        sources = [cell.source for cell in nb.cells if "parameters" in cell.metadata.get("tags", [])]
        if given:  # papermill would run a name that is not declared, or a value of another type, as code
            check_values(declared(sources[0], "the notebook") if sources else (), given, "the notebook")
        trace = Trace(nb, Limits())
        run_in_kernel(trace, kernel_name)
        mark(trace)
        if output_path:
            write_atomic(Path(output_path), writes(nb).encode())  # type: ignore[no-untyped-call]
        if trace.status is not Status.OK:
            raise ClosedLoopError(trace.cause)
        return nb

    @staticmethod
    def nb_kernel_name(nb: Any, name: str | None = None) -> str:
        """The kernel that was asked for, or else the notebook's."""
        return name or str(nb.metadata.kernelspec.name)

    @staticmethod
    def nb_language(nb: Any, language: str | None = None) -> str:
        """The language that was asked for, or else the notebook's."""
        return language or str(nb.metadata.kernelspec.get("language", "python"))


def execute(
    source: Path, parameters: Mapping[str, Value], limits: Limits | None = None, parent: Parent | None = None
) -> Trace:
    """Run the notebook at ``source`` from top to bottom, in a process that ``parent`` forks or in an ordinary kernel.

    What a notebook does never raises: it is in the status and the cause. A process that does not start is tried once
    more; one whose parent was lost, twice; a cell that fails is not. A notebook in another language than Python takes
    its kernel. Raises NoFork when the parent gives no process.
    """
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    from closedloop.batch.runner.forked import run_forked, run_in_kernel

    for attempt in range(1, _MOST_TRIES + 1):
        notebook = load_notebook_node(str(source))
        spec = {"name": "python3", "language": "python", **notebook.metadata.get("kernelspec", {})}
        if parameters:
            named = {"kernel_name": spec["name"], "language": spec["language"]}
            notebook = parameterize_notebook(notebook, dict(parameters), **named)
        trace = Trace(notebook, limits or Limits())
        if parent and spec["language"] == "python":
            run_forked(trace, parent)
        else:
            run_in_kernel(trace, spec["name"])
        if not (trace.is_lost or (trace.status is Status.START_FAILED and attempt < _MOST_TRIES - 1)):
            break
        time.sleep(_PAUSE_SECONDS)
    mark(trace)
    return trace
