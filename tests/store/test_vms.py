"""What the store promises about VMs, on SQLite and on PostgreSQL."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta

import msgspec
import pytest

from virtumancer.contracts import VM, Host
from virtumancer.errors import HostNotFound
from virtumancer.store import Database, HostsRepository, VMsRepository

pytest_plugins = ["tests.lab.fixtures"]

KVM1 = Host("kvm1", "test:///one")
KVM2 = Host("kvm2", "test:///two")


@pytest.fixture
async def vms(database: Database) -> VMsRepository:
    await HostsRepository(database).add(KVM1)
    await HostsRepository(database).add(KVM2)
    return VMsRepository(database)


async def test_a_host_without_vms_has_none(vms):
    assert await vms.known("kvm1") == {}
    assert await vms.rows("kvm1") == ()


async def test_a_stored_vm_is_known_with_the_id_of_its_row(vms, make_vm):
    vm = make_vm("web01")
    ids = await vms.apply("kvm1", [vm], [])
    assert await vms.known("kvm1") == {vm.uuid: msgspec.structs.replace(vm, db_id=ids[vm.uuid])}


async def test_a_row_holds_the_document_with_its_own_id(vms, make_vm):
    await vms.apply("kvm1", [make_vm("web01"), make_vm("web02")], [])
    for row in await vms.rows("kvm1"):
        vm = msgspec.json.decode(row.config_json, type=VM)
        assert (vm.db_id, vm.name) == (row.id, row.name)


async def test_a_row_names_its_host_and_no_time_of_deletion(vms, make_vm):
    await vms.apply("kvm1", [make_vm("web01")], [])
    (row,) = await vms.rows("kvm1")
    assert (row.host_id, row.name, row.deleted_at) == ("kvm1", "web01", None)


async def test_times_of_rows_are_utc(vms, make_vm):
    await vms.apply("kvm1", [make_vm("web01")], [])
    (row,) = await vms.rows("kvm1")
    assert row.created_at.utcoffset() == row.updated_at.utcoffset() == timedelta(0)
    assert msgspec.to_builtins(row)["CreatedAt"].endswith("Z")


async def test_rows_come_in_the_order_of_their_ids(vms, make_vm):
    for uuid in ("c", "a", "b"):
        await vms.apply("kvm1", [make_vm(uuid, uuid)], [])
    assert [row.name for row in await vms.rows("kvm1")] == ["c", "a", "b"]


async def test_a_renamed_vm_keeps_its_row(vms, make_vm):
    first = await vms.apply("kvm1", [make_vm("web01", "u")], [])
    assert await vms.apply("kvm1", [make_vm("web02", "u")], []) == first
    assert [row.name for row in await vms.rows("kvm1")] == ["web02"]


async def test_two_vms_may_swap_their_names(vms, make_vm):
    ids = await vms.apply("kvm1", [make_vm("web01", "u"), make_vm("web02", "v")], [])
    assert await vms.apply("kvm1", [make_vm("web02", "u"), make_vm("web01", "v")], []) == ids


async def test_a_change_moves_only_the_time_of_update(vms, make_vm):
    await vms.apply("kvm1", [make_vm("web01", "u")], [])
    (before,) = await vms.rows("kvm1")
    await vms.apply("kvm1", [make_vm("web01", "u", run_time_id=2)], [])
    (after,) = await vms.rows("kvm1")
    assert after.created_at == before.created_at
    assert after.updated_at > before.updated_at


async def test_what_did_not_change_is_not_touched(vms, make_vm):
    await vms.apply("kvm1", [make_vm("web01", "u"), make_vm("web02", "v")], [])
    before, _ = await vms.rows("kvm1")
    await vms.apply("kvm1", [make_vm("web03", "v")], [])
    assert (await vms.rows("kvm1"))[0] == before


async def test_a_vm_that_is_gone_has_no_row(vms, make_vm):
    await vms.apply("kvm1", [make_vm("web01", "u"), make_vm("web02", "v")], [])
    assert await vms.apply("kvm1", [], ["u", "unknown"]) == {}
    assert list(await vms.known("kvm1")) == ["v"]


async def test_a_vm_defined_anew_under_its_name_gets_a_new_row(vms, make_vm):
    old = await vms.apply("kvm1", [make_vm("web01", "old")], [])
    new = await vms.apply("kvm1", [make_vm("web01", "new")], ["old"])
    assert [(row.id, row.name) for row in await vms.rows("kvm1")] == [(new["new"], "web01")]
    assert new["new"] > old["old"]


async def test_a_uuid_that_is_changed_and_gone_stays(vms, make_vm):
    ids = await vms.apply("kvm1", [make_vm("web01", "u")], [])
    assert await vms.apply("kvm1", [make_vm("web02", "u")], ["u"]) == ids


async def test_of_a_uuid_that_comes_twice_the_last_one_is_stored(vms, make_vm):
    await vms.apply("kvm1", [make_vm("web01", "u"), make_vm("web02", "u")], [])
    assert [row.name for row in await vms.rows("kvm1")] == ["web02"]


async def test_two_hosts_may_have_the_same_vm(vms, make_vm):
    one = await vms.apply("kvm1", [make_vm("web01", "u")], [])
    two = await vms.apply("kvm2", [make_vm("web01", "u")], [])
    assert one["u"] != two["u"]
    await vms.apply("kvm1", [], ["u"])
    assert list(await vms.known("kvm2")) == ["u"]


async def test_any_name_that_libvirt_takes_is_stored(vms, make_vm):
    name = "a/b 100% $1 ? ' \" \\ ü 🦊;--"
    await vms.apply("kvm1", [make_vm(name)], [])
    assert [row.name for row in await vms.rows("kvm1")] == [name]


async def test_a_host_that_was_removed_meanwhile_gets_no_vms(vms, make_vm, database):
    await HostsRepository(database).remove("kvm1")
    with pytest.raises(HostNotFound, match="'kvm1'"):
        await vms.apply("kvm1", [make_vm("web01")], ["u"])
    assert await vms.rows("kvm1") == ()


async def test_a_host_that_is_removed_during_syncs_leaves_nothing_behind(vms, make_vm, database):
    hosts = HostsRepository(database)
    syncs = [vms.apply("kvm1", [make_vm(f"vm{number}")], []) for number in range(10)]
    results = await asyncio.gather(*syncs[:5], hosts.remove("kvm1"), *syncs[5:], return_exceptions=True)
    assert {type(result) for result in results} <= {dict, bool, HostNotFound}
    assert await vms.rows("kvm1") == ()


async def test_a_host_added_again_starts_without_vms_and_can_have_the_same_ones(vms, make_vm, database):
    hosts = HostsRepository(database)
    await vms.apply("kvm1", [make_vm("web01", "u")], [])
    await hosts.remove("kvm1")
    await hosts.add(KVM1)
    assert await vms.rows("kvm1") == ()
    await vms.apply("kvm1", [make_vm("web01", "u")], [])
    assert [row.name for row in await vms.rows("kvm1")] == ["web01"]


async def test_syncs_of_one_host_at_once_make_one_row_per_uuid(vms, make_vm):
    batches = [[make_vm(f"vm{number}", f"u{number}") for number in range(20)] for _ in range(6)]
    results = await asyncio.gather(
        *(vms.apply("kvm1", batch[::step], []) for batch, step in zip(batches, [1, -1] * 3, strict=True))
    )
    assert len({frozenset(result.items()) for result in results}) == 1
    assert len(await vms.rows("kvm1")) == 20


async def test_nothing_to_store_is_no_work(make_vm):
    closed = Database("sqlite://:memory:")
    assert await VMsRepository(closed).apply("kvm1", [], []) == {}


async def test_ten_thousand_vms_are_stored_listed_and_deleted(vms, make_vm):
    many = [make_vm(f"vm{number}", f"{number:036}") for number in range(10_000)]
    ids = await vms.apply("kvm1", many, [])
    assert len(set(ids.values())) == 10_000
    assert await vms.apply("kvm1", many, []) == ids
    assert len(await vms.known("kvm1")) == len(await vms.rows("kvm1")) == 10_000
    await vms.apply("kvm1", [], list(ids))
    assert await vms.rows("kvm1") == ()


async def test_an_unreadable_document_is_replaced_by_the_next_sync(tmp_path, make_vm, caplog):
    url = f"sqlite://{tmp_path}/virtumancer.db"
    vm = make_vm("web01", "u")
    async with Database(url) as database:
        await HostsRepository(database).add(KVM1)
        ids = await VMsRepository(database).apply("kvm1", [vm], [])
    with closing(sqlite3.connect(tmp_path / "virtumancer.db")) as connection, connection:
        connection.execute("UPDATE vms SET document = '{}'")
    async with Database(url) as database:
        vms = VMsRepository(database)
        known = await vms.known("kvm1")
        assert (known["u"].name, known["u"].db_id) == ("web01", ids["u"])
        assert known["u"] != msgspec.structs.replace(vm, db_id=ids["u"])
        assert "web01" in caplog.text
        await vms.apply("kvm1", [vm], [])
        assert await vms.known("kvm1") == {"u": msgspec.structs.replace(vm, db_id=ids["u"])}
