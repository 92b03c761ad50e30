"""TLS that is old, weak or half open; keys that others may read."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.attacks.certificates import self_signed
from tests.attacks.kit import target
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.errors import ConfigError, UsageError
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import server_settings
from virtumancer.server.tls import tls_context


def flags(cert: Path, key: Path) -> dict[str, str]:
    return {"server.tls_cert": str(cert), "server.tls_key": str(key)}


def client_of(version: ssl.TLSVersion, ciphers: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def negotiate(context: ssl.SSLContext, server: ssl.SSLContext) -> str:
    """Let both speak in memory; returns what they agree on."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(to_client, to_server)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    cipher = theirs.cipher()
    assert cipher is not None
    return cipher[0]


def test_what_is_old_or_weak_is_not_spoken(tmp_path: Path) -> None:
    server = tls_context(*map(str, self_signed(tmp_path)))

    assert "GCM" in negotiate(client_of(ssl.TLSVersion.TLSv1_2), server)
    assert negotiate(client_of(ssl.TLSVersion.TLSv1_3), server).startswith("TLS_")
    for weak in ("ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA384", "NULL-SHA256:@SECLEVEL=0"):
        with pytest.raises(ssl.SSLError):
            negotiate(client_of(ssl.TLSVersion.TLSv1_2, weak), server)


@pytest.mark.filterwarnings("ignore:.*TLSv1:DeprecationWarning")
def test_versions_before_1_2_are_refused_also_of_a_client_that_insists(tmp_path: Path) -> None:
    server = tls_context(*map(str, self_signed(tmp_path)))
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        old = client_of(version, "ALL:@SECLEVEL=0")
        old.minimum_version = version
        with pytest.raises(ssl.SSLError):
            negotiate(old, server)


async def test_the_openssl_program_finds_no_old_version_on_the_real_server(tmp_path: Path) -> None:
    async with target(tmp_path, **flags(*self_signed(tmp_path))) as victim:
        address = f"127.0.0.1:{victim.address[1]}"

        async def connects(*options: str) -> bool:
            command = ["openssl", "s_client", "-connect", address, *options]
            return await _ends_well(command)

        assert await connects("-tls1_2")
        assert await connects("-tls1_3")
        assert not await connects("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        assert not await connects("-tls1", "-cipher", "ALL:@SECLEVEL=0")
        assert not await connects("-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256")
        async with httpx2.AsyncClient(base_url=victim.url, verify=False, trust_env=False) as client:
            headers = (await client.get("/api/v1/health")).headers
        assert headers["strict-transport-security"] == "max-age=31536000"


async def _ends_well(command: list[str]) -> bool:
    nothing = subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=nothing, stdout=nothing, stderr=nothing)
    async with asyncio.timeout(20):
        return await process.wait() == 0


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)])
def test_a_key_that_everybody_may_read_is_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, warned: bool
) -> None:
    tls_context(*map(str, self_signed(tmp_path, mode=mode)))

    assert ("private key" in capsys.readouterr().out) == warned


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    locked = tmp_path / "locked.pem"
    command = ["openssl", "ec", "-in", key, "-aes256", "-passout", "pass:geheim", "-out", locked]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    config = load_config(
        None, {"HOME": str(tmp_path)}, {"database.url": f"sqlite://{tmp_path}/v.db"} | flags(cert, locked)
    )

    with pytest.raises(UsageError, match="cannot be used"):
        server_settings(create_app(config, load_plugins(["libvirt"])))


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "virtumancer.example"])
@pytest.mark.parametrize("auth", ["off", "token"])
def test_nothing_beyond_loopback_is_listened_on_in_clear(tmp_path: Path, bind: str, auth: str) -> None:
    asked = {"server.bind": bind, "server.auth": auth}
    with pytest.raises(ConfigError, match=r"server\.bind"):
        load_config(None, {"HOME": str(tmp_path)}, asked)

    proxied = asked | {"server.behind_proxy": True}
    encrypted = asked | flags(*self_signed(tmp_path))
    for config in (proxied, encrypted):
        if auth == "off":
            with pytest.raises(ConfigError, match=r"server\.bind"):
                load_config(None, {"HOME": str(tmp_path)}, config)
        else:
            assert load_config(None, {"HOME": str(tmp_path)}, config).server.bind == bind
