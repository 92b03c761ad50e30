"""A database that hangs: nobody waits for it for ever, nothing stays locked, and it serves again afterwards."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from tortoise.connection import get_connection
from tortoise.transactions import in_transaction

from tests.lab.outsider import Outsider
from tests.lab.postgres import PrivatePostgres
from tests.lab.processes import wait_until
from virtumancer.contracts import Host
from virtumancer.errors import StoreUnavailable
from virtumancer.store import AwaitedDatabase, Database, HostsRepository

pytest_plugins = ["tests.lab.fixtures"]

HOST = Host("kvm1", "test:///default")
KEY_OF_NOBODY = (
    "INSERT INTO host_keys (host_id, address, type, fingerprint, public, created_at) "
    "VALUES ('nobody', '', '', '', '', '2026-01-01')"
)
# Far more than any of this takes, and far less than for ever.
SOON = 20.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "virtumancer.db"


@contextmanager
def locked(file: Path) -> Iterator[Outsider]:
    with Outsider(file) as outsider:
        outsider.lock()
        yield outsider


async def give_up_soon(database: Database) -> None:
    """Let SQLite wait for locks for a moment only."""

    async def settings() -> None:
        client: Any = get_connection("sqlite")
        client.pragmas["busy_timeout"] = 50

    await database.unit(settings())


async def outcomes(*calls: Awaitable[object]) -> list[str]:
    """What became of calls that were made at the same time, all of them soon."""
    async with asyncio.timeout(SOON):
        found = await asyncio.gather(*calls, return_exceptions=True)
    return [error.message if isinstance(error, StoreUnavailable) else repr(error) for error in found]


async def test_a_lock_of_another_process_fails_each_write_and_no_later_one(sqlite_url: str, file: Path) -> None:
    async with Database(sqlite_url) as database:
        hosts = HostsRepository(database)
        await give_up_soon(database)
        with locked(file):
            for _ in range(3):
                assert "database is locked" in (await outcomes(hosts.add(HOST)))[0]
            assert await outcomes(hosts.list()) == ["()"], "reading needs no lock"
        async with asyncio.timeout(SOON):
            await hosts.add(HOST)


async def test_all_who_wait_for_a_lock_leave_at_their_deadline(sqlite_url: str, file: Path) -> None:
    async with Database(sqlite_url, within=0.3) as database:
        hosts = HostsRepository(database)
        with locked(file) as outsider:
            began = time.monotonic()
            found = await outcomes(*(hosts.add(Host(f"kvm{number}", "test:///x")) for number in range(20)))
            waited = time.monotonic() - began
            outsider.unlock()
        assert ["no answer in time" in outcome for outcome in found] == [True] * 20
        assert waited < 3, "SQLite alone waits five seconds for each"
        async with asyncio.timeout(SOON):
            while "no answer" in (await outcomes(hosts.add(HOST)))[0]:  # what SQLite still waits for comes first
                pass
        assert [stored.host for stored in await hosts.list()] == [HOST], "what was given up is not done later"


async def test_a_begin_that_is_cancelled_leaves_no_transaction_open(sqlite_url: str, file: Path) -> None:
    async with Database(sqlite_url) as database:

        async def begin() -> None:
            async with in_transaction():
                raise AssertionError("it is locked")

        async def cancelled() -> None:
            beginning = asyncio.create_task(begin())
            await asyncio.sleep(0.05)
            beginning.cancel()
            await asyncio.wait({beginning}, timeout=0.05)
            outsider.unlock()
            await asyncio.wait({beginning})
            assert beginning.cancelled()

        with locked(file) as outsider:
            await database.unit(cancelled())
        with closing(sqlite3.connect(file, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")  # not if ours were still open
            other.rollback()
        async with asyncio.timeout(SOON):
            await HostsRepository(database).add(HOST)


async def test_a_commit_that_fails_leaves_no_transaction_open(sqlite_url: str) -> None:
    async with Database(sqlite_url) as database:

        async def break_a_promise() -> None:
            async with in_transaction() as transaction:
                await transaction.execute_query("PRAGMA defer_foreign_keys = ON")
                await transaction.execute_query(KEY_OF_NOBODY)

        assert "FOREIGN KEY" in (await outcomes(database.unit(break_a_promise())))[0]
        async with asyncio.timeout(SOON):
            await HostsRepository(database).add(HOST)


async def test_who_closes_does_not_wait_for_a_lock(sqlite_url: str, file: Path) -> None:
    async with asyncio.timeout(SOON), Database(sqlite_url) as database:
        with locked(file):
            writing = asyncio.create_task(HostsRepository(database).add(HOST))
            await asyncio.sleep(0)
            database.note_stopping(0.2)
            assert "no answer in time" in (await outcomes(writing))[0]
            assert "no answer in time" in (await outcomes(HostsRepository(database).list()))[0]


async def test_a_file_that_is_locked_at_start_is_waited_for(sqlite_url: str, file: Path) -> None:
    async with Database(sqlite_url):
        pass
    with locked(file) as outsider, structlog.testing.capture_logs() as logs:
        awaited = AwaitedDatabase(Database(sqlite_url, lock_wait=0.05))
        opening = asyncio.create_task(awaited.__aenter__())
        await asyncio.to_thread(wait_until, lambda: bool(logs), "it says that it waits", SOON)
        outsider.unlock()
        async with asyncio.timeout(SOON):
            await opening
    await awaited.__aexit__(None, None, None)
    assert [entry["event"] for entry in logs] == ["the database is waited for", "the database is there"]
    assert "locked" in logs[0]["reason"]


async def test_the_log_says_that_a_file_is_waited_for_before_its_lock_is_given_up(sqlite_url: str, file: Path) -> None:
    async with Database(sqlite_url):
        pass
    with locked(file) as outsider, structlog.testing.capture_logs() as logs:
        awaited = AwaitedDatabase(Database(sqlite_url), patience=0.1)
        opening = asyncio.create_task(awaited.__aenter__())
        await asyncio.to_thread(wait_until, lambda: bool(logs), "it says that it waits", SOON)
        assert not opening.done()
        outsider.unlock()
        async with asyncio.timeout(SOON):
            await opening
    await awaited.__aexit__(None, None, None)
    assert [entry["event"] for entry in logs] == ["the database is waited for", "the database is there"]


@pytest.mark.lab
async def test_a_frozen_server_is_given_up_at_the_deadline_and_serves_again(tmp_path: Path) -> None:
    with PrivatePostgres(tmp_path / "own") as server:
        url = f"postgresql://{server.user}@{server.host}:{server.port}/postgres"
        async with Database(url, within=0.5) as database:
            hosts = HostsRepository(database)
            await hosts.add(HOST)
            server.freeze()
            try:
                began = time.monotonic()
                for _ in range(2):  # more than there are connections
                    writes = [hosts.upsert_declared([Host(f"kvm{number}", "test:///x")]) for number in range(8)]
                    found = await outcomes(*writes, *(hosts.list() for _ in range(8)))
                    assert ["no answer in time" in outcome for outcome in found] == [True] * 16
                waited = time.monotonic() - began
            finally:
                server.thaw()
            assert waited < 10
            async with asyncio.timeout(SOON):
                while "no answer" in (await outcomes(hosts.list()))[0]:
                    pass
                await asyncio.gather(*(hosts.add(Host(f"new{number}", "test:///x")) for number in range(20)))


@pytest.mark.lab
async def test_who_closes_does_not_wait_for_a_frozen_server(tmp_path: Path) -> None:
    with PrivatePostgres(tmp_path / "own") as server:
        url = f"postgresql://{server.user}@{server.host}:{server.port}/postgres"
        async with asyncio.timeout(SOON), Database(url) as database:
            reading = asyncio.create_task(HostsRepository(database).list())
            await reading
            server.freeze()
            try:
                reading = asyncio.create_task(HostsRepository(database).list())
                database.note_stopping(0.3)
                assert "no answer in time" in (await outcomes(reading))[0]
                assert "no answer in time" in (await outcomes(HostsRepository(database).list()))[0]
                began = time.monotonic()
                await database.__aexit__(None, None, None)
                assert time.monotonic() - began < 10
            finally:
                server.thaw()
