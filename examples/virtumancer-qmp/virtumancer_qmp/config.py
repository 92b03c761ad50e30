"""The settings of this plugin, and the test that QEMU is there."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from virtumancer.contracts import PluginConfig
from virtumancer.errors import HypervisorError

VERSION_TIMEOUT = 5.0
Seconds = Annotated[float, Meta(gt=0, le=300, extra={"unit": "seconds"})]


class QMPConfig(PluginConfig, frozen=True):
    """The table `[plugins.qmp]`."""

    binary: Annotated[str, Meta(min_length=1, description="The QEMU to start.")] = "qemu-system-x86_64"
    accelerator: Annotated[
        Literal["auto", "kvm", "tcg"], Meta(description="`auto` takes KVM where this user may open /dev/kvm.")
    ] = "auto"
    runtime_folder: Annotated[
        str, Meta(description="Where the sockets are; by default a folder of this user's that ends with the session.")
    ] = ""
    stop_timeout: Annotated[Seconds, Meta(description="How long QEMU may take to quit before it is killed.")] = 5.0

    def folder(self) -> Path:
        """Return where the sockets of the VMs are."""
        if self.runtime_folder:
            return Path(self.runtime_folder)
        base = os.environ.get("XDG_RUNTIME_DIR") or ("/run" if os.geteuid() == 0 else "~/.cache")
        return Path(base).expanduser() / "virtumancer-qmp"

    def accelerated(self) -> str:
        """Return the accelerator to use."""
        if self.accelerator != "auto":
            return self.accelerator
        return "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"

    async def check(self) -> None:
        """Ask QEMU for its version."""
        try:
            process = await asyncio.create_subprocess_exec(
                self.binary, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            raise HypervisorError(f"{self.binary} cannot be started: {error.strerror}; install QEMU") from error
        try:
            async with asyncio.timeout(VERSION_TIMEOUT):
                said, _ = await process.communicate()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise HypervisorError(f"{self.binary} --version did not end; is it a QEMU?") from error
        if b"QEMU" not in said:
            raise HypervisorError(f"{self.binary} --version does not say that it is a QEMU")
