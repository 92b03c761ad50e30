"""An application on a scratch database, reached over ASGI, with fake hypervisors behind it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import Server, listen, server_settings, url_of
from virtumancer.store import Database
from virtumancer.store.engine import database
from virtumancer.store.engine.filelock import FileLock
from virtumancer.testing import FakeHypervisor, fake_plugin


@pytest.fixture(scope="session")
def filling_lock(tmp_path_factory: pytest.TempPathFactory) -> type[FileLock]:
    """Makes a database with all tables, and returns a lock that lets a new one begin as a copy of it."""
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

    return FillingLock


@pytest.fixture(autouse=True)
def tables(filling_lock: type[FileLock], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new databases begin as copies: making all tables takes longer than most tests here."""
    monkeypatch.setattr(database, "FileLock", filling_lock)


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
