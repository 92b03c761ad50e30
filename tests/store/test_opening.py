"""Opening a database: what it makes, what keeps others away, and how it fails."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from tortoise.connection import get_connection

from tests.lab.postgres import PrivatePostgres
from tests.lab.processes import free_port
from virtumancer.contracts import Host
from virtumancer.errors import StoreUnavailable
from virtumancer.store import Database, HostsRepository

pytest_plugins = ["tests.lab.fixtures"]

HOST = Host("kvm1", "test:///default")
OPEN_AND_WAIT = """
import asyncio, sys
from virtumancer.store import Database
async def main():
    async with Database(sys.argv[1]):
        print("open", flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
OPEN_AND_REPORT = """
import asyncio, sys
from virtumancer.errors import StoreUnavailable
if "--without-asyncpg" in sys.argv:
    sys.modules["asyncpg"] = None
from virtumancer.store import Database
async def main():
    async with Database(sys.argv[1]):
        print("open")
try:
    asyncio.run(main())
except StoreUnavailable as error:
    print(error.message)
"""


def python(code: str, *arguments: str) -> str:
    """What a program prints; one that does not end is a failure."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


async def refusal(url: str) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        async with Database(url):
            pass
    return refused.value.message


async def test_a_new_sqlite_file_and_its_folder_are_for_their_owner_only(tmp_path):
    async with Database(f"sqlite://{tmp_path}/new/virtumancer.db"):
        modes = [oct(path.stat().st_mode)[-3:] for path in (tmp_path / "new", tmp_path / "new/virtumancer.db")]
    assert modes == ["700", "600"]


async def test_a_relative_path_starts_at_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with Database("sqlite://var/virtumancer.db"):
        pass
    assert (tmp_path / "var/virtumancer.db").exists()


async def test_sqlite_writes_ahead_enforces_foreign_keys_and_waits_for_locks(sqlite_url):
    async with Database(sqlite_url) as database:

        async def settings():
            connection = get_connection("sqlite")
            names = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
            return [(await connection.execute_query(f"PRAGMA {name}"))[1][0][0] for name in names]

        assert await database.unit(settings()) == ["wal", 1, 1, 5000]


async def test_what_was_stored_is_there_after_a_restart(url):
    async with Database(url) as database:
        await HostsRepository(database).add(HOST)
    async with Database(url) as database:
        assert [stored.host for stored in await HostsRepository(database).list()] == [HOST]


async def test_a_memory_database_starts_empty_each_time():
    for _ in range(2):
        async with Database("sqlite://:memory:") as database:
            await HostsRepository(database).add(HOST)


async def test_two_databases_may_be_open_at_once(tmp_path):
    async with Database(f"sqlite://{tmp_path}/a.db") as one, Database(f"sqlite://{tmp_path}/b.db") as two:
        await HostsRepository(one).add(HOST)
        assert await HostsRepository(two).list() == ()
        assert len(await HostsRepository(one).list()) == 1


async def test_a_second_process_on_a_sqlite_file_is_told_who_has_it(sqlite_url):
    async with Database(sqlite_url):
        said = await asyncio.to_thread(python, OPEN_AND_REPORT, sqlite_url)
    assert f"is in use by another virtumancer (pid {os.getpid()})" in said


async def test_a_lock_file_that_was_removed_lets_nobody_else_in(sqlite_url, tmp_path):
    async with Database(sqlite_url) as database:
        (tmp_path / "virtumancer.db.lock").unlink()
        said = [await asyncio.to_thread(python, OPEN_AND_REPORT, sqlite_url) for _ in range(2)]
        await HostsRepository(database).add(HOST)
    assert ["is in use by another virtumancer" in one for one in said] == [True, True]


async def test_a_link_to_a_sqlite_file_is_the_same_database(sqlite_url, tmp_path):
    (tmp_path / "link.db").symlink_to(tmp_path / "virtumancer.db")
    async with Database(sqlite_url):
        assert "is in use" in await refusal(f"sqlite://{tmp_path}/link.db")


async def test_a_closed_sqlite_file_is_free(sqlite_url):
    async with Database(sqlite_url):
        pass
    assert python(OPEN_AND_REPORT, sqlite_url) == "open\n"


def test_a_process_that_was_killed_leaves_its_sqlite_file_free(sqlite_url):
    command = [sys.executable, "-c", OPEN_AND_WAIT, sqlite_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "open\n"
            assert f"(pid {process.pid})" in python(OPEN_AND_REPORT, sqlite_url)
        finally:
            process.send_signal(signal.SIGKILL)
    assert python(OPEN_AND_REPORT, sqlite_url) == "open\n"


async def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    said = await refusal(f"sqlite://{tmp_path}/file/virtumancer.db")
    assert f"SQLite database {tmp_path}/file/virtumancer.db cannot be opened: " in said


async def test_a_folder_is_no_database(tmp_path):
    assert "Is a directory" in await refusal(f"sqlite://{tmp_path}")


async def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("important " * 1000)
    assert "not a database" in await refusal(f"sqlite://{tmp_path}/notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "important " * 1000


async def test_a_refused_file_is_free_again(tmp_path):
    path = tmp_path / "virtumancer.db"
    path.write_text("x" * 5000)
    await refusal(f"sqlite://{path}")
    path.write_bytes(b"")
    async with Database(f"sqlite://{path}"):
        pass


def test_a_program_that_cannot_open_its_database_ends(tmp_path):
    (tmp_path / "notes.txt").write_text("x" * 5000)
    assert "not a database" in python(OPEN_AND_REPORT, f"sqlite://{tmp_path}/notes.txt")


async def test_a_start_that_is_cancelled_leaves_nothing_open(sqlite_url):
    for delay in (0.0, 0.005, 0.01, 0.02, 0.03):

        async def start():
            async with Database(sqlite_url):
                await asyncio.sleep(10)

        starting = asyncio.create_task(start())
        await asyncio.sleep(delay)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert await asyncio.to_thread(python, OPEN_AND_REPORT, sqlite_url) == "open\n"


async def test_a_database_that_fails_later_says_so_and_recovers(sqlite_url, tmp_path):
    async with Database(sqlite_url) as database:
        with closing(sqlite3.connect(tmp_path / "virtumancer.db", isolation_level=None)) as outsider:
            outsider.execute("ALTER TABLE hosts RENAME TO elsewhere")
            with pytest.raises(StoreUnavailable, match="failed: no such table: hosts"):
                await HostsRepository(database).add(HOST)
            outsider.execute("ALTER TABLE elsewhere RENAME TO hosts")
        await HostsRepository(database).add(HOST)


def test_without_asyncpg_the_extra_is_named():
    said = python(OPEN_AND_REPORT, "postgresql://me:s3cret@localhost/virtu", "--without-asyncpg")
    assert "pip install 'virtumancer[postgresql]'" in said
    assert "s3cret" not in said


def test_sqlite_needs_no_asyncpg(sqlite_url):
    assert python(OPEN_AND_REPORT, sqlite_url, "--without-asyncpg") == "open\n"


async def test_a_server_that_is_not_there_is_named_without_the_password():
    said = await refusal(f"postgresql://me:s3cret@127.0.0.1:{free_port()}/virtu")
    assert "PostgreSQL database me@127.0.0.1:" in said
    assert "s3cret" not in said


async def test_an_unknown_sslmode_is_refused():
    pytest.importorskip("asyncpg")
    assert "sslmode" in await refusal("postgresql://me:s3cret@127.0.0.1/virtu?sslmode=maybe")


@pytest.mark.lab
async def test_a_database_that_is_not_on_the_server_is_named(postgres: PrivatePostgres):
    said = await refusal(f"postgresql://{postgres.user}:s3cret@{postgres.host}:{postgres.port}/nowhere")
    assert "nowhere" in said
    assert "s3cret" not in said


@pytest.mark.lab
async def test_a_wrong_password_is_said_and_not_shown(postgres: PrivatePostgres):
    role = f"guarded_{uuid4().hex[:8]}"
    postgres.psql(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
    rules = Path(postgres.socket_folder) / "data/pg_hba.conf"
    rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    postgres.psql("SELECT pg_reload_conf()")
    said = ""
    async with asyncio.timeout(5):
        while "password" not in said:  # until the server has read its rules again
            said = await refusal(f"postgresql://{role}:s3cret@{postgres.host}:{postgres.port}/postgres")
    assert "password authentication failed" in said
    assert "s3cret" not in said


@pytest.mark.lab
async def test_several_may_start_on_one_new_postgresql_database_at_once(new_postgresql_url):
    async def start(number: int) -> None:
        async with Database(new_postgresql_url) as database:
            await HostsRepository(database).add(Host(f"kvm{number}", "test:///default"))

    await asyncio.gather(*(start(number) for number in range(5)))
    async with Database(new_postgresql_url) as database:
        assert len(await HostsRepository(database).list()) == 5


@pytest.mark.lab
async def test_a_server_that_restarts_fails_a_unit_and_then_serves_again(tmp_path):
    with PrivatePostgres(tmp_path / "own") as server:
        async with Database(f"postgresql://{server.user}@{server.host}:{server.port}/postgres") as database:
            hosts = HostsRepository(database)
            await hosts.add(HOST)
            await asyncio.to_thread(server.stop)
            with pytest.raises(StoreUnavailable, match="failed: "):
                await hosts.list()
            await asyncio.to_thread(server.start)
            assert len(await hosts.list()) == 1
