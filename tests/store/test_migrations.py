"""Migrations keep what is stored, or change nothing; models and migrations say the same."""

import asyncio
import importlib
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tortoise.context import TortoiseContext
from tortoise.migrations.autodetector import MigrationAutodetector

from virtumancer.config.database_url import parse_url
from virtumancer.contracts import Host, HostKey
from virtumancer.errors import StoreUnavailable, StoreUnusable
from virtumancer.store import Database, HostsRepository, VMsRepository, migrations
from virtumancer.store.engine.database import CORE_APPS
from virtumancer.store.engine.engines import App, configuration

pytest_plugins = ["tests.lab.fixtures"]

HOST = Host("kvm1", "test:///default")
KEY = HostKey("192.0.2.1", "ssh-ed25519", "SHA256:abc", "ssh-ed25519 AAAA")
INITIAL = Path(__file__).with_name("initial_version.sql")
REBUILD = """
from tortoise import fields, migrations
from tortoise.migrations import operations as ops
class Migration(migrations.Migration):
    dependencies = [("core", "0001_tables")]
    operations = [ops.AlterField(model_name="HostModel", name="uri", field=fields.CharField(max_length=500))]
"""
BREAK = """
from tortoise import migrations
from tortoise.migrations import operations as ops
class Migration(migrations.Migration):
    dependencies = [("core", "0001_tables")]
    operations = [ops.RunSQL("DELETE FROM hosts", reverse_sql="")]
"""
DIE = """
import os
from tortoise import fields, migrations
from tortoise.migrations import operations as ops
async def die(apps, schema_editor):
    os._exit(9)
class Migration(migrations.Migration):
    dependencies = [("core", "0001_tables")]
    operations = [
        ops.AlterField(model_name="HostModel", name="uri", field=fields.CharField(max_length=500)),
        ops.RunPython(die),
    ]
"""
OPEN = """
import asyncio, sys
from virtumancer.store import Database
from virtumancer.store.engine.engines import App
async def main():
    async with Database(sys.argv[1], apps=(App("core", "virtumancer.store.models", sys.argv[2]),)):
        pass
asyncio.run(main())
"""


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes the core of another version, whose migrations have these names and sources."""

    def make(sources: dict[str, str]) -> tuple[App, ...]:
        package = f"migrations_{tmp_path.name}_{abs(hash(tuple(sources.items())))}"
        folder = tmp_path / "other" / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path / "other"))
        importlib.invalidate_caches()
        return (App("core", "virtumancer.store.models", package),)

    return make


@pytest.fixture
def next_version(version):
    """Makes the core of a later version: our migrations and then this one, as `9999_later`."""

    def make(migration: str) -> tuple[App, ...]:
        ours = sorted(path.stem for path in Path(migrations.__file__).parent.glob("0*.py"))
        later = {"9999_later": migration.replace("0001_tables", ours[-1])}
        return version({name: copy_of(name) for name in ours} | later)

    return make


def copy_of(name: str) -> str:
    """The source of a migration that does what ours of this name does."""
    return f"from importlib import import_module\nMigration = import_module('{migrations.__name__}.{name}').Migration\n"


async def fill(url: str, make_vm, apps: tuple[App, ...] = CORE_APPS) -> None:
    async with Database(url, apps=apps) as database:
        await HostsRepository(database).add(HOST, [KEY])
        await VMsRepository(database).apply("kvm1", [make_vm("web01", "u"), make_vm("web02", "v")], [])


async def assert_all_there(url: str, apps: tuple[App, ...] = CORE_APPS) -> None:
    async with Database(url, apps=apps) as database:
        hosts, vms = HostsRepository(database), VMsRepository(database)
        assert [stored.host for stored in await hosts.list()] == [HOST]
        assert await hosts.keys("kvm1") == (KEY,)
        assert [row.name for row in await vms.rows("kvm1")] == ["web01", "web02"]


async def test_models_and_migrations_say_the_same():
    config = configuration(parse_url("sqlite://:memory:"), CORE_APPS)
    async with TortoiseContext() as context:
        await context.init(config=config)
        writers = await MigrationAutodetector(context.apps, config["apps"]).changes()
    assert [operation for writer in writers for operation in writer.operations] == []


async def test_a_migration_that_rebuilds_a_table_keeps_the_rows_that_refer_to_it(new_url, make_vm, next_version):
    await fill(new_url, make_vm)
    await assert_all_there(new_url, next_version(REBUILD))


async def test_after_a_rebuild_removing_a_host_still_removes_its_vms(new_url, make_vm, next_version):
    await fill(new_url, make_vm)
    async with Database(new_url, apps=next_version(REBUILD)) as database:
        await HostsRepository(database).remove("kvm1")
        assert await VMsRepository(database).rows("kvm1") == ()


async def test_a_migration_that_would_orphan_rows_is_refused_and_undone(sqlite_url, make_vm, next_version):
    await fill(sqlite_url, make_vm)
    with pytest.raises(StoreUnavailable, match=r"was not migrated: 3 rows, the first in table '(vms|host_keys)'"):
        async with Database(sqlite_url, apps=next_version(BREAK)):
            pass
    await assert_all_there(sqlite_url)


async def test_a_process_killed_while_it_migrates_leaves_the_old_version(new_url, make_vm, next_version, tmp_path):
    await fill(new_url, make_vm)
    (app,) = next_version(DIE)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'other')!r})\n{OPEN}"]
    ended = await asyncio.to_thread(subprocess.run, [*command, new_url, app.migrations], timeout=30, check=False)
    assert ended.returncode == 9
    await assert_all_there(new_url)


async def test_a_database_of_a_newer_version_is_refused(new_url, make_vm, next_version):
    await fill(new_url, make_vm)
    await assert_all_there(new_url, next_version(REBUILD))
    with pytest.raises(StoreUnavailable, match=r"newer version of virtumancer \(migration core.9999_later"):
        await assert_all_there(new_url)


async def test_a_database_from_before_the_first_release_is_refused_and_unchanged(new_url, make_vm, version):
    before = version({"0001_initial": copy_of("0001_tables")})
    await fill(new_url, make_vm, before)
    with pytest.raises(StoreUnusable, match=r"from before the first release .* give this one a new database"):
        await assert_all_there(new_url)
    await assert_all_there(new_url, before)


async def test_a_database_of_the_initial_version_keeps_its_data(tmp_path):
    """The file was dumped by the first release and is never changed again."""
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.executescript(INITIAL.read_text())
    await assert_all_there(f"sqlite://{tmp_path}/old.db")
