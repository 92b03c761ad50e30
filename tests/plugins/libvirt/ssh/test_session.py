"""The daemon of a user's session is found where it is, and started when it is not running."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import EchoServer, echoed, opened, uri_of
from virtumancer.errors import HypervisorError
from virtumancer_libvirt.ssh.transport import NoSocketAnswers

pytestmark = pytest.mark.lab

DAEMON = """#!/usr/bin/env python3
import json, os, pathlib, socket, sys
folder = pathlib.Path(os.environ["XDG_RUNTIME_DIR"], "libvirt")
folder.mkdir(exist_ok=True)
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
