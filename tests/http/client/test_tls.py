"""A server with a certificate of its own is trusted by its CA file, and by nothing else."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.lab import find_program
from tests.lab.requirements import requires
from virtumancer.app import create_app
from virtumancer.client import NEVER, AsyncClient, ServerUnreachable
from virtumancer.config import load_config
from virtumancer.contracts import ConsoleOffer, VMState
from virtumancer.errors import UsageError
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import Server, listen, server_settings, url_of
from virtumancer.testing import FakeHypervisor, fake_plugin

NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    requires("openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-subj", "/CN=localhost", "-addext", NAMES, "-keyout", str(key), "-out", str(cert)]
    subprocess.run([find_program("openssl"), *made, *files], check=True, capture_output=True)
    return cert, key


@pytest.fixture
async def tls_url(tmp_path: Path, certificate: tuple[Path, Path], kvm1: FakeHypervisor) -> AsyncIterator[str]:
    cert, key = certificate
    flags = {
        "database.url": f"sqlite://{tmp_path}/v.db",
        "server.auth": "off",
        "server.tls_cert": str(cert),
        "server.tls_key": str(key),
    }
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1)})
    async with create_app(load_config(None, {"HOME": str(tmp_path)}, flags), plugins) as application:
        listener = listen("127.0.0.1", 0)
        started = asyncio.Event()
        server = Server(server_settings(application), started.set)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await started.wait()
        yield url_of(application.config, listener)
        server.should_exit = True
        await serving
        listener.close()


async def test_calls_and_consoles_go_through_tls(
    tls_url: str, certificate: tuple[Path, Path], kvm1: FakeHypervisor
) -> None:
    vm = kvm1.define("web01", VMState.RUNNING)
    kvm1.consoles[vm.uuid] = (ConsoleOffer("serial", True),)
    async with AsyncClient(tls_url, ca_file=str(certificate[0])) as client:
        await client.hosts.add("kvm1", kvm1.uri)
        console = await client.consoles.open("kvm1", "web01")
        await kvm1.console_ends[0].write(b"login: ")
        assert await console.read() == b"login: "
        await console.close()


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tls_url: str) -> None:
    async with AsyncClient(tls_url, retries=NEVER) as client:
        with pytest.raises(ServerUnreachable, match=r"(?i)certificate"):
            await client.hosts.list()


def test_a_ca_file_that_is_none_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    for wrong in (file, tmp_path / "nowhere.pem"):
        with pytest.raises(UsageError, match="CA file"):
            AsyncClient("https://localhost", ca_file=str(wrong))
