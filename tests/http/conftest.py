"""An application on a scratch database, reached over ASGI, with fake hypervisors behind it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import Server, listen, server_settings, url_of
from virtumancer.store import Database, database
from virtumancer.store.filelock import FileLock
from virtumancer.testing import FakeHypervisor, fake_plugin


@pytest.fixture(scope="session", autouse=True)
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let new databases begin as copies of one with all tables: making those takes longer than most tests here."""
    made = tmp_path_factory.mktemp("tables") / "made.db"

    async def make() -> None:
        async with Database(f"sqlite://{made}"):
            pass

    asyncio.run(make())

    class FillingLock(FileLock):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.path = path

        def acquire(self) -> None:
            super().acquire()
            if not self.path.stat().st_size:
                shutil.copyfile(made, self.path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "FileLock", FillingLock)
        yield


@pytest.fixture
def kvm1() -> FakeHypervisor:
    return FakeHypervisor("kvm1")


@pytest.fixture
def kvm2() -> FakeHypervisor:
    return FakeHypervisor("kvm2")


@pytest.fixture
async def application(tmp_path: Path, kvm1: FakeHypervisor, kvm2: FakeHypervisor) -> AsyncIterator[Application]:
    config = load_config(
        None,
        {"HOME": str(tmp_path)},
        {
            "database.url": f"sqlite://{tmp_path}/virtumancer.db",
            "server.auth": "off",
            "sessions.retry_min": 0.05,
            "sessions.retry_max": 0.2,
            "sessions.connect_timeout": 1.0,
            "sessions.slow_call_timeout": 1.0,
            "sessions.stats_interval": 0.05,
        },
    )
    plugins = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1, kvm2)})
    async with create_app(config, plugins) as application:
        yield application


@pytest.fixture
async def client(application: Application) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        yield client


@pytest.fixture
async def url(application: Application) -> AsyncIterator[str]:
    """A real server around the application, for what needs real sockets."""
    listener = listen("127.0.0.1", 0)
    started = asyncio.Event()
    server = Server(server_settings(application), started.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await started.wait()
    yield url_of(application.config, listener)
    server.should_exit = True
    await serving
    listener.close()
