"""The driver: turns a host's URI into a live connection, through SSH when the URI says so."""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from virtumancer.contracts import ConnectContext, Host, HostConnection, HostDriver, ShownHostKey, SupportsHostKeyScan
from virtumancer.errors import CallTimeout, HostLost, HostUnreachable, InvalidValue
from virtumancer_libvirt.binding.api import start_event_loop
from virtumancer_libvirt.binding.connection import VirConnect
from virtumancer_libvirt.binding.events import EventHub
from virtumancer_libvirt.binding.pool import Pool
from virtumancer_libvirt.binding.thread import AbandonedThreads, CallThread
from virtumancer_libvirt.config import LibvirtConfig
from virtumancer_libvirt.consoles.dialer import ChooseReach, reach_of
from virtumancer_libvirt.host.connection import LibvirtConnection
from virtumancer_libvirt.host.liveness import Liveness
from virtumancer_libvirt.uri.hypervisors import DAEMON_PATHS, WEB_SERVICES
from virtumancer_libvirt.uri.uri import LibvirtURI, parse
from virtumancer_libvirt.vms.process_age import local_ages, remote_ages

if TYPE_CHECKING:
    from virtumancer_libvirt.ssh.transport import SSHTransport

__all__ = ["LibvirtDriver"]

LOGIN_GRACE = 1.0
_MANY = 10
_FEW = 4
"""Slow calls to one host at a time: where each connection is a session, sshd by default lets one have ten of them."""


class LibvirtDriver(HostDriver, SupportsHostKeyScan):
    """Connects to every hypervisor that libvirt knows; `reach` chooses the way to the consoles of a host."""

    schemes = WEB_SERVICES | DAEMON_PATHS.keys()

    def __init__(self, config: LibvirtConfig | None = None, *, reach: ChooseReach = reach_of) -> None:
        self._config = config or LibvirtConfig()
        self._reach = reach
        self._strays = AbandonedThreads()

    @property
    def stray_threads(self) -> int:
        """How many threads are stuck in calls to hosts that were given up."""
        return len(self._strays)

    def check_uri(self, uri: str) -> None:
        """Raise `InvalidValue` for a URI that can never work."""
        _checked(uri, self._config)

    async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
        """Open the first connection to libvirt and register for its events."""
        uri = _checked(host.uri, self._config)
        start_event_loop()
        timeout = context.settings.connect_timeout
        # A login keeps the same deadline itself, and knows better what it was waiting for.
        grace = LOGIN_GRACE if uri.is_ssh else 0.0
        try:
            async with asyncio.timeout(timeout + grace):
                if uri.is_ssh:
                    return await self._connect_by_ssh(host, uri, context)
                return await self._attach(host, uri, str(uri), context, None)
        except TimeoutError as error:
            message = (
                f"Host {host.id} did not complete the connection within {timeout:g} s; check that libvirt answers."
            )
            raise CallTimeout(message) from error

    async def scan_host_keys(self, host: Host, context: ConnectContext) -> Sequence[ShownHostKey]:
        """Return the keys that a host shows by SSH; a host that is not reached by SSH has none."""
        uri = _checked(host.uri, self._config)
        if not uri.is_ssh:
            return ()
        scanning = await asyncio.to_thread(importlib.import_module, "virtumancer_libvirt.ssh.host_key_scan")
        scan: Callable[[LibvirtURI, ConnectContext], Awaitable[Sequence[ShownHostKey]]] = scanning.scan_host_keys
        return await scan(uri, context)

    async def _connect_by_ssh(self, host: Host, uri: LibvirtURI, context: ConnectContext) -> LibvirtConnection:
        # Here because asyncssh takes longer to import than everything else of the plugin together, and in a thread
        # because it takes longer than the event loop may stand still.
        ssh = await asyncio.to_thread(importlib.import_module, "virtumancer_libvirt.ssh.transport")
        transport: type[SSHTransport] = ssh.SSHTransport
        tunnel = await transport.open(uri, context)
        try:
            address = uri.local_uri(await tunnel.forward_daemon())
        except BaseException:
            await tunnel.aclose()
            raise
        return await self._attach(host, uri, address, context, tunnel)

    async def _attach(
        self, host: Host, uri: LibvirtURI, address: str, context: ConnectContext, tunnel: "SSHTransport | None"
    ) -> LibvirtConnection:
        """Open libvirt's side; from here on the connection owns the tunnel."""
        settings, hub, is_test = context.settings, EventHub(), uri.driver == "test"
        lifeline = Liveness(host.id, tunnel, hub.close)
        # Where the transport is ours, its own keepalive finds a dead host; libvirt's is for connections it dials.
        connect = partial(VirConnect, address, host.id, keepalive=tunnel is None and not is_test)

        def make(name: str, on_stuck: Callable[[str], None]) -> CallThread:
            full_name = f"Host {host.id} ({name})" if name else f"Host {host.id}"
            return CallThread(full_name, connect, on_stuck=on_stuck, strays=self._strays)

        few = tunnel is not None and tunnel.remark
        pool = Pool(make, shared=is_test, limit=_FEW if few else _MANY)
        ages = local_ages(uri, pool) if tunnel is None else remote_ages(uri, tunnel)
        reach = self._reach(uri, tunnel, settings.call_timeout)
        connection = LibvirtConnection(host.id, uri, pool, hub, lifeline, settings, ages, reach)
        connection.remark = tunnel.remark if tunnel else ""
        try:
            await pool.quick.open(settings.connect_timeout)
            await connection.start()
        except HostLost as error:
            await connection.aclose()
            raise HostUnreachable(error.message) from error
        except BaseException:
            await connection.aclose()
            raise
        return connection


def _checked(text: str, config: LibvirtConfig) -> LibvirtURI:
    uri = parse(text)
    scheme = f"{uri.driver}+{uri.transport}" if uri.transport else uri.driver
    if config.schemes and scheme not in config.schemes:
        allowed = ", ".join(config.schemes)
        raise InvalidValue(
            f"hosts may have these URI schemes here: {allowed}; the operator can add {scheme!r} to [plugins.libvirt] "
            "schemes",
            field="uri",
        )
    opened = (uri, uri.inner) if uri.inner else (uri,)
    if not config.local_files and any(one.driver == "test" and one.path not in DAEMON_PATHS["test"] for one in opened):
        raise InvalidValue(
            "this URI would read a file of the machine that libvirt runs on; use test:///default, or let the operator "
            "set [plugins.libvirt] local_files = true",
            field="uri",
        )
    if uri.is_ssh and uri.driver in WEB_SERVICES:
        message = f"{uri.driver} has a web service and no libvirt daemon to reach by SSH; use {uri.driver}://host/"
        raise InvalidValue(message, field="uri")
    return uri
