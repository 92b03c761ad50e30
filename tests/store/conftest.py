"""Databases for the tests of the store: a SQLite file, and a database of a real PostgreSQL server."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.canaries import CANARIES
from tests.lab.postgres import PrivatePostgres
from virtumancer.contracts import VM, VMState
from virtumancer.store import Database, HostsRepository, VMsRepository


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/virtumancer.db"


@pytest.fixture
def postgresql_url(postgres: PrivatePostgres) -> Iterator[str]:
    name = f"store_{uuid4().hex}"
    postgres.create_database(name)
    yield f"postgresql://{postgres.user}@{postgres.host}:{postgres.port}/{name}"
    # Now, not all of them at the end: that would take a minute.
    CANARIES.check_dump(postgres.dump(name), "PostgreSQL")
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.lab)])
def url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        yield database


@pytest.fixture
def hosts(database: Database) -> HostsRepository:
    return HostsRepository(database)


@pytest.fixture
def vms(database: Database) -> VMsRepository:
    return VMsRepository(database)


@pytest.fixture
def make_vm() -> Callable[..., VM]:
    def make(name: str, uuid: str | None = None, run_time_id: int = 0) -> VM:
        return VM(
            id=run_time_id,
            name=name,
            state=VMState.RUNNING if run_time_id else VMState.SHUTOFF,
            max_mem=131072,
            memory=131072,
            vcpu=2,
            cpu_time=0,
            uuid=uuid or str(uuid4()),
            vcpu_count=2,
            memory_bytes=131072 * 1024,
        )

    return make
