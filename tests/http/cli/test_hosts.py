"""`virtumancer hosts`, and the question about a host's SSH key."""

import base64
import hashlib

import pytest

from tests.http.cli.program import Program
from virtumancer.contracts import HostKey
from virtumancer.errors import HostKeyChanged, HostKeyUnknown
from virtumancer.testing import FakeHypervisor

FINGERPRINT = "SHA256:" + base64.b64encode(hashlib.sha256(b"key").digest()).decode().rstrip("=")
KEY = HostKey("kvm2.example.org", "ssh-ed25519", FINGERPRINT, "ssh-ed25519 AAAA")


def refuse(hypervisor: FakeHypervisor, times: int = 1) -> None:
    """Let the host show a key that nobody knows, so many times."""
    facts = {"address": KEY.address, "type": KEY.type, "fingerprint": KEY.fingerprint}
    hypervisor.faults.fail("connect", HostKeyUnknown("the host key is not known", host_key=facts), times)


async def test_hosts_are_added_shown_disconnected_connected_and_removed(program: Program, kvm2: FakeHypervisor) -> None:
    assert (await program.run("hosts", "add", "kvm2", kvm2.uri)).out == "Host kvm2 is added.\n"
    shown = await program.run("hosts", "list")
    assert [line.split()[:2] for line in shown.out.splitlines()] == [
        ["HOST", "STATE"],
        ["kvm1", "connected"],
        ["kvm2", "connected"],
    ]
    assert "kvm2" in (await program.run("hosts", "show", "kvm2")).out
    assert (await program.run("hosts", "disconnect", "kvm2")).out == "Host kvm2 is stopped.\n"
    assert (await program.run("hosts", "show", "kvm2", "--json")).json["info"] is None
    assert (await program.run("hosts", "connect", "kvm2")).out == "Host kvm2 is connected.\n"
    assert (await program.run("hosts", "keys", "kvm2", "--json")).json == []
    assert (await program.run("hosts", "remove", "kvm2")).code == 0
    assert (await program.run("hosts", "show", "kvm2")).code == 3


async def test_an_unknown_key_is_asked_about_with_its_fingerprint(program: Program, kvm2: FakeHypervisor) -> None:
    refuse(kvm2)
    async with program.at_terminal("hosts", "add", "kvm2", kvm2.uri) as terminal:
        await terminal.shows("Type yes")
        assert f"{KEY.type} {KEY.fingerprint}" in terminal.shown
        assert KEY.address in terminal.shown
        terminal.type("yes\n")
        assert await terminal.ends() == 0
    assert (await program.run("hosts", "show", "kvm2")).code == 0


@pytest.mark.parametrize("answer", ["\n", "no\n", "y\n", "SHA256:other\n", "\x04"])
async def test_nothing_but_yes_approves(program: Program, kvm2: FakeHypervisor, answer: str) -> None:
    refuse(kvm2)
    async with program.at_terminal("hosts", "add", "kvm2", kvm2.uri) as terminal:
        await terminal.shows("Type yes")
        terminal.type(answer)
        assert await terminal.ends() == 6
    assert (await program.run("hosts", "show", "kvm2")).code == 3


async def test_without_a_terminal_nothing_is_approved_and_the_command_to_repeat_is_printed(
    program: Program, kvm2: FakeHypervisor
) -> None:
    refuse(kvm2)
    done = await program.run("hosts", "add", "kvm2", kvm2.uri, typed=b"yes\n")
    assert done.code == 6
    command = done.err.splitlines()[-1].strip()
    assert command == f"virtumancer hosts add kvm2 {kvm2.uri} --host-key {FINGERPRINT}"
    assert (await program.run("hosts", "show", "kvm2")).code == 3
    repeated = await program.run(*command.split()[1:])
    assert repeated.code == 0


async def test_a_key_that_was_approved_and_is_refused_still_is_not_asked_about_for_ever(
    program: Program, kvm2: FakeHypervisor
) -> None:
    refuse(kvm2, times=20)
    done = await program.run("hosts", "add", "kvm2", kvm2.uri, "--host-key", FINGERPRINT)
    assert done.code == 6
    assert kvm2.faults.calls["connect"] < 20


async def test_a_key_that_changed_is_never_asked_about(program: Program, kvm2: FakeHypervisor) -> None:
    facts = {"address": KEY.address, "type": KEY.type, "fingerprint": KEY.fingerprint}
    kvm2.faults.fail("connect", HostKeyChanged("the host shows another key", host_key=facts))
    async with program.at_terminal("hosts", "add", "kvm2", kvm2.uri) as terminal:
        assert await terminal.ends() == 6
    assert "Type yes" not in terminal.shown
    assert "rotate-key" in terminal.shown


async def test_ctrl_c_at_the_question_leaves_nothing_behind(program: Program, kvm2: FakeHypervisor) -> None:
    refuse(kvm2)
    async with program.at_terminal("hosts", "add", "kvm2", kvm2.uri) as terminal:
        await terminal.shows("Type yes")
        terminal.process.send_signal(2)
        assert await terminal.ends() == 130
    assert (await program.run("hosts", "show", "kvm2")).code == 3
