"""A host that cannot be reached is reported within the deadline, with what went wrong."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.lab.processes import free_port
from tests.lab.silence import silent_listener
from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import connect, settings
from virtumancer.contracts import ConnectContext, HostKeyPolicy
from virtumancer.errors import HostUnreachable
from virtumancer_libvirt.ssh.transport import SSHTransport
from virtumancer_libvirt.uri.uri import parse


async def failure(place: str, timeout: float = 1.0) -> str:
    """The message of a connection that has to fail, in time."""
    context = ConnectContext(settings=settings(None, connect_timeout=timeout), host_keys=HostKeyPolicy())
    started = time.monotonic()
    with pytest.raises(HostUnreachable) as error:
        await SSHTransport.open(parse(f"qemu+ssh://root@{place}/system"), context)
    assert time.monotonic() - started < timeout + 3.0
    return error.value.message


@asynccontextmanager
async def speaker(data: bytes, *, hang_up: bool = False) -> AsyncIterator[int]:
    """The port of a server that says this to everybody."""
    ended = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if not hang_up:
            with suppress(ConnectionError):
                await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(ended.wait(), 5)  # also says that the client closed its end


async def test_a_name_that_does_not_exist_is_reported() -> None:
    message = await failure("no-such-host.invalid", timeout=10)
    assert "no-such-host.invalid:22" in message
    assert "address" in message


async def test_a_name_that_cannot_be_asked_for_is_reported() -> None:
    assert "address" in await failure("a..b")


async def test_a_closed_port_is_reported_with_host_and_port() -> None:
    port = free_port()
    message = await failure(f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in message
    assert "refused" in message


async def test_a_host_that_swallows_everything_is_given_up_in_time() -> None:
    with silent_listener() as port:
        message = await failure(f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in message


async def test_a_host_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    with silent_listener(connects=True) as port:
        message = await failure(f"127.0.0.1:{port}")
    assert f"no SSH login to 127.0.0.1:{port} within 1 s" in message


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n" * 2000,
        b"SSH-1.5-old\r\n",
        b"SSH-2.0-x\r\n" + b"\xff" * 4000,
        b"SSH-2.0-x\r\n" + b"\x00\x00\x00\x0c\x0a\x14" + b"\x00" * 400,
        b"SSH-2.0-x\r\n\x00\x00\x00\x08\x01\x1e\x00\x00\x00\x00\x00\x00",
        b"\x00" * 20000,
    ],
)
async def test_what_is_no_ssh_server_is_reported(data: bytes) -> None:
    async with speaker(data) as port:
        assert f"127.0.0.1:{port}" in await failure(f"127.0.0.1:{port}", timeout=3)


async def test_a_server_that_hangs_up_is_reported() -> None:
    async with speaker(b"", hang_up=True) as port:
        assert f"no SSH connection to 127.0.0.1:{port}" in await failure(f"127.0.0.1:{port}")


async def test_a_server_that_hangs_up_before_it_shows_a_key_gets_a_guess() -> None:
    async with speaker(b"SSH-2.0-x\r\n", hang_up=True) as port:
        assert "probably it and we have no SSH algorithm in common" in await failure(f"127.0.0.1:{port}")


@pytest.mark.lab
async def test_no_algorithm_in_common_is_reported(server: PrivateSshd) -> None:
    config = server.folder / "config"
    config.write_text("KexAlgorithms diffie-hellman-group1-sha1\n")
    with pytest.raises(HostUnreachable, match="no SSH algorithm in common"):
        await connect(server, ssh_config=str(config))


@pytest.mark.lab
async def test_a_frozen_server_is_given_up_in_time(server: PrivateSshd) -> None:
    server.freeze()
    try:
        with pytest.raises(HostUnreachable, match="within 1 s"):
            await connect(server, connect_timeout=1.0)
    finally:
        server.thaw()
