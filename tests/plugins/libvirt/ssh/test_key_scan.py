"""What a host shows is told without a login, and judged as a connection would."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import make_key, settings, ssh_keygen, uri_of
from virtumancer.contracts import ConnectContext, HostKey, HostKeyPolicy, HostKeyTrust, ShownHostKey
from virtumancer.errors import HostUnreachable
from virtumancer_libvirt.ssh.host_key_scan import scan_host_keys
from virtumancer_libvirt.uri.uri import parse

pytestmark = pytest.mark.lab


@pytest.fixture
def two_keys(lab: None, tmp_path: Path) -> Iterator[PrivateSshd]:
    with PrivateSshd(tmp_path / "two", host_key_types=("ed25519", "rsa")) as server:
        yield server


async def scan(
    server: PrivateSshd, lines: tuple[str, ...] = (), pinned: tuple[HostKey, ...] = (), **changes: object
) -> tuple[ShownHostKey, ...]:
    known_hosts = server.folder / "scan_known_hosts"
    known_hosts.write_text("".join(f"{line}\n" for line in lines))
    options = settings(server, **({"ssh_known_hosts": (str(known_hosts),)} | changes))
    return tuple(await scan_host_keys(uri_of(server), ConnectContext(options, HostKeyPolicy(pinned))))


def address(server: PrivateSshd) -> str:
    return f"[127.0.0.1]:{server.port}"


def trust_of(shown: tuple[ShownHostKey, ...]) -> dict[str, str]:
    return {key.type: key.trust.value for key in shown}


async def test_every_key_of_a_host_is_shown_with_what_is_needed_to_compare_it(two_keys: PrivateSshd) -> None:
    shown = await scan(two_keys)

    assert trust_of(shown) == {"ssh-ed25519": "unknown", "ssh-rsa": "unknown"}
    (ed25519,) = (key for key in shown if key.type == "ssh-ed25519")
    assert ed25519.fingerprint == two_keys.host_key_fingerprint
    assert ed25519.public == two_keys.host_public_key
    assert ed25519.address == address(two_keys)


async def test_a_host_that_is_looked_at_sees_no_attempt_to_log_in_even_when_it_is_trusted(server: PrivateSshd) -> None:
    line = f"{address(server)} {server.host_public_key}"
    for lines in ((), (line,)):
        await scan(server, lines)
    server.stop()

    log = server.log.read_text()
    assert "Connection from" in log
    assert "authenticating user" not in log
    assert "userauth" not in log.lower()
    assert server.login_count() == 0


async def test_who_vouches_for_a_key_is_told(two_keys: PrivateSshd) -> None:
    pin = HostKey(address(two_keys), "ssh-ed25519", two_keys.host_key_fingerprint, two_keys.host_public_key)
    lines = tuple(line for line in two_keys.known_hosts.read_text().splitlines() if " ssh-rsa " in line)

    assert trust_of(await scan(two_keys, lines, (pin,))) == {"ssh-ed25519": "pinned", "ssh-rsa": "known-hosts"}


async def test_a_key_beside_a_trusted_one_is_unknown_and_one_in_its_place_is_changed(
    two_keys: PrivateSshd, tmp_path: Path
) -> None:
    pin = HostKey(address(two_keys), "ssh-ed25519", two_keys.host_key_fingerprint, two_keys.host_public_key)
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text().split()
    wrong = HostKey(address(two_keys), "ssh-ed25519", "SHA256:other", " ".join(other[:2]))

    beside = trust_of(await scan(two_keys, pinned=(pin,)))
    instead = trust_of(await scan(two_keys, pinned=(wrong,)))

    assert beside == {"ssh-ed25519": "pinned", "ssh-rsa": "unknown"}
    assert instead == {"ssh-ed25519": "changed", "ssh-rsa": "changed"}


async def test_a_revoked_key_is_told_although_it_is_pinned(server: PrivateSshd) -> None:
    pin = HostKey(address(server), "ssh-ed25519", server.host_key_fingerprint, server.host_public_key)

    shown = await scan(server, (f"@revoked * {server.host_public_key}",), (pin,))

    assert trust_of(shown) == {"ssh-ed25519": "revoked"}


async def test_a_host_behind_a_jump_host_is_looked_at_through_it(lab: None, tmp_path: Path) -> None:
    with PrivateSshd(tmp_path / "jump") as jump, PrivateSshd(tmp_path / "inner") as inner:
        config = tmp_path / "config"
        way = f"ProxyJump root@127.0.0.1:{jump.port}\nIdentityFile {jump.user_key}\n"
        config.write_text(
            f"Match originalhost 127.0.0.2\nHostName 127.0.0.1\n{way}Host *\nIdentityFile {jump.user_key}\n"
        )
        uri = parse(f"qemu+ssh://root@127.0.0.2:{inner.port}/system")

        async def look(*known_hosts: str) -> tuple[ShownHostKey, ...]:
            options = settings(None, ssh_config=str(config), ssh_known_hosts=known_hosts)
            return tuple(await scan_host_keys(uri, ConnectContext(options, HostKeyPolicy(unknown="accept-new"))))

        policy = HostKeyPolicy()
        options = settings(None, ssh_config=str(config), ssh_known_hosts=())
        as_far_as_it_goes = await scan_host_keys(uri, ConnectContext(options, policy))
        through = await look(str(jump.known_hosts))

        assert [key.address for key in as_far_as_it_goes] == [address(jump)]
        assert [(key.address, key.fingerprint) for key in through] == [(address(inner), inner.host_key_fingerprint)]
        assert (jump.login_count(), inner.login_count()) == (1, 0)


@pytest.mark.parametrize(
    ("options", "name", "trust"),
    [
        ((), "127.0.0.1", HostKeyTrust.AUTHORITY),
        ((), "kvm1", HostKeyTrust.INVALID),
        (("-V", "20000101:20000102"), "127.0.0.1", HostKeyTrust.INVALID),
    ],
)
async def test_a_certificate_is_judged_as_when_connecting(
    lab: None, tmp_path: Path, options: tuple[str, ...], name: str, trust: HostKeyTrust
) -> None:
    folder, authority = (tmp_path / "certified").resolve(), make_key(tmp_path / "authority")
    certificate = folder / "host_keys_1" / "ssh_host_ed25519_key-cert.pub"
    with PrivateSshd(folder, options={"HostCertificate": str(certificate)}) as server:
        server.stop()
        key = certificate.with_name("ssh_host_ed25519_key.pub")
        ssh_keygen("-q", "-s", str(authority), "-I", "lab", "-h", "-n", name, *options, str(key))
        server.start()
        public = " ".join(authority.with_suffix(".pub").read_text().split()[:2])

        (trusted,) = await scan(server, (f"@cert-authority * {public}",))
        (revoked,) = await scan(server, (f"@cert-authority * {public}", f"@revoked * {public}"))
        (elsewhere,) = await scan(server, (f"@cert-authority other.example {public}",))

    assert (trusted.trust, trusted.fingerprint, trusted.type) == (trust, server.host_key_fingerprint, "ssh-ed25519")
    assert revoked.trust is HostKeyTrust.REVOKED
    assert elsewhere.trust is HostKeyTrust.UNKNOWN


async def test_what_is_no_ssh_server_is_an_error_of_ours_within_the_deadline(server: PrivateSshd) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        hung_up.set()

    hung_up = asyncio.Event()
    for behaviour in (babble, keep_silent):
        async with await asyncio.start_server(behaviour, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            uri = parse(f"qemu+ssh://root@127.0.0.1:{port}/system")
            context = ConnectContext(settings(server, connect_timeout=0.5), HostKeyPolicy())
            async with asyncio.timeout(2):
                with pytest.raises(HostUnreachable):
                    await scan_host_keys(uri, context)
            assert behaviour is babble or await asyncio.wait_for(hung_up.wait(), 2)
