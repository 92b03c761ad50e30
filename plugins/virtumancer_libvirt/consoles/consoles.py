"""The consoles of one host's VMs: which there are, and the way to each, always to the right VM."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from virtumancer.contracts import ByteStream, ConsoleConnection, ConsoleOffer
from virtumancer.errors import (
    AbilityMissing,
    CallTimeout,
    ConsoleClosed,
    ConsoleNotFound,
    HypervisorError,
    VirtumancerError,
    WrongPowerState,
)
from virtumancer.streams import SocketStream, TLSStream
from virtumancer_libvirt.binding.api import libvirt
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.consoles.dialer import ConsoleDialer, tls_context
from virtumancer_libvirt.consoles.fd_handoff import Handover
from virtumancer_libvirt.consoles.graphics import ConsoleDevices, Display, parse_consoles, password_in
from virtumancer_libvirt.consoles.serial import open_serial
from virtumancer_libvirt.uri.uri import LibvirtURI

__all__ = ["Ask", "Consoles"]

log = logging.getLogger(__name__)

R = TypeVar("R")

_NOT_RUNNING = "the VM does not run; start it first"


class Ask(Protocol):
    """Runs a function on one of the host's connections; `doing` completes "Host kvm1 did not …"."""

    def __call__(self, function: Callable[[VirConnect], R], doing: str) -> Awaitable[R]:
        """Run it, within the deadline."""
        ...


class Consoles:
    """Finds and opens consoles.

    `describe` is for what waits for others who have something to do with a VM, `ask_vm` for calls that make libvirt
    talk to it, which may hang, and `ask` for all others. `named` tells the name of a VM by its UUID.
    """

    def __init__(
        self,
        uri: LibvirtURI,
        reach: ConsoleDialer,
        ask: Ask,
        describe: Ask,
        ask_vm: Ask,
        timeout: float,
        named: Callable[[str], str] = str,
    ) -> None:
        self._uri = uri
        self._reach = reach
        self._ask = ask
        self._describe = describe
        self._ask_vm = ask_vm
        self._timeout = timeout
        self._named = named

    async def offers(self, uuid: str) -> Sequence[ConsoleOffer]:
        """Name the consoles of a VM."""
        devices = await self._devices(uuid)
        found = {
            kind: self._why_not(display) or _expiry(devices, display) for kind, display in devices.displays.items()
        }
        if devices.serial:
            found["serial"] = self._why_no_serial(devices)
        if devices.run is None:
            found = dict.fromkeys(found, _NOT_RUNNING)
        aliases = tuple(port.alias for port in devices.openable)
        choices = {"serial": aliases if len(aliases) > 1 else ()}
        return [ConsoleOffer(kind, not reason, reason, choices.get(kind, ())) for kind, reason in found.items()]

    async def open(self, uuid: str, kind: str) -> ConsoleConnection:
        """Connect to one of them. A VM that restarts meanwhile is tried once more."""
        if kind == "serial":
            return await self.open_serial(uuid)
        for _attempt in range(2):
            if console := await self._open_display(uuid, kind):
                return console
        raise WrongPowerState(
            f"VM {self._named(uuid)} restarts again and again; open its {kind} console when it has settled."
        )

    async def open_serial(self, uuid: str, alias: str = "") -> ConsoleConnection:
        """Connect to a serial console: the one of this alias, or the first that can be opened."""
        devices = await self._running(uuid)
        if not devices.serial:
            raise _no_such(devices, "serial")
        if reason := self._why_no_serial(devices):
            raise HypervisorError(f"The serial console of VM {devices.name} cannot be opened: {reason}.")
        port = next((one for one in devices.openable if alias in ("", one.alias)), None)
        if port is None:
            aliases = ", ".join(one.alias for one in devices.openable)
            raise ConsoleNotFound(f"VM {devices.name} has no serial console {alias[:80]!r}; it has {aliases}.")
        stream, name = await self._reach.dial_daemon(), self._uri.at_the_daemon
        try:
            async with asyncio.timeout(self._timeout):
                device = None if port == devices.ports[0] else port.alias
                safe = self._uri.driver == "qemu"
                return ConsoleConnection(await open_serial(stream, name, uuid, devices.name, safe=safe, device=device))
        except TimeoutError as error:
            message = f"The serial console of VM {devices.name} was not opened within {self._timeout:g} s; try again."
            raise CallTimeout(message) from error

    async def _open_display(self, uuid: str, kind: str) -> ConsoleConnection | None:
        """Connect, and look again: what the VM had in this same run is known to be its own. None when it is another.

        A display keeps its place for as long as a VM runs. Not by the description: who hangs in a VM holds that up.
        """
        devices, password = await self._look_with_secrets(uuid, kind)
        display = self._reachable(devices, kind)
        if password is not None and (expired := _expiry(devices, display)):
            raise HypervisorError(expired)
        try:
            stream = await self._connect(uuid, display)
        except HypervisorError as error:
            if await self._restarted(uuid, devices):
                return None
            raise HypervisorError(
                f"The {kind} console of VM {devices.name} cannot be reached: {error.message}."
            ) from error
        try:
            restarted = await self._restarted(uuid, devices)
        except BaseException:
            await stream.close()
            raise
        if restarted:
            await stream.close()
            return None
        return ConsoleConnection(stream, password)

    async def _connect(self, uuid: str, display: Display) -> ByteStream:
        stream = await self._from_hypervisor(uuid, display) if self._reach.takes_descriptors else None
        if stream is not None:
            return stream
        stream = await self._reach.dial(self._reach.target(display))
        if not display.needs_tls:
            return stream
        try:
            return await self._with_tls(stream)
        except BaseException:
            await stream.close()
            raise

    async def _with_tls(self, stream: ByteStream) -> ByteStream:
        name = self._reach.tls_name()
        context = await asyncio.to_thread(tls_context, name)
        try:
            async with asyncio.timeout(self._timeout):
                return await TLSStream.connect(stream, context, name)
        except TimeoutError as error:
            raise HypervisorError(f"its TLS port did not shake hands within {self._timeout:g} s") from error
        except (ssl.SSLError, ConsoleClosed) as error:
            raise HypervisorError(f"TLS with it failed: {error}") from error

    async def _from_hypervisor(self, uuid: str, display: Display) -> ByteStream | None:
        """Ask the hypervisor for a connected socket; None where it has none to give and the display listens."""
        handover = Handover()
        doing = f"open the {display.kind} console of VM {self._named(uuid)}"

        def fetch(node: VirConnect) -> None:
            handover.put(
                lambda: node.on_domain(uuid, doing, lambda domain: int(domain.openGraphicsFD(display.index, 0)))
            )

        try:
            await self._ask_vm(fetch, doing)
            return await SocketStream.adopt(handover.take(), f"the {display.kind} console of VM {self._named(uuid)}")
        except (HypervisorError, AbilityMissing, CallTimeout) as error:
            if not display.listens:
                raise
            log.debug("VM %s hands out no socket for %s, so it is dialled: %s", uuid, display.kind, error)
            return None
        finally:
            handover.abandon()

    async def _look_with_secrets(self, uuid: str, kind: str) -> tuple[ConsoleDevices, str | None]:
        """Describe a VM that runs, and read the password of a display, which only XML with secrets has, if any."""

        def look(node: VirConnect) -> tuple[ConsoleDevices, str | None]:
            document = node.xml(uuid, libvirt.VIR_DOMAIN_XML_SECURE)
            return parse_consoles(document), password_in(document, kind)

        try:
            devices, password = await self._describe(look, f"describe VM {self._named(uuid)}")
        except HypervisorError as error:  # an account that may look but not see secrets
            log.debug("VM %s is described without its secrets: %s", uuid, error)
            return await self._running(uuid), None
        return _if_running(devices), password

    async def _restarted(self, uuid: str, devices: ConsoleDevices) -> bool:
        run = await self._ask(lambda node: node.run_of(uuid), f"look up VM {self._named(uuid)}")
        if run is None:
            raise _stopped(devices)
        return run != devices.run

    async def _running(self, uuid: str) -> ConsoleDevices:
        return _if_running(await self._devices(uuid))

    async def _devices(self, uuid: str) -> ConsoleDevices:
        return await self._describe(lambda node: parse_consoles(node.xml(uuid)), f"describe VM {self._named(uuid)}")

    def _reachable(self, devices: ConsoleDevices, kind: str) -> Display:
        display = devices.displays.get(kind)
        if display is None:
            raise _no_such(devices, kind)
        if reason := self._why_not(display):
            raise HypervisorError(f"The {kind} console of VM {devices.name} cannot be reached: {reason}.")
        return display

    def _why_not(self, display: Display) -> str:
        return self._reach.why_not(display)

    def _why_no_serial(self, devices: ConsoleDevices) -> str:
        if devices.serial != "pty":
            return f"it is connected to a {devices.serial}; libvirt opens one of type pty only"
        return self._reach.why_no_serial()


def _if_running(devices: ConsoleDevices) -> ConsoleDevices:
    if devices.run is None:
        raise _stopped(devices)
    return devices


def _stopped(devices: ConsoleDevices) -> WrongPowerState:
    return WrongPowerState(f"VM {devices.name} does not run; start it to open its console.")


def _expiry(devices: ConsoleDevices, display: Display) -> str:
    """Say that a password has expired; empty when it has not, or when there is none that could."""
    if not display.password_ends:
        return ""
    try:
        end = datetime.fromisoformat(display.password_ends).replace(tzinfo=UTC)
    except ValueError:  # a form that we do not know: let the hypervisor judge
        return ""
    if end > datetime.now(UTC):
        return ""
    return f"The {display.kind} password of VM {devices.name} expired at {display.password_ends} UTC; set a new one."


def _no_such(devices: ConsoleDevices, kind: str) -> VirtumancerError:
    present = [*devices.displays, *(["serial"] if devices.serial else [])]
    return ConsoleNotFound(f"VM {devices.name} has no {kind} console; it has {', '.join(present) or 'none'}.")
