"""Warm kernels for jupyter_client: an entry point of the group ``jupyter_client.kernel_provisioners``."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Unicode

from closedloop.batch.kernels.warm import Kernel

NAME = "closedloop-warm"


class WarmProvisioner(KernelProvisionerBase):
    """Forks the kernel from a warm parent, whose socket lies in ``folder`` (of a ``Warmth``)."""

    parent: Any  # the kernel manager
    folder = Unicode()
    kernel: Kernel | None = None
    pid: int | None = None

    @property
    def has_process(self) -> bool:
        """Has a kernel been forked that was not cleared away yet?"""
        return self.kernel is not None

    @property
    def peak_mb(self) -> float | None:
        """Highest resident memory of a kernel that has ended, in MB of 10^6 bytes."""
        return self.kernel.peak_mb if self.kernel else None

    @property
    def failure(self) -> str:
        """What kept the kernel from starting, if it said."""
        return self.kernel.failure if self.kernel else ""

    @property
    def is_lost(self) -> bool:
        """Has the kernel ended because its parent did?"""
        return self.kernel is not None and self.kernel.is_lost

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Write the connection file; the command that would start an ordinary kernel is not needed."""
        self.parent.write_connection_file()
        self.connection_info = self.parent.get_connection_info()
        return await super().pre_launch(cmd=[], **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork; raises NotWarm when the parent cannot."""
        cwd = kwargs.get("cwd") or str(Path.cwd())
        environment = kwargs.get("env") or dict(os.environ)
        self.kernel = Kernel(Path(self.folder), self.parent.connection_file, cwd, environment)
        self.pid = self.kernel.pid
        return self.connection_info

    async def poll(self) -> int | None:
        """The exit code once the kernel has ended, else None; 0 without one."""
        return self.kernel.poll() if self.kernel else 0

    async def wait(self) -> int | None:
        """Wait for the kernel's end; a process that was killed needs a millisecond."""
        code: int | None = 0
        if self.kernel:
            while (code := self.kernel.poll()) is None:
                await asyncio.sleep(0.002)
            self.kernel.close()
            self.kernel = None
        return code

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
        """Let go of a kernel that was not waited for."""
        if self.kernel and not restart:
            self.kernel.close()
            self.kernel = None
