"""The daemon of a user's session is found where it is, and started when it is not running."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import EchoServer, echoed, opened, uri_of
from virtumancer.errors import HypervisorError
from virtumancer_libvirt.ssh.transport import NoSocketAnswers

pytestmark = pytest.mark.lab

DAEMON = """#!/usr/bin/env python3
import json, os, pathlib, socket, sys
runtime = os.environ.get("XDG_RUNTIME_DIR") or os.path.join(os.environ["HOME"], ".cache")
folder = pathlib.Path(runtime, "libvirt")
folder.mkdir(parents=True, exist_ok=True)
listener = socket.socket(socket.AF_UNIX)
listener.bind(str(folder / "virtqemud-sock"))
listener.listen()
pathlib.Path(__file__).with_name("arguments").write_text(json.dumps(sys.argv[1:]))
if os.fork():
    sys.exit()
os.setsid()
for name in (0, 1, 2):
    os.close(name)
for _ in range(2):
    connection, _ = listener.accept()
    while data := connection.recv(4096):
        connection.send(data)
"""


@pytest.fixture
def runtime(short_folder: Path) -> Path:
    (folder := short_folder / "run" / "libvirt").mkdir(parents=True)
    return folder


def session_server(tmp_path: Path, runtime: Path, programs: Path) -> PrivateSshd:
    """An sshd whose sessions have this runtime folder and these programs."""
    environment = f"XDG_RUNTIME_DIR={runtime.parent} PATH={programs}:/usr/bin:/bin"
    return PrivateSshd(tmp_path / "sshd", options={"SetEnv": environment})


def programs_of_a_user(tmp_path: Path) -> Path:
    """A folder of programs in which `id` names an ordinary user: the lab's sessions are root's."""
    (programs := tmp_path / "bin").mkdir()
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    (programs / "id").chmod(0o755)
    return programs


async def test_a_daemon_of_root_is_never_started(lab: None, tmp_path: Path, runtime: Path) -> None:
    with session_server(tmp_path, runtime, tmp_path / "none") as server:
        async with opened(server, uri=uri_of(server, "/session", mode="direct")) as transport:
            with pytest.raises(HypervisorError, match="root has no session daemon"):
                await transport.forward_daemon()


async def test_a_session_daemon_that_runs_is_found(lab: None, tmp_path: Path, runtime: Path) -> None:
    with session_server(tmp_path, runtime, tmp_path / "none") as server:
        async with (
            EchoServer(runtime / "libvirt-sock"),
            opened(server, uri=uri_of(server, "/session", mode="legacy")) as transport,
        ):
            assert await echoed(await transport.forward_daemon(), b"x") == b"x"


async def test_a_session_daemon_that_does_not_run_is_started(lab: None, tmp_path: Path, runtime: Path) -> None:
    programs = programs_of_a_user(tmp_path)
    (programs / "virtqemud").write_text(DAEMON)
    (programs / "virtqemud").chmod(0o755)
    with session_server(tmp_path, runtime, programs) as server:
        async with opened(server, uri=uri_of(server, "/session")) as transport:
            assert await echoed(await transport.forward_daemon(), b"x") == b"x"
    assert json.loads((programs / "arguments").read_text()) == ["--timeout=120", "-d"]


async def test_an_account_without_a_cache_has_its_session_at_the_first_request(
    lab: None, tmp_path: Path, short_folder: Path
) -> None:
    programs = programs_of_a_user(tmp_path)
    (programs / "virtqemud").write_text(DAEMON)
    (programs / "virtqemud").chmod(0o755)
    (home := short_folder / "home").mkdir()
    environment = f"HOME={home} PATH={programs}:/usr/bin:/bin"
    with PrivateSshd(tmp_path / "sshd", options={"SetEnv": environment}) as server:
        async with opened(server, uri=uri_of(server, "/session")) as transport:
            assert await echoed(await transport.forward_daemon(), b"x") == b"x"
    assert (home / ".cache" / "libvirt" / "virtqemud-sock").exists()


async def test_a_host_without_session_daemons_is_told_so(lab: None, tmp_path: Path, runtime: Path) -> None:
    with session_server(tmp_path, runtime, programs_of_a_user(tmp_path)) as server:
        async with opened(server, uri=uri_of(server, "/session", mode="direct")) as transport:
            with pytest.raises(HypervisorError, match="none of these programs is there: virtqemud"):
                await transport.forward_daemon()


class TestLoginShells:
    """The login shell of the account may be any."""

    @staticmethod
    def with_shell(tmp_path: Path, runtime: Path, shell: str) -> PrivateSshd:
        environment = f"XDG_RUNTIME_DIR={runtime.parent} PATH=/usr/bin:/bin"
        return PrivateSshd(tmp_path / "sshd", options={"SetEnv": environment, "ForceCommand": shell})

    async def test_it_gets_to_see_plain_words_and_may_greet(self, lab: None, tmp_path: Path, runtime: Path) -> None:
        shell = tmp_path / "shell"
        shell.write_text(f"""#!{sys.executable}
import os, sys
command = os.environ["SSH_ORIGINAL_COMMAND"]
if not command.replace("-", "").replace(" ", "").isalnum():
    sys.exit("shell: I cannot read " + command)
print("/welcome/to/the/rack", flush=True)
os.execvp(command.split()[0], command.split())
""")
        shell.chmod(0o755)
        with self.with_shell(tmp_path, runtime, str(shell)) as server:
            async with (
                EchoServer(runtime / "virtqemud-sock"),
                opened(server, uri=uri_of(server, "/session")) as transport,
            ):
                assert await echoed(await transport.forward_daemon(), b"x") == b"x"

    async def test_one_that_runs_nothing_is_told_in_a_sentence(self, lab: None, tmp_path: Path, runtime: Path) -> None:
        with self.with_shell(tmp_path, runtime, "/usr/sbin/nologin") as server:
            async with opened(server, uri=uri_of(server, "/session")) as transport:
                with pytest.raises(HypervisorError, match="runs no command for this account") as refusal:
                    await transport.forward_daemon()
        assert "'This account is currently not available.'" in refusal.value.message
        assert "login shell" in refusal.value.message
        assert "printf" not in refusal.value.message


async def test_a_host_without_session_daemons_says_what_failed(lab: None, tmp_path: Path, runtime: Path) -> None:
    programs = programs_of_a_user(tmp_path)
    (programs / "virtqemud").write_text("#!/bin/sh\nexit 1\n")
    (programs / "virtqemud").chmod(0o755)
    with session_server(tmp_path, runtime, programs) as server:
        async with opened(server, uri=uri_of(server, "/session", mode="direct")) as transport:
            with pytest.raises(HypervisorError, match="virtqemud"):
                await asyncio.wait_for(transport.forward_daemon(), 10)


async def test_a_system_daemon_that_does_not_run_is_never_started(server: PrivateSshd) -> None:
    async with opened(server, uri=uri_of(server, socket="/no/such/socket")) as transport:
        with pytest.raises(NoSocketAnswers):
            await transport.forward_daemon()
