"""No byte of authentication goes to a host whose key nobody vouches for."""

from pathlib import Path

import pytest

from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import make_key, opened, ssh_keygen
from virtumancer.contracts import HostKey, HostKeyPolicy
from virtumancer.errors import HostKeyChanged, HostKeyUnknown

pytestmark = pytest.mark.lab


def address(server: PrivateSshd) -> str:
    return f"[127.0.0.1]:{server.port}"


def key_of(server: PrivateSshd) -> HostKey:
    kind, _ = server.host_public_key.split()
    return HostKey(address(server), kind, server.host_key_fingerprint, server.host_public_key)


def known(folder: Path, *lines: str) -> dict[str, object]:
    """Settings with a known_hosts file of these lines."""
    path = folder / "known_hosts"
    path.write_text("".join(f"{line}\n" for line in lines))
    return {"ssh_known_hosts": (str(path),)}


@pytest.fixture
def other_key(tmp_path: Path) -> str:
    key = make_key(tmp_path / "other").with_suffix(".pub")
    return " ".join(key.read_text().split()[:2])


@pytest.fixture
def two_keys(lab: None, tmp_path: Path) -> PrivateSshd:
    return PrivateSshd(tmp_path / "two", host_key_types=("ed25519", "rsa"))


async def test_a_key_in_known_hosts_is_trusted(server: PrivateSshd) -> None:
    async with opened(server):
        assert server.login_count() == 1


async def test_an_unknown_key_is_refused_with_what_is_needed_to_approve_it(server: PrivateSshd) -> None:
    with pytest.raises(HostKeyUnknown) as refusal:
        async with opened(server, ssh_known_hosts=()):
            pass
    expected = {"address": address(server), "type": "ssh-ed25519", "fingerprint": server.host_key_fingerprint}
    assert refusal.value.extra == {"host_key": expected}
    for word in (*expected.values(), '"host_key": "SHA256:', "POST /api/v1/hosts", 'unknown_host_keys = "accept-new"'):
        assert word in refusal.value.message


async def test_a_host_with_an_unknown_key_sees_no_attempt_to_log_in(server: PrivateSshd) -> None:
    with pytest.raises(HostKeyUnknown):
        async with opened(server, ssh_known_hosts=()):
            pass
    server.stop()
    log = server.log.read_text()
    assert "Connection closed by" in log or "Disconnected from" in log
    assert "authenticating user" not in log
    assert "publickey" not in log


async def test_an_approved_key_is_accepted_and_remembered(server: PrivateSshd) -> None:
    policy = HostKeyPolicy(approved=frozenset({server.host_key_fingerprint}))
    async with opened(server, policy, ssh_known_hosts=()):
        assert policy.newly_accepted == (key_of(server),)


async def test_the_approval_of_another_key_is_worth_nothing(server: PrivateSshd) -> None:
    policy = HostKeyPolicy(approved=frozenset({"SHA256:" + "A" * 43}))
    with pytest.raises(HostKeyUnknown):
        async with opened(server, policy, ssh_known_hosts=()):
            pass


async def test_accept_new_accepts_and_remembers_an_unknown_key(server: PrivateSshd) -> None:
    policy = HostKeyPolicy(unknown="accept-new")
    async with opened(server, policy, ssh_known_hosts=()):
        assert policy.newly_accepted == (key_of(server),)


async def test_a_pinned_key_is_trusted(server: PrivateSshd) -> None:
    policy = HostKeyPolicy(pinned=(key_of(server),))
    async with opened(server, policy, ssh_known_hosts=()):
        assert policy.newly_accepted == ()


@pytest.mark.parametrize("where", ["known_hosts", "pinned"])
async def test_a_changed_key_is_refused_whatever_was_approved(
    server: PrivateSshd, tmp_path: Path, other_key: str, where: str
) -> None:
    settings = known(tmp_path, f"{address(server)} {other_key}" if where == "known_hosts" else "")
    old = HostKey(address(server), "ssh-ed25519", "SHA256:old", other_key)
    policy = HostKeyPolicy(
        pinned=(old,) if where == "pinned" else (),
        approved=frozenset({server.host_key_fingerprint}),
        unknown="accept-new",
    )
    with pytest.raises(HostKeyChanged) as refusal:
        async with opened(server, policy, **settings):
            pass
    fingerprint = ssh_keygen("-lf", str(tmp_path / "other.pub")).split()[1]
    assert refusal.value.extra["host_key"]["fingerprint"] == server.host_key_fingerprint
    assert [key["fingerprint"] for key in refusal.value.extra["trusted_host_keys"]] == [fingerprint]
    assert server.host_key_fingerprint in refusal.value.message
    assert fingerprint in refusal.value.message
    assert policy.newly_accepted == ()


async def test_a_key_of_another_type_than_the_trusted_one_is_a_changed_key(server: PrivateSshd, tmp_path: Path) -> None:
    ssh_keygen("-q", "-t", "rsa", "-N", "", "-f", str(tmp_path / "rsa"))
    rsa = " ".join((tmp_path / "rsa.pub").read_text().split()[:2])
    with pytest.raises(HostKeyChanged):
        async with opened(server, **known(tmp_path, f"{address(server)} {rsa}")):
            pass


@pytest.mark.parametrize("kind", ["ssh-rsa", "ssh-ed25519"])
async def test_a_host_with_two_keys_is_asked_for_the_one_that_is_known(two_keys: PrivateSshd, kind: str) -> None:
    with two_keys as server:
        lines = [line for line in server.known_hosts.read_text().splitlines() if f" {kind} " in line]
        async with opened(server, **known(server.folder, *lines)):
            assert server.login_count() == 1


async def test_a_revoked_key_is_refused_although_it_is_trusted_too(server: PrivateSshd, tmp_path: Path) -> None:
    line = f"{address(server)} {server.host_public_key}"
    with pytest.raises(HostKeyChanged, match="revoked") as refusal:
        async with opened(server, HostKeyPolicy(unknown="accept-new"), **known(tmp_path, line, f"@revoked {line}")):
            pass
    assert refusal.value.extra["host_key"]["fingerprint"] == server.host_key_fingerprint


async def test_a_key_revoked_for_all_hosts_is_refused(server: PrivateSshd, tmp_path: Path) -> None:
    policy = HostKeyPolicy(pinned=(key_of(server),))
    with pytest.raises(HostKeyChanged, match="revoked"):
        async with opened(server, policy, **known(tmp_path, f"@revoked * {server.host_public_key}")):
            pass


async def test_hashed_known_hosts_are_read(server: PrivateSshd, tmp_path: Path) -> None:
    path = tmp_path / "hashed"
    path.write_text(server.known_hosts.read_text())
    ssh_keygen("-H", "-f", str(path))
    assert path.read_text().startswith("|1|")
    async with opened(server, ssh_known_hosts=(str(path),)):
        assert server.login_count() == 1


@pytest.mark.parametrize("names", ["kvm1,{address},kvm2", "[127.0.0.?]:*", "[127.0.0.*]:*,!kvm1"])
async def test_lists_and_patterns_in_known_hosts_are_understood(
    server: PrivateSshd, tmp_path: Path, names: str
) -> None:
    line = f"{names.format(address=address(server))} {server.host_public_key} comment"
    async with opened(server, **known(tmp_path, "# comment", "", line)):
        assert server.login_count() == 1


async def test_a_broken_line_in_known_hosts_does_no_harm(server: PrivateSshd, tmp_path: Path) -> None:
    line = f"{address(server)} {server.host_public_key}"
    broken = ("*", "@nonsense * ssh-ed25519 AAAA", f"{address(server)} ssh-ed25519 nonsense", "|1|x ssh-ed25519 AAAA")
    async with opened(server, **known(tmp_path, *broken, line)):
        assert server.login_count() == 1


async def test_the_key_of_the_same_name_on_port_22_is_enough(server: PrivateSshd, tmp_path: Path) -> None:
    async with opened(server, **known(tmp_path, f"127.0.0.1 {server.host_public_key}")):
        assert server.login_count() == 1


async def test_another_key_on_port_22_makes_this_one_unknown_and_not_changed(
    server: PrivateSshd, tmp_path: Path, other_key: str
) -> None:
    with pytest.raises(HostKeyUnknown):
        async with opened(server, **known(tmp_path, f"127.0.0.1 {other_key}")):
            pass


class TestCertificates:
    """A host certificate vouches for a host when its authority is trusted."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Path:
        return make_key(tmp_path / "authority")

    @pytest.fixture
    def certified(self, lab: None, tmp_path: Path) -> PrivateSshd:
        folder = (tmp_path / "certified").resolve()
        certificate = folder / "host_keys_1" / "ssh_host_ed25519_key-cert.pub"
        return PrivateSshd(folder, options={"HostCertificate": str(certificate)})

    @staticmethod
    def certify(server: PrivateSshd, authority: Path, *options: str, name: str = "127.0.0.1") -> str:
        """Sign the host key of a running sshd, let it show that, and return the authority's public key."""
        key = server.known_hosts.parent / "ssh_host_ed25519_key.pub"
        server.stop()
        ssh_keygen("-q", "-s", str(authority), "-I", "lab", "-h", "-n", name, *options, str(key))
        server.start()
        return " ".join(authority.with_suffix(".pub").read_text().split()[:2])

    async def test_a_host_with_a_certificate_of_a_known_authority_is_trusted(
        self, certified: PrivateSshd, authority: Path, tmp_path: Path
    ) -> None:
        with certified as server:
            public = self.certify(server, authority)
            async with opened(server, **known(tmp_path, f"@cert-authority [127.0.0.1]:* {public}")):
                assert server.login_count() == 1

    async def test_a_certificate_of_another_authority_leaves_the_plain_key_to_decide(
        self, certified: PrivateSshd, authority: Path, tmp_path: Path, other_key: str
    ) -> None:
        with certified as server:
            self.certify(server, authority)
            lines = (f"@cert-authority * {other_key}", f"{address(server)} {server.host_public_key}")
            async with opened(server, **known(tmp_path, *lines)):
                assert server.login_count() == 1

    @pytest.mark.parametrize(
        ("options", "name", "word"),
        [((), "kvm1", "principal"), (("-V", "20000101:20000102"), "127.0.0.1", "expired")],
    )
    async def test_a_certificate_that_is_not_good_is_refused(
        self, certified: PrivateSshd, authority: Path, tmp_path: Path, options: tuple[str, ...], name: str, word: str
    ) -> None:
        with certified as server:
            public = self.certify(server, authority, *options, name=name)
            with pytest.raises(HostKeyChanged, match=word):
                async with opened(server, **known(tmp_path, f"@cert-authority * {public}")):
                    pass

    async def test_a_revoked_key_is_refused_inside_a_certificate_too(
        self, certified: PrivateSshd, authority: Path, tmp_path: Path
    ) -> None:
        with certified as server:
            public = self.certify(server, authority)
            lines = (f"@cert-authority * {public}", f"@revoked * {server.host_public_key}")
            with pytest.raises(HostKeyChanged, match="revoked"):
                async with opened(server, **known(tmp_path, *lines)):
                    pass
