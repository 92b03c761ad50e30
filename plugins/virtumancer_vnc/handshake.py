"""RFB's handshake with a hypervisor's VNC server, up to the point where it waits for ClientInit."""

import asyncio
import re

from virtumancer.contracts import ByteStream, ConsoleConnection
from virtumancer_vnc.security import CHALLENGE_SIZE, Security, answer_challenge, names_of
from virtumancer_vnc.vencrypt import start_vencrypt
from virtumancer_vnc.wire import Wire

__all__ = ["HANDSHAKE_TIMEOUT", "log_in"]

HANDSHAKE_TIMEOUT = 10.0
VERSION_SIZE = 12


async def log_in(console: ConsoleConnection, server: str, timeout: float = HANDSHAKE_TIMEOUT) -> ByteStream:
    """Shake hands and prove ourselves; return the stream to go on with, which is another one when TLS was asked for.

    `server` is what messages call it. Raises `ConsoleRefused`, whatever the server sends, or when it takes too long.
    """
    wire = Wire(console.stream, server)
    try:
        async with asyncio.timeout(timeout):
            return await _log_in(wire, console.password)
    except TimeoutError as error:
        raise wire.refused(f"did not finish the VNC handshake within {timeout:g} s") from error


async def _log_in(wire: Wire, password: str | None) -> ByteStream:
    minor = await _agree_on_version(wire)
    security = await _choose(wire, minor)
    has_result = minor >= 8 or security is not Security.NONE
    if security is Security.VENCRYPT:
        wire, security = await start_vencrypt(wire)
    if security is Security.VNC:
        await _send_password(wire, password)
    if has_result:
        await _read_result(wire, minor)
    return wire.stream


async def _agree_on_version(wire: Wire) -> int:
    greeting = await wire.exactly(VERSION_SIZE)
    found = re.fullmatch(rb"RFB (\d{3})\.(\d{3})\n", greeting)
    if not found:
        raise wire.refused(f"does not speak VNC: it began with {greeting!r}")
    version = int(found[1]), int(found[2])
    # Only these three exist; whatever else a server calls itself falls back to the nearest below.
    minor = 8 if version >= (3, 8) else 7 if version == (3, 7) else 3
    await wire.send(b"RFB 003.%03d\n" % minor)
    return minor


async def _choose(wire: Wire, minor: int) -> Security:
    # Up to 3.3 the server decides; 0 there, and an empty list later, mean that it does not want us.
    offered = list(await wire.exactly(await wire.number(1))) if minor > 3 else [await wire.number(4)]
    if offered in ([], [0]):
        raise wire.refused(f"refused the connection: {await wire.reason()}")
    usable = (Security.VENCRYPT, Security.NONE, Security.VNC) if minor > 3 else (Security.NONE, Security.VNC)
    chosen = next((security for security in usable if security in offered), None)
    if chosen is None:
        raise wire.refused(f"offers only security types that cannot be answered here: {names_of(offered)}")
    if minor > 3:
        await wire.send(bytes([chosen]))
    return chosen


async def _send_password(wire: Wire, password: str | None) -> None:
    challenge = await wire.exactly(CHALLENGE_SIZE)
    if password is None:
        raise wire.refused("asks for a password, and its definition has none")
    await wire.send(answer_challenge(challenge, password))


async def _read_result(wire: Wire, minor: int) -> None:
    if await wire.number(4) == 0:
        return
    reason = await wire.reason() if minor >= 8 else "no reason given"
    raise wire.refused(f"refused the login: {reason}")
