"""What a forked process becomes: an IPython kernel whose shell, libraries and figure machinery are already there."""

import ctypes
import importlib
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

_INLINE = "module://matplotlib_inline.backend_inline"
# what notebooks import, and what they would import to compute a moment of their own
_LIBRARIES = (
    *("numpy", "pandas", "pyarrow.parquet", "duckdb", "ibis.backends.duckdb", "matplotlib.pyplot"),
    *("pyarrow.dataset", "ibis.backends.duckdb.converter", "ipywidgets", "pandas.io.formats.csvs", "yaml"),
    *("IPython.extensions.storemagic", "logging.config"),
    *("closedloop.notebook", "closedloop.market.warehouse"),
    *(f"closedloop.loop.{step}" for step in ("research", "personas", "leads", "experiments", "targets")),
    *(f"closedloop.loop.{step}" for step in ("handoff", "deals", "refinement", "review")),
)


_SYSTEM = ctypes.CDLL(None)
_PARENT_DEATH_SIGNAL = 1  # prctl(2)


def prepare() -> None:
    """In the parent, once: a shell first, then the libraries: pandas looks for a shell when it is imported.

    The inline backend is left to the notebook: it changes how figures are shown when it is imported.

    Nothing here may start a thread, open a database or run a notebook's code.
    """
    os.environ["MPLBACKEND"] = _INLINE
    import ipykernel.debugger  # noqa: F401  # costs each kernel some milliseconds otherwise
    from ipykernel.compiler import XCachingCompiler
    from ipykernel.kernelapp import IPKernelApp
    from ipykernel.zmqshell import ZMQInteractiveShell
    from traitlets.config import Config

    IPKernelApp.init_pdb(IPKernelApp())
    _application()
    quiet = Config({"HistoryManager": {"enabled": False, "hist_file": ":memory:"}})  # a history keeps a thread
    shell = ZMQInteractiveShell.instance(config=quiet, compiler_class=XCachingCompiler)
    shell.kernel = None  # pandas asks whether there is one
    with shell.builtin_trap:
        for name in _LIBRARIES:
            importlib.import_module(name)
        assert importlib.import_module("ibis").duckdb  # finds the backend; nothing is opened
        importlib.import_module("closedloop.documents.charts").draw_once()


@cache
def _application() -> Any:
    """The class of the kernel's application; making it takes longer than its instance does."""
    from ipykernel import ipkernel
    from ipykernel.kernelapp import IPKernelApp

    class WarmKernel(IPKernelApp):
        """The kernel application, less what one batch run on this machine does not need."""

        def init_heartbeat(self) -> None:
            """No thread that answers pings: the parent tells when this process ends."""

        def init_poller(self) -> None:
            """No thread that watches the parent: the system ends this process with it."""

        def parse_command_line(self, argv: Any = None) -> None:
            """The one option that there is was set already."""

        def init_kernel(self) -> None:
            """A kernel lists all modules for a debugger; nobody debugs it, and looking at them copies their pages."""
            setattr(ipkernel, "sys", _WithoutModules())  # noqa: B010  # it is not exported, says mypy
            try:
                super().init_kernel()
            finally:
                setattr(ipkernel, "sys", sys)  # noqa: B010

        def init_shell(self) -> None:
            """Introduce the shell, which was made before the kernel, to it and to the user's configuration."""
            shell = self.kernel.shell
            shell.kernel, shell.parent = self.kernel, self.kernel
            shell.update_config(self.config)
            super().init_shell()

    return WarmKernel


def become_kernel(connection_file: str, cwd: str, environment: dict[str, str], ready: Callable[[], None]) -> None:
    """In the child: be the kernel that the connection file describes, until it is told to end."""
    _forget_parent(cwd, environment)
    sys.argv = [str(find_spec("ipykernel_launcher").origin), "-f", connection_file]  # type: ignore[union-attr]
    app = _application().instance(connection_file=connection_file)
    app.initialize([])
    ready()
    app.start()


class _WithoutModules:
    """The module ``sys``, with no modules."""

    modules: ClassVar[dict[str, ModuleType]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


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
