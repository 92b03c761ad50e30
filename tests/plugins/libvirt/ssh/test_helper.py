"""Where sshd forwards nothing, a helper on the host makes the connections, as it does for virsh."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import EchoServer, echoed, opened, uri_of
from virtumancer.errors import HypervisorError
from virtumancer_libvirt.ssh.helper import HelperCommands
from virtumancer_libvirt.ssh.transport import NoSocketAnswers
from virtumancer_libvirt.uri.uri import parse

OPTIONS = ("AllowTcpForwarding", "AllowStreamLocalForwarding", "PermitOpen", "DisableForwarding")
KEY_OPTIONS = ("restrict", "no-port-forwarding", "permitopen=")
FORBIDDING = {
    "AllowTcpForwarding no": ("AllowTcpForwarding", "no"),
    "AllowTcpForwarding remote": ("AllowTcpForwarding", "remote"),
    "AllowStreamLocalForwarding no": ("AllowStreamLocalForwarding", "no"),
    "PermitOpen": ("PermitOpen", "127.0.0.1:22"),
    "PermitOpen none": ("PermitOpen", "none"),
    "DisableForwarding": ("DisableForwarding", "yes"),
    "restrict": ("", "restrict"),
    "no-port-forwarding": ("", "no-port-forwarding"),
    "permitopen=": ("", 'permitopen="127.0.0.1:22"'),
}
# OpenBSD's netcat as far as it is used here.
NETCAT = """#!/usr/bin/env python3
import os, socket, sys, threading
if sys.argv[1:] == ["-q"]:
    sys.exit("nc: option requires an argument -- 'q'")
assert sys.argv[1] == "-q0"
if sys.argv[2] == "-U":
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(sys.argv[3])
else:
    peer = socket.create_connection((sys.argv[2], int(sys.argv[3])))
def out():
    while data := peer.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=out).start()
while data := os.read(0, 65536):
    peer.sendall(data)
os._exit(0)
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of programs of the host, with netcat."""
    (programs := tmp_path / "bin").mkdir()
    (programs / "nc").write_text(NETCAT)
    (programs / "nc").chmod(0o755)
    return programs


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder of programs of the host, with neither netcat nor libvirt's helper."""
    (programs := tmp_path / "bare").mkdir()
    for program in ("sh", "id", "grep", "readlink", "env", "python3"):
        (programs / program).symlink_to(next(path for path in _found(program)))
    return programs


def _found(program: str) -> Iterator[Path]:
    for folder in ("/usr/bin", "/bin"):
        if (path := Path(folder) / program).exists():
            yield path


def forbidding(tmp_path: Path, path: str, option: tuple[str, str] = ("AllowTcpForwarding", "no")) -> PrivateSshd:
    """An sshd that forwards nothing, whose sessions find these programs."""
    options = {"SetEnv": f"PATH={path} HOME={tmp_path}"} | ({option[0]: option[1]} if option[0] else {})
    return PrivateSshd(tmp_path / "sshd", options=options)


def restrict_key(server: PrivateSshd, option: tuple[str, str]) -> None:
    """Write the option of a key into authorized_keys."""
    if not option[0]:
        server.authorized_keys.write_text(f"{option[1]} {server.authorized_keys.read_text()}")


@pytest.mark.lab
@pytest.mark.parametrize("option", FORBIDDING.values(), ids=FORBIDDING.keys())
async def test_every_way_to_forbid_forwarding_is_gone_round(
    lab: None, tmp_path: Path, short_folder: Path, programs: Path, option: tuple[str, str]
) -> None:
    with forbidding(tmp_path, f"{programs}:/usr/bin:/bin", option) as server:
        restrict_key(server, option)
        uri = uri_of(server, socket=short_folder / "s")
        async with EchoServer(short_folder / "s"), opened(server, uri=uri) as transport:
            local = await transport.forward_daemon()
            answers = await asyncio.gather(*(echoed(local, b"%d" % number * 100_000) for number in range(3)))
            assert [len(answer) for answer in answers] == [100_000] * 3
            assert "nc on the host" in transport.remark
            assert "MaxSessions" in transport.remark


@pytest.mark.lab
@pytest.mark.parametrize("option", FORBIDDING.values(), ids=FORBIDDING.keys())
async def test_without_a_helper_the_message_names_every_option(
    lab: None, tmp_path: Path, short_folder: Path, bare: Path, option: tuple[str, str]
) -> None:
    with forbidding(tmp_path, str(bare), option) as server:
        restrict_key(server, option)
        uri = uri_of(server, socket=short_folder / "s")
        async with EchoServer(short_folder / "s"), opened(server, uri=uri) as transport:
            with pytest.raises(NoSocketAnswers, match="is there: let sshd forward") as refusal:
                await transport.forward_daemon()
    for word in (*OPTIONS, *KEY_OPTIONS, "or install nc there"):
        assert word in refusal.value.message


@pytest.mark.lab
async def test_consoles_go_the_same_way_round(lab: None, tmp_path: Path, short_folder: Path, programs: Path) -> None:
    with forbidding(tmp_path, f"{programs}:/usr/bin:/bin") as server:
        uri = uri_of(server, socket=short_folder / "s")
        async with EchoServer(short_folder / "s") as echo, opened(server, uri=uri) as transport:
            await transport.forward_daemon()
            screen = await transport.open_stream(("127.0.0.1", server.port))
            assert (await screen.read()).startswith(b"SSH-2.0-")
            await screen.close()
            serial = await transport.open_stream(str(echo.path))
            await serial.write(b"hello")
            assert await serial.read() == b"hello"
            await serial.close()


@pytest.mark.lab
async def test_a_console_that_no_helper_can_reach_says_what_is_missing(
    lab: None, tmp_path: Path, short_folder: Path, programs: Path
) -> None:
    with forbidding(tmp_path, f"{programs}:/usr/bin:/bin") as server:
        uri = uri_of(server, socket=short_folder / "s")
        async with EchoServer(short_folder / "s"), opened(server, uri=uri) as transport:
            await transport.forward_daemon()
            transport.helper = HelperCommands("virt-ssh-helper", parse("qemu+ssh://kvm/system"), "/s")
            with pytest.raises(HypervisorError, match="no nc to go round"):
                await transport.open_stream(("127.0.0.1", server.port))


@pytest.mark.lab
async def test_no_program_is_left_on_the_host(lab: None, tmp_path: Path, short_folder: Path, programs: Path) -> None:
    with forbidding(tmp_path, f"{programs}:/usr/bin:/bin") as server:
        uri = uri_of(server, socket=short_folder / "s")
        async with EchoServer(short_folder / "s"):
            async with opened(server, uri=uri) as transport:
                local = await transport.forward_daemon()
                reader, writer = await asyncio.open_unix_connection(local)
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
                assert running(programs / "nc")
            writer.close()
            assert not await asyncio.to_thread(Path(local).exists)
            async with asyncio.timeout(10):
                while running(programs / "nc"):  # noqa: ASYNC110 - processes of others
                    await asyncio.sleep(0.05)


def running(program: Path) -> bool:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(program).encode() in process.read_bytes():
                return True
        except OSError:  # it ended just now
            continue
    return False


@pytest.mark.parametrize(
    ("found", "uri", "socket", "command"),
    [
        (["virt-ssh-helper", "nc"], "/system", "/run/libvirt/libvirt-sock", "virt-ssh-helper qemu:///system"),
        (
            ["virt-ssh-helper", "nc"],
            "/session",
            "/run/user/7/libvirt/virtqemud-sock",
            "env XDG_RUNTIME_DIR=/run/user/7 virt-ssh-helper qemu:///session",
        ),
        (["nc"], "/system", "/run/libvirt/libvirt-sock", "nc -U /run/libvirt/libvirt-sock"),
        (["nc -q0"], "/system", "/run/libvirt/libvirt-sock", "nc -q0 -U /run/libvirt/libvirt-sock"),
        (["virt-ssh-helper", "nc"], "/system?socket=/a%20b", "/a b", "nc -U '/a b'"),
        (
            ["virt-ssh-helper", "nc"],
            "/system?mode=legacy",
            "/run/libvirt/libvirt-sock",
            "nc -U /run/libvirt/libvirt-sock",
        ),
    ],
)
def test_a_helper_is_called_in_plain_words(found: Sequence[str], uri: str, socket: str, command: str) -> None:
    helper = HelperCommands("\n".join(found), parse(f"qemu+ssh://kvm{uri}"), socket)
    assert helper.to_daemon() == command
    assert helper.program == command.removeprefix("env XDG_RUNTIME_DIR=/run/user/7 ").split()[0]
