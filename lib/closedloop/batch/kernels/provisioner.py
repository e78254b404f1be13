"""The life of a warm kernel for jupyter_client: an entry point of the group ``jupyter_client.kernel_provisioners``."""

import os
import signal
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Unicode

from closedloop.batch.kernels.warm import Kernel

_NAME = "closedloop-warm"
_COMMAND = ("-f", "kernel.json")  # what a kernel finds in its sys.argv; there is no such file


class WarmProvisioner(KernelProvisionerBase):
    """Forks a kernel from a warm parent, whose socket lies in ``folder`` (of a ``Warmth``), signals and ends it.

    The kernel talks through ``kernel.line``, not through the five sockets of a kernel manager, so it has no
    connection file: one socket without threads takes a quarter of their time for each cell.
    """

    folder = Unicode()
    kernel: Kernel | None = None
    pid: int | None = None

    @classmethod
    def at(cls, folder: Path) -> "WarmProvisioner":
        """A provisioner for one kernel, made by jupyter_client as it makes any other."""
        chosen = {"provisioner_name": _NAME, "config": {"folder": str(folder)}}
        spec = KernelSpec(language="python", metadata={"kernel_provisioner": chosen})
        factory = KernelProvisionerFactory.instance()
        made: Any = factory.create_provisioner_instance(_NAME, spec, parent=None)
        return made  # type: ignore[no-any-return]

    @property
    def has_process(self) -> bool:
        """Has a kernel been forked, and not been waited for?"""
        return self.kernel is not None and self.kernel.code is None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork; raises NotWarm when the parent cannot, ParentLost when it is gone."""
        cwd, environment = kwargs.get("cwd") or str(Path.cwd()), kwargs.get("env") or os.environ
        self.kernel = Kernel(Path(self.folder), cmd or _COMMAND, cwd, environment)
        self.pid = self.kernel.pid
        return self.connection_info

    async def poll(self) -> int | None:
        """The exit code once the kernel has ended, else None; 0 without one."""
        return self.kernel.poll() if self.kernel else 0

    async def wait(self) -> int | None:
        """Wait for the kernel's end; a process that was killed needs some milliseconds."""
        return self.kernel.wait() if self.kernel else 0  # in a loop of its own: nobody else waits meanwhile

    async def send_signal(self, signum: int) -> None:
        """To the kernel and all that it has started."""
        if self.kernel:
            self.kernel.send_signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """End the kernel at once."""
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel to end."""
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Let go of the kernel; one that still lives is killed."""
        if self.kernel and not restart:
            self.kernel.close()
            self.kernel = None
