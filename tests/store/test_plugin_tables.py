"""Tables of plugins, on both databases: made, changed, left alone, and dropped only when that is asked for."""

import asyncio
import importlib
import io
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tortoise.transactions import in_transaction

from virtumancer import hookimpl
from virtumancer.app import create_app
from virtumancer.cli.commands.plugin_tables import drop_tables as drop_command
from virtumancer.config import load_config
from virtumancer.contracts import Host, Lifespan, PluginContext, PluginTables
from virtumancer.errors import PluginFailed, UsageError
from virtumancer.plugins import load_plugins
from virtumancer.plugins.loading.refusal import PluginRefused
from virtumancer.plugins.loading.table_validation import check_tables
from virtumancer.services.plugins.context import OwnTables
from virtumancer.store import App, Database, HostsRepository, PluginApps, ProcessesRepository, drop_tables

pytest_plugins = ["tests.lab.fixtures"]

MODELS = """
from tortoise import fields
from tortoise.models import Model

class Jot(Model):
    id = fields.IntField(primary_key=True)
    host = fields.ForeignKeyField("core.HostModel", to_field="id", related_name=False, on_delete=fields.CASCADE)
    text = fields.TextField()

    class Meta:
        table = "jots__jots"
"""
FIRST = """
from tortoise import fields, migrations
from tortoise.migrations import operations as ops

class Migration(migrations.Migration):
    initial = True
    dependencies = [("core", "0001_tables")]
    operations = [
        ops.CreateModel(
            name="Jot",
            fields=[
                ("id", fields.IntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("host", fields.ForeignKeyField(
                    "core.HostModel", source_field="host_id", db_constraint=True, to_field="id",
                    related_name=False, on_delete=fields.CASCADE,
                )),
                ("text", fields.TextField(unique=False)),
            ],
            options={"table": "jots__jots", "app": "jots", "pk_attr": "id"},
            bases=["Model"],
        ),
    ]
"""
BROKEN = """
from tortoise import migrations
from tortoise.migrations import operations as ops

class Migration(migrations.Migration):
    dependencies = [("jots", "0001_first")]
    operations = [ops.RunSQL("CREATE TABLE jots__more (id INT)"), ops.RunSQL("THIS IS NO SQL")]
"""
ODD = """
import asyncio
from tortoise import migrations
from tortoise.migrations import operations as ops

async def odd(apps, editor):
    CODE

class Migration(migrations.Migration):
    dependencies = [("jots", "0001_first")]
    operations = [ops.RunSQL("CREATE TABLE jots__more (id INT)"), ops.RunPython(odd)]
"""
HOST = Host("kvm1", "qemu:///system")
Package = Callable[..., PluginTables]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Make a package with tables; each has a name of its own, since modules are imported once."""
    made: list[str] = []

    def make(models: str = MODELS, **migrations: str) -> PluginTables:
        name = f"jots_{abs(hash(tmp_path))}_{len(made)}"
        made.append(name)
        folder = tmp_path / "packages" / name
        (folder / "migrations").mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "models.py").write_text(models)
        (folder / "migrations" / "__init__.py").touch()
        for migration, source in (migrations or {"m0001_first": FIRST}).items():
            (folder / "migrations" / f"{migration.removeprefix('m')}.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path / "packages"))
        importlib.invalidate_caches()
        return PluginTables(f"{name}.models", f"{name}.migrations")

    return make


def apps_of(tables: PluginTables, patience: float = 60.0) -> PluginApps:
    return PluginApps({"jots": App("jots", tables.models, tables.migrations)}, patience=patience)


async def jot(tables: PluginTables, text: str) -> None:
    model: Any = importlib.import_module(tables.models).Jot
    await model.create(host_id="kvm1", text=text)


async def jots(tables: PluginTables) -> list[str]:
    model: Any = importlib.import_module(tables.models).Jot
    return list(await model.all().order_by("id").values_list("text", flat=True))


async def test_a_plugin_writes_and_reads_its_rows_which_go_with_the_host(new_url: str, package: Package) -> None:
    tables = package()
    async with Database(new_url, plugin_apps=apps_of(tables)) as database:
        await HostsRepository(database).add(HOST, [])
        await database.unit(jot(tables, "one"))
        assert await database.unit(jots(tables)) == ["one"]
    async with Database(new_url, plugin_apps=apps_of(tables)) as database:
        assert await database.unit(jots(tables)) == ["one"]
        await HostsRepository(database).remove("kvm1")
        assert await database.unit(jots(tables)) == []


async def test_rows_stay_while_the_plugin_is_away(new_url: str, package: Package) -> None:
    tables = package()
    async with Database(new_url, plugin_apps=apps_of(tables)) as database:
        await HostsRepository(database).add(HOST, [])
        await database.unit(jot(tables, "one"))
    async with Database(new_url) as database:
        assert [stored.host for stored in await HostsRepository(database).list()] == [HOST]
    async with Database(new_url, plugin_apps=apps_of(tables)) as database:
        assert await database.unit(jots(tables)) == ["one"]


async def test_a_migration_that_fails_changes_nothing_and_stops_nobody(new_url: str, package: Package) -> None:
    good = package()
    async with Database(new_url, plugin_apps=apps_of(good)) as database:
        await HostsRepository(database).add(HOST, [])
        await database.unit(jot(good, "one"))
    broken = apps_of(package(MODELS, m0001_first=FIRST, m0002_broken=BROKEN))
    async with Database(new_url, plugin_apps=broken) as database:
        assert [stored.host for stored in await HostsRepository(database).list()] == [HOST]
    assert "the tables of plugin 'jots' could not be made" in broken.failure("jots")
    async with Database(new_url, plugin_apps=apps_of(good)) as database:
        assert await database.unit(jots(good)) == ["one"]
        assert await drop_tables(database, "jots") == ("jots__jots",)


async def test_a_migration_that_raises_anything_stops_nobody(new_url: str, package: Package) -> None:
    apps = apps_of(package(MODELS, m0001_first="raise LookupError('which migration?')"))
    async with Database(new_url, plugin_apps=apps) as database:
        await HostsRepository(database).add(HOST, [])
    assert "LookupError: which migration?" in apps.failure("jots")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise asyncio.CancelledError", "CancelledError"),
        ("raise ConnectionRefusedError('elsewhere')", "elsewhere"),
        ("raise TimeoutError", "TimeoutError"),
        ("await asyncio.sleep(3600)", "not there after 2 s"),
    ],
)
async def test_a_migration_that_would_end_or_hold_the_server_does_neither(
    new_url: str, package: Package, code: str, said: str
) -> None:
    patience = 2.0 if "sleep" in code else 60.0
    apps = apps_of(package(MODELS, m0001_first=FIRST, m0002_odd=ODD.replace("CODE", code)), patience)
    async with Database(new_url, plugin_apps=apps) as database:
        await HostsRepository(database).add(HOST, [])
    assert said in apps.failure("jots")
    cured = apps_of(package(MODELS, m0001_first=FIRST, m0002_odd=ODD.replace("CODE", "pass")))
    async with Database(new_url, plugin_apps=cured):
        assert cured.failures() == {}  # nothing of the first attempt was left


async def test_a_migration_that_the_rows_forbid_stops_nobody(new_url: str, package: Package) -> None:
    good = package()
    async with Database(new_url, plugin_apps=apps_of(good)) as database:
        await HostsRepository(database).add(HOST, [])
        await database.unit(jot(good, "one"))
        await database.unit(jot(good, "one"))
    unique = BROKEN.replace("CREATE TABLE jots__more (id INT)", "CREATE UNIQUE INDEX jots__one ON jots__jots (text)")
    apps = apps_of(package(MODELS, m0001_first=FIRST, m0002_unique=unique.replace("THIS IS NO SQL", "SELECT 1")))
    async with Database(new_url, plugin_apps=apps):
        assert "could not be made" in apps.failure("jots")


async def test_tables_of_a_newer_plugin_are_not_touched(new_url: str, package: Package) -> None:
    later = package(MODELS, m0001_first=FIRST, m0002_later=BROKEN.replace("THIS IS NO SQL", "SELECT 1"))
    newer = apps_of(later)
    async with Database(new_url, plugin_apps=newer):
        assert newer.failures() == {}
    older = apps_of(package())
    async with Database(new_url, plugin_apps=older):
        pass
    assert "written by a newer version of the plugin (migration jots.0002_later" in older.failure("jots")


async def test_models_that_do_not_fit_are_the_trouble_of_their_plugin(new_url: str, package: Package) -> None:
    apps = apps_of(package(MODELS.replace("core.HostModel", "core.NoSuchModel")))
    async with Database(new_url, plugin_apps=apps) as database:
        await HostsRepository(database).add(HOST, [])
    assert "NoSuchModel" in apps.failure("jots")


async def test_dropped_tables_begin_anew(new_url: str, package: Package) -> None:
    tables = package()
    async with Database(new_url, plugin_apps=apps_of(tables)) as database:
        await HostsRepository(database).add(HOST, [])
        await database.unit(jot(tables, "one"))
    async with Database(new_url) as database:
        assert await drop_tables(database, "jots") == ("jots__jots",)
        assert await drop_tables(database, "jots") == ()
    async with Database(new_url, plugin_apps=apps_of(tables)) as database:
        assert await database.unit(jots(tables)) == []


@pytest.mark.parametrize(
    ("plugin", "models", "reason"),
    [
        ("other", MODELS, "the table 'jots__jots' of Jot is not the plugin's own"),
        ("jots", "raise ValueError('no')", "cannot be imported: ValueError: no"),
        ("core", MODELS, "a plugin named 'core' can have no tables"),
    ],
)
def test_what_could_be_in_the_way_of_others_is_refused(package: Package, plugin: str, models: str, reason: str) -> None:
    with pytest.raises(PluginRefused, match=reason):
        check_tables(plugin, package(models))


def test_what_is_no_tables_is_refused() -> None:
    with pytest.raises(PluginRefused, match="a PluginTables is needed"):
        check_tables("jots", "jots.models")


async def test_the_command_deletes_them_and_says_so(
    tmp_path: Path, package: Package, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite://{tmp_path}/here.db"
    async with Database(url, plugin_apps=apps_of(package())):
        pass
    monkeypatch.setenv("VIRTUMANCER_DATABASE_URL", url)
    monkeypatch.setenv("HOME", str(tmp_path))
    await asyncio.to_thread(drop_command, "jots", yes=True)
    assert "Deleted: jots__jots" in capsys.readouterr().out
    await asyncio.to_thread(drop_command, "jots", yes=True)
    assert "Plugin jots has no tables" in capsys.readouterr().out


@pytest.mark.lab
async def test_the_command_deletes_nothing_while_a_server_uses_the_database(
    new_postgresql_url: str, tmp_path: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUMANCER_DATABASE_URL", new_postgresql_url)
    monkeypatch.setenv("HOME", str(tmp_path))
    async with Database(new_postgresql_url, plugin_apps=apps_of(package())) as database:
        processes = ProcessesRepository(database)
        await processes.beat("somebody")
        with pytest.raises(UsageError, match="a server uses the PostgreSQL database"):
            await asyncio.to_thread(drop_command, "jots", yes=True)
        await processes.remove("somebody")
        await asyncio.to_thread(drop_command, "jots", yes=True)


def test_the_command_deletes_nothing_when_nobody_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIRTUMANCER_DATABASE_URL", f"sqlite://{tmp_path}/here.db")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises((SystemExit, UsageError)) as ended:
        drop_command("jots")
    assert "add --yes" in f"{ended.value}{capsys.readouterr().err}"
    assert not (tmp_path / "here.db").exists()


async def lingering(tables: PluginTables) -> None:
    async with in_transaction():
        await jot(tables, "two")
        await asyncio.sleep(3600)


async def swallowing(tables: PluginTables) -> None:
    async with in_transaction():
        await jot(tables, "two")
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)


@pytest.mark.parametrize("unit", [lingering, swallowing])
async def test_who_lingers_in_a_unit_is_named_and_lets_others_write(
    new_url: str, package: Package, unit: Callable[[PluginTables], Coroutine[Any, Any, None]]
) -> None:
    tables = package()
    apps = apps_of(tables)
    async with Database(new_url, plugin_apps=apps) as database:
        hosts = HostsRepository(database)
        await hosts.add(HOST, [])
        own = OwnTables("jots", database, apps, unit_timeout=0.5)
        with pytest.raises(PluginFailed, match="a unit of plugin 'jots' did not end within"):
            await own.unit(unit(tables))
        await hosts.set_disconnected("kvm1", True)
        assert await own.unit(jots(tables)) == []


async def test_a_plugin_is_handed_its_tables_by_the_server(tmp_path: Path, package: Package) -> None:
    tables = package()
    contexts: list[PluginContext] = []

    class Keeper(Lifespan):
        name = "keeper"

        @asynccontextmanager
        async def open(self, context: PluginContext) -> AsyncIterator[None]:
            contexts.append(context)
            yield

    @hookimpl
    def virtumancer_lifespans() -> list[type[Lifespan]]:
        return [Keeper]

    @hookimpl
    def virtumancer_tables() -> PluginTables:
        return tables

    plugin = ModuleType("jots")
    plugin.__dict__.update(virtumancer_lifespans=virtumancer_lifespans, virtumancer_tables=virtumancer_tables)
    config = load_config(
        None, {"HOME": str(tmp_path)}, {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "off"}
    )
    async with create_app(config, load_plugins(disabled=["libvirt"], extra={"jots": plugin})) as application:
        await HostsRepository(application.database).add(HOST, [])
        database = contexts[0].database
        await database.unit(jot(tables, "one"))
        assert (database.dialect, await database.unit(jots(tables))) == ("sqlite", ["one"])

    (tmp_path / "packages" / tables.migrations.replace(".", "/") / "0002_broken.py").write_text(BROKEN)
    importlib.invalidate_caches()
    async with create_app(config, load_plugins(disabled=["libvirt"], extra={"jots": plugin})) as application:
        [info] = [info for info in application.services.plugins.infos() if info.name == "jots"]
        assert (info.state, info.phase) == ("degraded", "tables")
        with pytest.raises(PluginFailed, match="could not be made"):
            await contexts[1].database.unit(jots(tables))
