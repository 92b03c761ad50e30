"""Keys come from files and from the agent; a refusal says what was tried."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.canaries import CANARIES
from tests.lab.requirements import requires
from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import make_key, opened, ssh_keygen, uri_of
from virtumancer.errors import AuthenticationFailed
from virtumancer_libvirt.uri.uri import LibvirtURI, parse

pytestmark = pytest.mark.lab


@pytest.fixture
def agent(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of an empty SSH agent that the environment names."""
    requires("ssh-agent", "ssh-add")
    path = short_folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield path
    process.terminate()
    process.wait()
    process.stdout.close()


def without_key(server: PrivateSshd) -> LibvirtURI:
    return parse(f"qemu+ssh://root@127.0.0.1:{server.port}/system")


def add(key: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True)


async def test_a_wrong_key_is_refused_with_user_key_and_cure(server: PrivateSshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "wrong")
    with pytest.raises(AuthenticationFailed) as refusal:
        async with opened(server, uri=uri_of(server, keyfile=key)):
            pass
    for word in ("root", str(key), "authorized_keys", f"127.0.0.1:{server.port}"):
        assert word in refusal.value.message


async def test_a_missing_key_file_is_named_in_the_refusal(server: PrivateSshd, tmp_path: Path) -> None:
    with pytest.raises(AuthenticationFailed, match=r"gone \(No such file"):
        async with opened(server, uri=uri_of(server, keyfile=tmp_path / "gone")):
            pass


async def test_a_key_with_a_passphrase_is_refused_with_the_way_out(server: PrivateSshd, tmp_path: Path) -> None:
    key = make_key(tmp_path / "locked", passphrase=CANARIES.plant("passphrase"))
    with pytest.raises(AuthenticationFailed, match="passphrase") as refusal:
        async with opened(server, uri=uri_of(server, keyfile=key)):
            pass
    assert "agent" in refusal.value.message


async def test_the_key_of_an_agent_is_used(server: PrivateSshd, agent: Path, tmp_path: Path) -> None:
    add(server.user_key)
    config = tmp_path / "config"
    config.write_text("IdentityFile none\n")
    async with opened(server, uri=without_key(server), ssh_agent=True, ssh_config=str(config)):
        assert server.login_count() == 1


async def test_a_key_file_with_a_passphrase_is_used_through_the_agent(
    server: PrivateSshd, agent: Path, tmp_path: Path
) -> None:
    add(server.user_key)
    locked = tmp_path / "locked"
    locked.write_bytes(server.user_key.read_bytes())
    locked.chmod(0o600)
    locked.with_suffix(".pub").write_bytes(server.user_key.with_suffix(".pub").read_bytes())
    ssh_keygen("-q", "-p", "-N", "secret", "-f", str(locked))
    async with opened(server, uri=uri_of(server, keyfile=locked), ssh_agent=True):
        assert server.login_count() == 1


async def test_keys_of_the_agent_that_were_not_asked_for_are_not_offered(
    server: PrivateSshd, agent: Path, tmp_path: Path
) -> None:
    for number in range(8):  # more than sshd lets one try
        add(make_key(tmp_path / f"key{number}"))
    async with opened(server, ssh_agent=True):
        assert server.login_count() == 1


async def test_the_agent_is_left_alone_when_the_settings_say_so(server: PrivateSshd, agent: Path) -> None:
    add(server.user_key)
    with pytest.raises(AuthenticationFailed):
        async with opened(server, uri=without_key(server)):
            pass


async def test_an_agent_that_does_not_answer_is_named_in_the_refusal(
    server: PrivateSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "no-agent"))
    config = tmp_path / "config"
    config.write_text("IdentityFile none\n")
    with pytest.raises(AuthenticationFailed, match=r"no-agent \(does not work"):
        async with opened(server, uri=without_key(server), ssh_agent=True, ssh_config=str(config)):
            pass


async def test_passwords_are_never_asked_for(lab: None, tmp_path: Path) -> None:
    options = {"PasswordAuthentication": "yes", "KbdInteractiveAuthentication": "yes"}
    with PrivateSshd(tmp_path / "asking", options=options) as server:
        key = make_key(tmp_path / "wrong")
        with pytest.raises(AuthenticationFailed):
            async with opened(server, uri=uri_of(server, keyfile=key)):
                pass
        assert "Failed password" not in server.log.read_text()


class TestCures:
    """A refusal by SSH is `authentication-failed`, and its message has the cure that fits."""

    @staticmethod
    async def refusal(server: PrivateSshd, uri: LibvirtURI | None = None, **changes: Any) -> str:
        with pytest.raises(AuthenticationFailed) as refused:
            async with opened(server, uri=uri, **changes):
                pass
        assert refused.value.code == "authentication-failed"
        return refused.value.message

    async def test_too_many_keys_are_cured_by_naming_the_right_one(
        self, server: PrivateSshd, agent: Path, tmp_path: Path
    ) -> None:
        for number in range(8):
            add(make_key(tmp_path / f"key{number}"))
        add(server.user_key)
        config = tmp_path / "config"
        config.write_text("IdentityFile none\n")
        message = await self.refusal(server, without_key(server), ssh_agent=True, ssh_config=str(config))
        for word in ("too many of our 9 keys", "MaxAuthTries", "keyfile=", "IdentitiesOnly"):
            assert word in message

    async def test_one_key_too_many_is_a_key_that_is_not_known(self, lab: None, tmp_path: Path) -> None:
        with PrivateSshd(tmp_path / "strict", options={"MaxAuthTries": "1"}) as server:
            message = await self.refusal(server, uri_of(server, keyfile=make_key(tmp_path / "wrong")))
        assert "authorized_keys" in message

    @pytest.mark.parametrize("second", ["password", "keyboard-interactive"])
    async def test_a_key_that_is_not_enough_is_cured_in_sshd(self, lab: None, tmp_path: Path, second: str) -> None:
        options = {
            "AuthenticationMethods": f"publickey,{second}",
            "PasswordAuthentication": "yes",
            "KbdInteractiveAuthentication": "yes",
        }
        with PrivateSshd(tmp_path / "both", options=options) as server:
            message = await self.refusal(server)
            assert "Failed" not in server.log.read_text()
        for word in ("the key was accepted", second, "AuthenticationMethods publickey", "Match User"):
            assert word in message
        assert "authorized_keys" not in message

    async def test_a_login_by_key_that_is_off_is_cured_in_sshd(self, lab: None, tmp_path: Path) -> None:
        options = {"PubkeyAuthentication": "no", "PasswordAuthentication": "yes", "PermitRootLogin": "yes"}
        with PrivateSshd(tmp_path / "keyless", options=options) as server:
            message = await self.refusal(server)
        for word in ("takes no key, only a password", "PubkeyAuthentication yes"):
            assert word in message

    async def test_a_key_for_other_addresses_has_from_among_its_cures(self, server: PrivateSshd) -> None:
        server.authorized_keys.write_text('from="192.0.2.7" ' + server.authorized_keys.read_text())
        assert "from= of the key" in await self.refusal(server)

    async def test_an_account_that_sshd_knows_nothing_of_has_that_among_its_cures(
        self, lab: None, tmp_path: Path
    ) -> None:
        with PrivateSshd(tmp_path / "others", options={"AllowUsers": "somebody"}) as server:
            message = await self.refusal(server)
        assert "PermitRootLogin, AllowUsers" in message

    async def test_a_wrong_key_where_passwords_are_taken_too_is_a_wrong_key(self, lab: None, tmp_path: Path) -> None:
        options = {"PasswordAuthentication": "yes", "KbdInteractiveAuthentication": "yes", "PermitRootLogin": "yes"}
        with PrivateSshd(tmp_path / "asking", options=options) as server:
            message = await self.refusal(server, uri_of(server, keyfile=make_key(tmp_path / "wrong")))
            assert "Failed password" not in server.log.read_text()
        assert "the key was accepted" not in message
        assert "authorized_keys" in message
