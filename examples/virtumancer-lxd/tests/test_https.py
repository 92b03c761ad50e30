"""Over HTTPS: whose certificates count, on both sides."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives import serialization
from lxd import client_certificate
from virtumancer_lxd.address import parse
from virtumancer_lxd.driver import LXDDriver

from virtumancer.contracts import (
    ConnectContext,
    ConnectSettings,
    Host,
    HostConnection,
    HostKey,
    HostKeyPolicy,
    HostKeyTrust,
    Secret,
)
from virtumancer.errors import AuthenticationFailed, HostKeyChanged, HostKeyUnknown, InvalidValue

SETTINGS = ConnectSettings(connect_timeout=10.0)


@dataclass
class Client:
    """Somebody who connects with these credentials."""

    address: str
    credentials: Mapping[str, str]

    async def connect(self, policy: HostKeyPolicy | None = None) -> HostConnection:
        secrets = {name: Secret(pem, "this test") for name, pem in self.credentials.items()}
        context = ConnectContext(SETTINGS, policy or HostKeyPolicy(unknown="accept-new"), secrets)
        return await LXDDriver().connect(Host("far", f"lxd://{self.address}"), context)


@pytest.fixture
def client(address: str, certificate: tuple[str, str]) -> Client:
    return Client(address, dict(zip(("client-cert", "client-key"), certificate, strict=True)))


async def test_an_unknown_certificate_is_refused_until_its_fingerprint_is_approved(client: Client) -> None:
    with pytest.raises(HostKeyUnknown, match="certificate_fingerprint") as raised:
        await client.connect(HostKeyPolicy())
    fingerprint = raised.value.extra["host_key"]["fingerprint"]

    policy = HostKeyPolicy(approved=frozenset({fingerprint}))
    await (await client.connect(policy)).aclose()
    [pinned] = policy.newly_accepted
    await (await client.connect(HostKeyPolicy((pinned,)))).aclose()

    assert pinned.address == f"[127.0.0.1]:{client.address.partition(':')[2]}"


async def test_another_certificate_than_the_pinned_one_is_refused(client: Client) -> None:
    pinned = HostKey(parse(f"lxd://{client.address}").known_as, "x509", f"SHA256:{'A' * 43}", "x509 AAAA")
    with pytest.raises(HostKeyChanged):
        await client.connect(HostKeyPolicy((pinned,), unknown="accept-new"))


async def test_the_certificate_is_shown_without_a_login(client: Client) -> None:
    policy = HostKeyPolicy()
    [shown] = await LXDDriver().scan_host_keys(Host("far", f"lxd://{client.address}"), ConnectContext(SETTINGS, policy))
    assert (shown.type, shown.trust) == ("x509", HostKeyTrust.UNKNOWN)
    assert policy.newly_accepted == ()


async def test_a_client_certificate_that_lxd_does_not_trust_is_refused_with_the_cure(client: Client) -> None:
    stranger = dict(zip(("client-cert", "client-key"), client_certificate("stranger"), strict=True))
    with pytest.raises(AuthenticationFailed, match="lxc config trust add"):
        await Client(client.address, stranger).connect()


async def test_without_credentials_it_says_which_are_needed(client: Client) -> None:
    with pytest.raises(AuthenticationFailed, match="client-cert, client-key"):
        await Client(client.address, {}).connect()
    with pytest.raises(AuthenticationFailed, match="the credentials client-key;"):
        await Client(client.address, {"client-cert": client.credentials["client-cert"]}).connect()


async def test_what_is_no_certificate_with_its_key_is_refused_and_not_repeated(client: Client) -> None:
    ours, key = client.credentials["client-cert"], client.credentials["client-key"]
    other = client_certificate()[1]
    locked = (
        serialization.load_pem_private_key(key.encode(), None)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
        .decode()
    )
    for pair in ((ours, "no key"), ("no certificate", key), (ours, other), (ours, locked), (key, ours[:50])):
        credentials = dict(zip(("client-cert", "client-key"), pair, strict=True))
        with pytest.raises(AuthenticationFailed, match="no certificate as PEM with its key") as raised:
            await Client(client.address, credentials).connect()
        assert key.splitlines()[1] not in str(raised.value)
        assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("uri", "socket", "known_as", "project"),
    [
        ("lxd:///", "/var/lib/lxd/unix.socket", "", "default"),
        ("lxd:///var/snap/lxd/common/lxd/unix.socket", "/var/snap/lxd/common/lxd/unix.socket", "", "default"),
        ("lxd://lxd1.example.org", "", "[lxd1.example.org]:8443", "default"),
        ("lxd://lxd1.example.org:443/?project=web", "", "[lxd1.example.org]:443", "web"),
        ("lxd://[2001:db8::1]", "", "[2001:db8::1]:8443", "default"),
    ],
)
def test_a_uri_says_where_lxd_is(uri: str, socket: str, known_as: str, project: str) -> None:
    LXDDriver().check_uri(uri)
    address = parse(uri)
    assert (address.socket, address.project) == (socket, project)
    assert address.socket or address.known_as == known_as


@pytest.mark.parametrize(
    "uri",
    [
        "lxd://host/path",
        "lxd://user@host",
        "lxd://host:99999",
        "lxd://host?x=1",
        "lxd://host?project=",
        "lxd://host#a",
        "lxd://:8443",
        "lxd+ssh://host",
        "lxd://[",
    ],
)
def test_a_uri_that_can_never_work_is_refused(uri: str) -> None:
    with pytest.raises(InvalidValue, match="write lxd://HOST"):
        LXDDriver().check_uri(uri)
