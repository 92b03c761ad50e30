"""SPICE on a TLS port, which QEMU offers when the host has certificates."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.lab.libvirtd import PrivateLibvirtd
from tests.lab.processes import free_port
from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.conftest import Connect, ssh_uri
from virtumancer.errors import HypervisorError
from virtumancer_libvirt.consoles.dialer import NetworkReach
from virtumancer_libvirt.uri.uri import parse

from .guests import SPICE_LINK, guest_with, read_until

pytestmark = pytest.mark.lab


def write_certificate(folder: Path) -> None:
    """Write a certificate that vouches for itself, as QEMU's three files."""
    folder.mkdir(parents=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kvm1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    plain = serialization.NoEncryption()
    key_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    for file, content in (("ca-cert.pem", pem), ("server-cert.pem", pem), ("server-key.pem", key_pem)):
        (folder / file).write_bytes(content)


@pytest.fixture(scope="module")
def tls_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrivateLibvirtd, PrivateSshd]]:
    """A host with a guest whose SPICE display has a TLS port only."""
    folder = tmp_path_factory.mktemp("tls")
    write_certificate(folder / "pki")
    with PrivateLibvirtd(folder / "l") as daemon, PrivateSshd(folder / "s", daemon) as sshd:
        with (daemon.folder / "etc" / "qemu.conf").open("a") as configuration:
            configuration.write(f'spice_tls = 1\nspice_tls_x509_cert_dir = "{folder / "pki"}"\n')
        daemon.restart()
        port = free_port()
        daemon.define(
            guest_with(
                "safe",
                f"<graphics type='spice' autoport='no' tlsPort='{port}' defaultMode='secure' passwd='pw'>"
                "<listen type='address' address='127.0.0.1'/></graphics>",
            )
        )
        daemon.virsh("start", "safe")
        yield daemon, sshd


@pytest.mark.parametrize("way", ["ssh", "unix", "tcp"])
async def test_spice_answers_behind_tls(
    connect: Connect, tls_host: tuple[PrivateLibvirtd, PrivateSshd], way: str
) -> None:
    daemon, sshd = tls_host
    host = await connect({"ssh": ssh_uri(sshd), "unix": daemon.uri, "tcp": daemon.tcp_uri}[way])
    console = await host.open_console((await host.find_vm("safe")).uuid, "spice")
    assert console.password == "pw"
    await console.stream.write(SPICE_LINK)
    assert (await read_until(console.stream, b"REDQ")).startswith(b"REDQ")
    await console.stream.close()


async def test_over_the_network_a_certificate_that_nobody_vouches_for_is_refused(
    connect: Connect, tls_host: tuple[PrivateLibvirtd, PrivateSshd]
) -> None:
    daemon, _ = tls_host

    class FromAfar(NetworkReach):
        """The same host, as if it were not this machine."""

        def tls_name(self) -> str | None:
            return "kvm1"

    host = await connect(daemon.tcp_uri, reach=FromAfar(parse(daemon.tcp_uri), 5.0))
    with pytest.raises(
        HypervisorError, match=r"spice console of VM safe cannot be reached: TLS with it failed: .*self"
    ):
        await host.open_console((await host.find_vm("safe")).uuid, "spice")
