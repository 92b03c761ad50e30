"""A connection that is lost, cut or closed lets go of everything at once and leaves nothing behind."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.lab.proc import children
from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import EchoServer, connect, echoed, opened, uri_of
from virtumancer.errors import AuthenticationFailed

pytestmark = pytest.mark.lab


async def test_wait_lost_does_not_return_while_the_connection_lives(server: PrivateSshd) -> None:
    async with opened(server) as transport:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(transport.wait_lost(), 0.3)


async def test_a_killed_sshd_is_noticed_at_once(server: PrivateSshd) -> None:
    async with opened(server) as transport:
        server.kill()
        reason = await asyncio.wait_for(transport.wait_lost(), 5)
    assert f"127.0.0.1:{server.port}" in reason


async def test_a_frozen_sshd_is_noticed_by_keepalive(server: PrivateSshd) -> None:
    async with opened(server, keepalive_interval=0.2, keepalive_count=2) as transport:
        server.freeze()
        try:
            reason = await asyncio.wait_for(transport.wait_lost(), 10)
        finally:
            server.thaw()
    assert "answered nothing for 0.6 s" in reason


async def test_cutting_the_connection_to_a_frozen_host_frees_all_who_wait(
    server: PrivateSshd, short_folder: Path
) -> None:
    async with EchoServer(short_folder / "s"), opened(server) as transport:
        local = await transport.forward_socket([str(short_folder / "s")])
        ends = [await asyncio.open_unix_connection(local) for _ in range(3)]
        stream = await transport.open_stream(str(short_folder / "s"))
        server.freeze()
        try:
            for _, writer in ends:
                writer.write(b"x" * 5_000_000)  # more than fits into the windows on the way
            waiting = [asyncio.create_task(reader.read()) for reader, _ in ends]
            waiting += [asyncio.create_task(stream.read()), asyncio.create_task(echoed(local, b"new"))]
            command = asyncio.create_task(transport.run("true", timeout=60))
            await asyncio.sleep(0.3)
            started = time.monotonic()
            transport.cut("the host hangs")
            await asyncio.wait([*waiting, command], timeout=5)
            assert time.monotonic() - started < 1
            assert await transport.wait_lost() == "the host hangs"
        finally:
            server.thaw()
            await asyncio.gather(*waiting, command, return_exceptions=True)
            for _, writer in ends:
                writer.close()


async def test_closing_the_connection_to_a_frozen_host_takes_less_than_two_seconds(
    server: PrivateSshd, short_folder: Path
) -> None:
    async with EchoServer(short_folder / "s"):
        transport = await connect(server)
        await transport.forward_socket([str(short_folder / "s")])
        stream = await transport.open_stream(str(short_folder / "s"))
        server.freeze()
        try:
            started = time.monotonic()
            await stream.close()
            await transport.aclose()
            assert time.monotonic() - started < 2
        finally:
            server.thaw()


async def test_closing_twice_does_no_harm(server: PrivateSshd) -> None:
    transport = await connect(server)
    await transport.aclose()
    await transport.aclose()
    assert await transport.wait_lost() == "closed by us"


async def test_after_closing_nothing_is_left_behind(
    server: PrivateSshd, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runtime := short_folder / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    async with EchoServer(short_folder / "s"):
        before = footprint()
        for _ in range(3):
            async with opened(server) as transport:
                await echoed(await transport.forward_socket([str(short_folder / "s")]), b"x")
                await (await transport.open_stream(str(short_folder / "s"))).close()
                await transport.run("true", timeout=5)
                assert len(list(runtime.iterdir())) == 1
        assert list(runtime.iterdir()) == []
        assert await settles_at(before)
    assert await no_sessions(server)


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.01, 0.02, 0.03, 0.05])
async def test_a_login_that_is_cancelled_leaves_nothing_behind(server: PrivateSshd, moment: float) -> None:
    before = footprint()
    for _ in range(5):
        opening = asyncio.create_task(connect(server))
        await asyncio.sleep(moment)
        if opening.cancel():
            with pytest.raises(asyncio.CancelledError):
                await opening
        else:
            await opening.result().aclose()
    assert await settles_at(before)
    assert await no_sessions(server)


async def test_a_login_that_fails_leaves_nothing_behind(server: PrivateSshd, tmp_path: Path) -> None:
    before = footprint()
    for _ in range(3):
        with pytest.raises(AuthenticationFailed):
            await connect(server, uri=uri_of(server, keyfile=tmp_path / "gone"))
    assert await settles_at(before)


def footprint() -> tuple[int, int]:
    """How many tasks and open files there are."""
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))


async def settles_at(before: tuple[int, int]) -> bool:
    """Whether there are no more of them than before, once those that end by themselves have ended."""
    for _ in range(100):
        if footprint() == before:
            return True
        await asyncio.sleep(0.05)
    return False


async def no_sessions(server: PrivateSshd) -> bool:
    """Whether sshd has no process for a connection any more, after a moment."""
    for _ in range(100):
        if not children(server.pid):
            return True
        await asyncio.sleep(0.05)
    return False
