"""Databases for the tests of the store: a SQLite file, and a database of a real PostgreSQL server."""

import asyncio
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


@pytest.fixture(scope="session")
def tables(postgres: PrivatePostgres) -> tuple[str, tuple[str, ...]]:
    """A database of the PostgreSQL server with all tables, by its name and theirs."""
    postgres.create_database("store_tables")

    async def make() -> None:
        async with Database(url_of(postgres, "store_tables")):
            pass

    asyncio.run(make())
    names = postgres.psql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", "store_tables").split()
    return "store_tables", tuple(sorted(name for name in names if name != "tortoise_migrations"))


@pytest.fixture
def postgresql_url(postgres: PrivatePostgres, tables: tuple[str, tuple[str, ...]]) -> Iterator[str]:
    """A database with all tables and no rows: emptying one takes a quarter of the time that a new one takes."""
    database, names = tables
    yield url_of(postgres, database)
    rows = " UNION ALL ".join(f"SELECT t::text FROM {name} t" for name in names)
    emptying = f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE"
    said = postgres.psql(f"SET lock_timeout = '10s'; SELECT 'Rows:' UNION ALL {rows}; {emptying}", database)
    assert "Rows:" in said
    CANARIES.check_dump(said, "PostgreSQL")


@pytest.fixture
def new_postgresql_url(postgres: PrivatePostgres) -> Iterator[str]:
    """A database without tables."""
    name = f"store_{uuid4().hex}"
    postgres.create_database(name)
    yield url_of(postgres, name)
    # Now, not all of them at the end: that would take a minute.
    CANARIES.check_dump(postgres.dump(name), "PostgreSQL")
    postgres.drop_database(name)


def url_of(postgres: PrivatePostgres, database: str) -> str:
    return f"postgresql://{postgres.user}@{postgres.host}:{postgres.port}/{database}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.lab)])
def url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", pytest.param("new_postgresql", marks=pytest.mark.lab)])
def new_url(request: pytest.FixtureRequest) -> str:
    """A database without tables."""
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
