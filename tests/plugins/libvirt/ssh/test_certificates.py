"""OpenSSH certificates on both sides: of hosts under a name pattern, and of the user who logs in."""

from pathlib import Path

import pytest

from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import make_key, opened, ssh_keygen
from virtumancer.errors import AuthenticationFailed, HostKeyChanged
from virtumancer_libvirt.uri.uri import LibvirtURI, parse

pytestmark = pytest.mark.lab


def public_of(key: Path) -> str:
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


class TestOfHosts:
    """A host is asked for by the name in its certificate, under a pattern of known_hosts."""

    @pytest.fixture
    def authority(self, lab: None, tmp_path: Path) -> Path:
        return make_key(tmp_path / "authority")

    @pytest.fixture
    def server(self, authority: Path, tmp_path: Path) -> PrivateSshd:
        folder = (tmp_path / "certified").resolve()
        certificate = folder / "host_keys_1" / "ssh_host_ed25519_key-cert.pub"
        return PrivateSshd(folder, options={"HostCertificate": str(certificate)})

    @staticmethod
    def way(server: PrivateSshd, authority: Path, *lines: str, name: str = "kvm1.lab.example") -> dict[str, object]:
        """Sign the key of a running sshd for this name; settings that reach it as kvm1.lab.example."""
        server.stop()
        key = server.known_hosts.parent / "ssh_host_ed25519_key.pub"
        ssh_keygen("-q", "-s", str(authority), "-I", "lab", "-h", "-n", name, str(key))
        server.start()
        config, known_hosts = server.folder / "config", server.folder / "known"
        config.write_text(f"Host kvm1\nHostName 127.0.0.1\nPort {server.port}\nHostKeyAlias kvm1.lab.example\n")
        known_hosts.write_text("".join(f"{line}\n" for line in lines))
        return {"ssh_config": str(config), "ssh_known_hosts": (str(known_hosts),)}

    @staticmethod
    def uri(server: PrivateSshd) -> LibvirtURI:
        return parse(f"qemu+ssh://root@kvm1/system?keyfile={server.user_key}")

    async def test_a_pattern_of_names_trusts_the_certificate(self, server: PrivateSshd, authority: Path) -> None:
        with server:
            way = self.way(server, authority, f"@cert-authority *.lab.example {public_of(authority)}")
            async with opened(server, uri=self.uri(server), **way):
                assert server.login_count() == 1

    async def test_a_certificate_for_another_name_is_refused(self, server: PrivateSshd, authority: Path) -> None:
        with server:
            line = f"@cert-authority *.lab.example {public_of(authority)}"
            way = self.way(server, authority, line, name="kvm2.lab.example")
            with pytest.raises(HostKeyChanged, match="principal"):
                async with opened(server, uri=self.uri(server), **way):
                    pass
            assert server.login_count() == 0

    async def test_a_revoked_authority_vouches_for_nothing(self, server: PrivateSshd, authority: Path) -> None:
        with server:
            public = public_of(authority)
            way = self.way(server, authority, f"@cert-authority *.lab.example {public}", f"@revoked * {public}")
            with pytest.raises(HostKeyChanged, match="revoked"):
                async with opened(server, uri=self.uri(server), **way):
                    pass
            assert server.login_count() == 0


class TestOfUsers:
    """A user certificate beside the key logs in where sshd trusts its authority and no plain key."""

    @pytest.fixture
    def server(self, lab: None, tmp_path: Path) -> PrivateSshd:
        authority = make_key(tmp_path / "users-authority")
        options = {"TrustedUserCAKeys": str(authority.with_suffix(".pub")), "AuthorizedKeysFile": "none"}
        return PrivateSshd(tmp_path / "sshd", options=options)

    @staticmethod
    def sign(server: PrivateSshd, authority: Path, *options: str) -> None:
        key = str(server.user_key.with_suffix(".pub"))
        ssh_keygen("-q", "-s", str(authority), "-I", "somebody", "-n", "root", *options, key)

    async def test_a_key_without_its_certificate_is_not_let_in(self, server: PrivateSshd) -> None:
        with server, pytest.raises(AuthenticationFailed):
            async with opened(server):
                pass

    async def test_a_certificate_beside_the_key_is_used(self, server: PrivateSshd, tmp_path: Path) -> None:
        with server:
            self.sign(server, tmp_path / "users-authority")
            async with opened(server):
                assert server.login_count() == 1

    async def test_an_expired_certificate_is_not_let_in(self, server: PrivateSshd, tmp_path: Path) -> None:
        with server:
            self.sign(server, tmp_path / "users-authority", "-V", "20000101:20000102")
            with pytest.raises(AuthenticationFailed, match=r"Certificate expired\. .*certificate issued anew"):
                async with opened(server):
                    pass

    async def test_a_certificate_for_other_accounts_says_so(self, server: PrivateSshd, tmp_path: Path) -> None:
        with server:
            self.sign(server, tmp_path / "users-authority", "-n", "somebody")
            with pytest.raises(AuthenticationFailed, match=r"principal mismatch\. .*for this account"):
                async with opened(server):
                    pass
