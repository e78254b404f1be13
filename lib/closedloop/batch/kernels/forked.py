"""What a forked process becomes: an IPython kernel whose shell, libraries and figure machinery are already there."""

import ctypes
import importlib
import os
import random
import signal
import socket
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from closedloop.batch.imports import without
from closedloop.batch.kernels.line import Line

_INLINE = "module://matplotlib_inline.backend_inline"
# what the collection's notebooks use; databases and scipy, which only computing a moment takes, are not among it
LIBRARIES = (
    *("numpy", "pandas", "pyarrow.parquet", "matplotlib.pyplot", "yaml", "closedloop.notebook"),
    *("pandas.io.formats.csvs", "pandas.io.formats.string", "encodings.utf_8_sig"),
    *("IPython.extensions.storemagic", "logging.config"),
)

_SYSTEM = ctypes.CDLL(None)
_PARENT_DEATH_SIGNAL = 1  # prctl(2)


def prepare() -> None:
    """In the parent, once: a shell first, then the libraries: pandas looks for a shell when it is imported.

    The inline backend is left to the notebook: it changes how figures are shown when it is imported.

    Nothing here may start a thread, open a database or run a notebook's code.
    """
    os.environ["MPLBACKEND"] = _INLINE
    with without("debugpy"):  # nobody debugs a kernel of a batch
        import ipykernel.debugger  # noqa: F401
    from ipykernel.compiler import XCachingCompiler
    from ipykernel.zmqshell import ZMQInteractiveShell
    from traitlets.config import Config

    quiet = Config({"HistoryManager": {"enabled": False, "hist_file": ":memory:"}})  # a history keeps a thread
    shell = ZMQInteractiveShell.instance(config=quiet, compiler_class=XCachingCompiler)
    shell.kernel = None  # pandas asks whether there is one
    with shell.builtin_trap:
        for name in LIBRARIES:
            importlib.import_module(name)
        importlib.import_module("closedloop.batch.kernels.rehearsal").rehearse()
        importlib.import_module("closedloop.batch.kernels.kernel").prepare()


def become_kernel(
    end: socket.socket, argv: list[str], cwd: str, environment: dict[str, str], ready: Callable[[], None]
) -> None:
    """In the child: be a kernel that talks through ``end``, until that ends; ``ready`` is called once it listens."""
    from closedloop.batch.kernels import kernel

    _forget_parent(cwd, environment)
    sys.argv = [str(find_spec("ipykernel_launcher").origin), *argv]  # type: ignore[union-attr]
    kernel.run(Line(end), ready)


def _forget_parent(cwd: str, environment: dict[str, str]) -> None:
    """A process of its own: folder, environment, signals, output, and generators that no other kernel shares."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    os.environ["MPLBACKEND"] = environment.get("MPLBACKEND") or _INLINE
    os.chdir(cwd)
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    reseed()


def reseed() -> None:
    """Give the global generators new seeds from the system, as a process that was not forked has."""
    import numpy as np

    random.seed()
    np.random.seed(int.from_bytes(os.urandom(4), "little"))  # noqa: NPY002  # the global one is what is shared


def threads() -> list[str]:
    """The names of this process's threads, as the system knows them; more than one must not be forked."""
    return sorted(_name(path) for path in Path("/proc/self/task").iterdir())


def _name(task: Path) -> str:
    return (task / "comm").read_text().strip()


def end_with_parent(parent: int) -> None:
    """Have the system kill this process when the process ``parent`` ends, however that ends."""
    _SYSTEM.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)
