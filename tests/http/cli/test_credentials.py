"""`--credential`: secrets are read from where nobody else looks, and never shown."""

from pathlib import Path

import pytest

from tests.canaries import CANARIES
from tests.http.cli.program import Program
from virtumancer.testing import FakeHypervisor


@pytest.fixture
def password(kvm2: FakeHypervisor) -> str:
    """What the hypervisor wants to see."""
    kvm2.credentials = {"password": CANARIES.plant("credential")}
    return kvm2.credentials["password"]


async def test_a_credential_is_read_from_a_file_and_only_its_name_is_shown(
    program: Program, kvm2: FakeHypervisor, password: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(f"{password}\n")
    added = await program.run("hosts", "add", "kvm2", kvm2.uri, "--credential", f"password=@{file}")
    assert added.out == "Host kvm2 is added.\n"
    shown = await program.run("hosts", "show", "kvm2", "--json")
    assert shown.json["host"]["credential_names"] == ["password"]
    said = await program.run("hosts", "credentials", "kvm2")
    assert said.out == "Credentials of host kvm2: password. It is connected.\n"
    assert all(password not in done.out + done.err for done in (added, shown, said))


async def test_a_credential_comes_from_standard_input_and_can_be_removed(
    program: Program, kvm2: FakeHypervisor, password: str
) -> None:
    kvm2.credentials = {}
    await program.run("hosts", "add", "kvm2", kvm2.uri)
    kvm2.credentials = {"password": password}
    typed = f"{password}\n".encode()
    changed = await program.run("hosts", "credentials", "kvm2", "--credential", "password=@-", typed=typed)
    assert changed.out == "Credentials of host kvm2: password. It is connected.\n"
    removed = await program.run("hosts", "credentials", "kvm2", "--remove", "password")
    assert removed.out == "Credentials of host kvm2: none. It is refused.\n"


async def test_a_credential_is_asked_for_and_not_echoed(program: Program, kvm2: FakeHypervisor, password: str) -> None:
    async with program.at_terminal("hosts", "add", "kvm2", kvm2.uri, "--credential", "password") as terminal:
        await terminal.shows("password: ")
        terminal.type(f"{password}\n")
        assert await terminal.ends() == 0
        assert password not in terminal.shown


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("password=hunter2hunter2", "everybody on this machine can read a command line"),
        ("password=@/nowhere", "/nowhere cannot be read: No such file or directory"),
        ("password=@/", "/ cannot be read: Is a directory"),
        ("password", "nobody can be asked without a terminal"),
    ],
)
async def test_what_gives_none_is_a_sentence_and_asks_nothing_of_the_server(
    program: Program, kvm2: FakeHypervisor, option: str, says: str
) -> None:
    done = await program.run("hosts", "add", "kvm2", kvm2.uri, "--credential", option)
    assert done.code == 2
    assert says in done.err
    assert "hunter2" not in done.err
    assert kvm2.faults.calls["connect"] == 0
