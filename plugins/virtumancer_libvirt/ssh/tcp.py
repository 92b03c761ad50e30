"""A TCP connection to the first SSH server on the way, with an error that says what went wrong."""

import asyncio
import os
import socket
from collections.abc import Sequence

from virtumancer.errors import HostUnreachable
from virtumancer_libvirt.ssh.config import Hop

__all__ = ["dial"]

_AddrInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


async def dial(hop: Hop, timeout: float) -> socket.socket:
    """Connect to one of the addresses of a host, each getting its share of the time that is left."""
    deadline = asyncio.get_running_loop().time() + timeout
    addresses = await _addresses(hop)
    failures: list[str] = []
    for index, address in enumerate(addresses):
        left = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(left / (len(addresses) - index)):
                return await _connect(address)
        except TimeoutError:
            failures.append(f"{address[4][0]!s}: no answer")
        except OSError as error:
            failures.append(f"{address[4][0]!s}: {os.strerror(error.errno) if error.errno else error}")
    raise HostUnreachable(f"cannot connect to {hop}: {'; '.join(failures)}. Is it up, and is sshd listening there?")


async def _addresses(hop: Hop) -> Sequence[_AddrInfo]:
    loop = asyncio.get_running_loop()
    try:
        return await loop.getaddrinfo(hop.host, hop.port, family=hop.family, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        # Not every host name that URIs allow can be asked for in DNS; that is the UnicodeError.
        reason = error.strerror if isinstance(error, OSError) else error
        raise HostUnreachable(f"cannot find the address of {hop}: {reason}. Check the host name in uri") from error


async def _connect(address: _AddrInfo) -> socket.socket:
    family, kind, protocol, _, place = address
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection
