"""The driver: hosts `lxd://HOST` over HTTPS with a client certificate, and `lxd:///SOCKET` on this machine."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

from virtumancer.contracts import ConnectContext, Host, HostConnection, HostDriver, ShownHostKey, SupportsHostKeyScan
from virtumancer.errors import CallTimeout, HostLost, HostUnreachable
from virtumancer_lxd import tls
from virtumancer_lxd.address import Address, parse
from virtumancer_lxd.api import LXD
from virtumancer_lxd.connection import LXDConnection

__all__ = ["LXDDriver"]


class LXDDriver(HostDriver, SupportsHostKeyScan):
    """Connects to LXD."""

    schemes = frozenset({"lxd"})
    credentials: ClassVar[Mapping[str, str]] = {
        "client-cert": "The certificate, as PEM, that LXD trusts: `lxc config trust add` on the host.",
        "client-key": "Its private key, as PEM without a passphrase.",
    }

    def check_uri(self, uri: str) -> None:
        """Refuse a URI that names no LXD."""
        parse(uri)

    async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
        """Connect, once the certificate of the server is pinned or approved."""
        address, timeout = parse(host.uri), context.settings.connect_timeout
        try:
            async with asyncio.timeout(timeout):
                return await _connected(address, context)
        except TimeoutError as error:
            raise CallTimeout(f"host {host.id!r} was not connected within {timeout:g} s") from error
        except HostLost as error:
            raise HostUnreachable(error.message) from error

    async def scan_host_keys(self, host: Host, context: ConnectContext) -> Sequence[ShownHostKey]:
        """Return the certificate that LXD shows over HTTPS; there is none on a socket."""
        address = parse(host.uri)
        if address.socket:
            return ()
        key, _ = await tls.shown_by(address, context.settings.connect_timeout)
        return (tls.shown_key(key, context.host_keys),)


async def _connected(address: Address, context: ConnectContext) -> LXDConnection:
    verified = None
    if not address.socket:
        key, certificate = await tls.shown_by(address, context.settings.connect_timeout)
        tls.judge(key, context.host_keys)
        verified = tls.verified(certificate, context)
    connection = LXDConnection(LXD(address, verified, context.settings), context.settings)
    try:
        await connection.open()
    except BaseException:
        await connection.aclose()
        raise
    return connection
