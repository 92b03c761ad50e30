"""One SSH connection carries a socket for libvirt, streams for consoles and short commands."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import EchoServer, echoed, opened
from virtumancer.errors import CallTimeout, ConsoleClosed, HostLost, HypervisorError
from virtumancer_libvirt.ssh.transport import ChannelRefused, NoSocketAnswers

pytestmark = pytest.mark.lab


async def test_a_remote_socket_is_reached_through_a_local_one(server: PrivateSshd, short_folder: Path) -> None:
    async with EchoServer(short_folder / "s"), opened(server) as transport:
        local = await transport.forward_socket([str(short_folder / "s")])
        assert await echoed(local, b"x" * 3_000_000) == b"x" * 3_000_000


async def test_the_first_socket_that_answers_is_forwarded(server: PrivateSshd, short_folder: Path) -> None:
    async with EchoServer(short_folder / "a") as first, EchoServer(short_folder / "b") as second:
        async with opened(server) as transport:
            local = await transport.forward_socket([str(short_folder / name) for name in ("gone", "a", "b")])
            await echoed(local, b"x")
        assert first.connections == 2  # the probe and we
        assert second.connections == 0


async def test_everything_goes_over_one_ssh_connection(server: PrivateSshd, short_folder: Path) -> None:
    async with EchoServer(short_folder / "s"), opened(server) as transport:
        local = await transport.forward_socket([str(short_folder / "s")])
        answers = await asyncio.gather(*(echoed(local, b"%d" % number * 1000) for number in range(12)))
        assert [answer[:2] for answer in answers] == [(b"%d" % number * 2)[:2] for number in range(12)]
        await transport.run("true", timeout=5)
        await (await transport.open_stream(str(short_folder / "s"))).close()
        assert (server.connection_count(), server.login_count()) == (1, 1)


async def test_the_local_socket_is_in_a_folder_only_we_can_enter(server: PrivateSshd, short_folder: Path) -> None:
    async with EchoServer(short_folder / "s"), opened(server) as transport:
        local = Path(await transport.forward_socket([str(short_folder / "s")]))
        assert local.parent.stat().st_mode & 0o777 == 0o700
        assert len(str(local)) < 108


async def test_a_runtime_dir_with_too_long_a_path_is_passed_over(
    server: PrivateSshd, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (long := short_folder / ("x" * 100)).mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    async with EchoServer(short_folder / "s"), opened(server) as transport:
        assert await echoed(await transport.forward_socket([str(short_folder / "s")]), b"x") == b"x"


async def test_sockets_that_are_not_there_are_all_named(server: PrivateSshd) -> None:
    async with opened(server) as transport:
        with pytest.raises(NoSocketAnswers, match="none of them is there") as error:
            await transport.forward_socket(["/no/such/socket", "/no/other"])
    assert "/no/such/socket, /no/other" in error.value.message


async def test_a_socket_without_a_daemon_is_told_from_one_that_is_not_there(
    server: PrivateSshd, short_folder: Path
) -> None:
    dead = short_folder / "it's dead"
    async with EchoServer(short_folder / "s") as echo:
        dead.hardlink_to(echo.path)
    async with opened(server) as transport:
        with pytest.raises(NoSocketAnswers, match=rf"{dead} is there.* start its daemon"):
            await transport.forward_socket(["/no/such/socket", str(dead)])


async def test_an_account_that_may_run_nothing_gets_every_cause(server: PrivateSshd, short_folder: Path) -> None:
    server.authorized_keys.write_text('restrict,command="false" ' + server.authorized_keys.read_text())
    async with EchoServer(short_folder / "s") as echo, opened(server) as transport:
        with pytest.raises(NoSocketAnswers, match=r"group libvirt.*authorized_keys"):
            await transport.forward_socket([str(echo.path)])


async def test_a_port_that_may_not_be_reached_is_told_from_a_closed_one(lab: None, tmp_path: Path) -> None:
    with PrivateSshd(tmp_path / "closed", allow_tcp_forwarding=False) as server:
        async with opened(server) as transport:
            with pytest.raises(HypervisorError, match="AllowTcpForwarding") as error:
                await transport.open_stream(("127.0.0.1", server.port))
    assert not isinstance(error.value, ChannelRefused)


class TestStreams:
    """A console is a stream to a socket or a port, as seen from the host."""

    async def test_a_tcp_port_of_the_host_is_reached(self, server: PrivateSshd) -> None:
        async with opened(server) as transport:
            stream = await transport.open_stream(("127.0.0.1", server.port))
            assert (await stream.read()).startswith(b"SSH-2.0-")
            await stream.close()

    async def test_bytes_go_both_ways(self, server: PrivateSshd, short_folder: Path) -> None:
        async with EchoServer(short_folder / "s"), opened(server) as transport:
            stream = await transport.open_stream(str(short_folder / "s"))
            await stream.write(b"\x00\xffhello")
            assert await stream.read(3) == b"\x00\xffh"
            assert await stream.read() == b"ello"
            await stream.close()

    async def test_a_stream_whose_other_end_closed_reads_as_ended(
        self, server: PrivateSshd, short_folder: Path
    ) -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"bye")
            writer.close()

        async with await asyncio.start_unix_server(hang_up, short_folder / "s"), opened(server) as transport:
            stream = await transport.open_stream(str(short_folder / "s"))
            assert await stream.read() == b"bye"
            assert await stream.read() == b""
            await stream.close()

    async def test_writing_waits_for_an_end_that_does_not_read(self, server: PrivateSshd, short_folder: Path) -> None:
        stop = asyncio.Event()

        async def sleep(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await stop.wait()
            writer.close()

        async with await asyncio.start_unix_server(sleep, short_folder / "s", limit=1024):
            async with opened(server) as transport:
                stream = await transport.open_stream(str(short_folder / "s"))
                written: list[int] = []

                async def write_for_ever() -> None:
                    while True:
                        await stream.write(b"x" * 65536)
                        written.append(65536)

                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(write_for_ever(), 2)
                assert sum(written) < 20_000_000
                await stream.close()
            stop.set()

    async def test_a_port_where_nobody_listens_is_refused(self, server: PrivateSshd) -> None:
        async with opened(server) as transport:
            with pytest.raises(ChannelRefused, match=r"cannot connect to 127\.0\.0\.1:1"):
                await transport.open_stream(("127.0.0.1", 1))

    async def test_a_stream_of_a_lost_connection_ends_for_reader_and_writer(
        self, server: PrivateSshd, short_folder: Path
    ) -> None:
        async with EchoServer(short_folder / "s"), opened(server) as transport:
            stream = await transport.open_stream(str(short_folder / "s"))
            reading = asyncio.create_task(stream.read())
            await asyncio.sleep(0)
            transport.cut("test")
            assert await asyncio.wait_for(reading, 5) == b""
            with pytest.raises(ConsoleClosed):
                await stream.write(b"x")
            await stream.close()

    async def test_nothing_can_be_opened_on_a_lost_connection(self, server: PrivateSshd) -> None:
        async with opened(server) as transport:
            transport.cut("test")
            with pytest.raises(HostLost, match="test"):
                await transport.open_stream("/run/x")
            with pytest.raises(HostLost, match="test"):
                await transport.run("true", timeout=1)

    async def test_an_opening_that_was_given_up_leaves_the_connection_usable(
        self, server: PrivateSshd, short_folder: Path
    ) -> None:
        async with EchoServer(short_folder / "s") as echo, opened(server, call_timeout=1.0) as transport:
            server.freeze()
            try:
                with pytest.raises(CallTimeout):
                    await transport.open_stream(str(echo.path))
            finally:
                server.thaw()
            await transport.run("true", timeout=5)
            assert await echoed(await transport.forward_socket([str(echo.path)]), b"x") == b"x"


class TestCommands:
    """A short command on the host says what it printed or why there is nothing."""

    async def test_a_command_returns_what_it_prints(self, server: PrivateSshd) -> None:
        async with opened(server) as transport:
            assert await transport.run("echo out; echo err >&2", timeout=5) == "out\n"

    async def test_a_command_that_fails_is_an_error(self, server: PrivateSshd) -> None:
        async with opened(server) as transport:
            with pytest.raises(HypervisorError, match="exit status 3"):
                await transport.run("exit 3", timeout=5)

    async def test_a_command_that_takes_too_long_is_given_up(self, server: PrivateSshd) -> None:
        async with opened(server) as transport:
            started = time.monotonic()
            with pytest.raises(CallTimeout):
                await transport.run("sleep 5", timeout=0.5)
            assert time.monotonic() - started < 4

    async def test_a_command_that_prints_without_end_is_stopped(self, server: PrivateSshd) -> None:
        async with opened(server) as transport:
            with pytest.raises(HypervisorError, match="more than"):
                await transport.run("yes", timeout=5)

    async def test_a_host_that_opens_no_sessions_says_so(self, lab: None, tmp_path: Path) -> None:
        with PrivateSshd(tmp_path / "closed", max_sessions=0) as server:
            async with opened(server) as transport:
                with pytest.raises(HypervisorError, match="refuses to run"):
                    await transport.run("true", timeout=5)
