"""The connection to one QEMU: commands with a deadline, and its events."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from qemu.qmp import ConnectError, ExecuteError, QMPClient, QMPError, StateError

from virtumancer.contracts import VMChange
from virtumancer.errors import CallTimeout, HostLost, HypervisorError

CONNECT_TIMEOUT = 2.0
STATUS_TIMEOUT = 2.0
CHANGES: Mapping[str, VMChange] = {
    "STOP": VMChange.SUSPENDED,
    "RESUME": VMChange.RESUMED,
    "RESET": VMChange.REBOOTED,
    "GUEST_PANICKED": VMChange.CRASHED,
}
Told = Callable[[VMChange], None]


class Monitor:
    """A QEMU that is told what to do. `tell` is called for what happens, at last for its end."""

    def __init__(self, client: QMPClient, timeout: float, tell: Told) -> None:
        self._client = client
        self._timeout = timeout
        self._tell = tell
        self.ended = asyncio.Event()
        self._watching = [asyncio.create_task(self._watch()), asyncio.create_task(self._wait_end())]

    @classmethod
    async def connect(cls, path: str, uuid: str, timeout: float, tell: Told) -> "Monitor | None":
        """Connect to the QEMU behind a socket; None when there is none, or it is another VM's."""
        client = QMPClient(uuid)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await client.connect(path)
        except (ConnectError, OSError, TimeoutError):
            return None
        monitor = cls(client, timeout, tell)
        try:
            asked = await monitor.execute("query-uuid")
        except (HypervisorError, CallTimeout, HostLost):
            asked = {}
        if asked.get("UUID") != uuid:
            await monitor.aclose()
            return None
        return monitor

    async def status(self) -> str:
        """Ask for the run state; a QEMU that hangs must not hold up a listing for long."""
        return str((await self._execute("query-status", {}, min(self._timeout, STATUS_TIMEOUT)))["status"])

    async def execute(self, command: str, **arguments: object) -> Any:
        """Run a command and return what QEMU answers."""
        return await self._execute(command, arguments, self._timeout)

    async def _execute(self, command: str, arguments: dict[str, object], timeout: float) -> Any:
        try:
            async with asyncio.timeout(timeout):
                return await self._client.execute(command, arguments)
        except ExecuteError as error:
            raise HypervisorError(f"QEMU refused {command}: {error}") from error
        except TimeoutError as error:
            raise CallTimeout(f"QEMU did not answer {command} within {timeout:g} s") from error
        except (QMPError, StateError, OSError) as error:
            raise HostLost(f"QEMU is gone: {type(error).__name__}") from error

    async def aclose(self) -> None:
        """Leave the VM to itself."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self.ended.set()
        with suppress(QMPError, OSError, EOFError, TimeoutError):
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._client.disconnect()

    async def _watch(self) -> None:
        async for event in self._client.events:
            change = CHANGES.get(str(event["event"]))
            if change:
                self._tell(change)

    async def _wait_end(self) -> None:
        """Note that QEMU has gone: the protocol library says so by leaving its running state."""
        while self._client.runstate.name == "RUNNING":
            await self._client.runstate_changed()
        self.ended.set()
        self._tell(VMChange.STOPPED)
