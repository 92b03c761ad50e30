"""Metadata are kept by host id and UUID, whatever becomes of rows and hosts, on SQLite and on PostgreSQL."""

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec import structs

from virtumancer.contracts import Host, Metadata
from virtumancer.errors import Conflict, VMNotFound
from virtumancer.store import Database, MetadataRepository

pytest_plugins = ["tests.lab.fixtures"]

UUID = "11111111-1111-4111-8111-111111111111"
NOON = datetime(2026, 1, 15, 12, 0, 0, 123456, tzinfo=UTC)
SHOP = Metadata(title="Shop", notes="a\nb", tags=("prod", "web"), changed_at=NOON, changed_by="alice")


@pytest.fixture
def metadata(database: Database) -> MetadataRepository:
    return MetadataRepository(database)


async def test_what_was_written_is_read_again(metadata):
    assert await metadata.changes() == ()
    made, _ = await metadata.change("kvm1", UUID, lambda _: SHOP)
    assert (made.host_id, made.vm_uuid, made.metadata) == ("kvm1", UUID, SHOP)
    assert await metadata.changes() == (made,)


async def test_a_vm_that_is_gone_and_a_host_that_is_removed_leave_them(metadata, hosts, vms, make_vm):
    await hosts.add(Host("kvm1", "test:///default"))
    await vms.apply("kvm1", [make_vm("web", UUID)], ())
    await metadata.change("kvm1", UUID, lambda _: SHOP)
    await vms.apply("kvm1", [], [UUID])
    await hosts.remove("kvm1")
    assert [stored.metadata for stored in await metadata.changes()] == [SHOP]


async def test_host_and_vms_have_their_own(metadata):
    for host, uuid, title in (("a", "", "host"), ("a", UUID, "vm"), ("b", UUID, "other")):
        await metadata.change(
            host, uuid, lambda before, title=title: structs.replace(before, title=title, changed_at=NOON)
        )
    assert [stored.metadata.title for stored in await metadata.changes()] == ["host", "vm", "other"]


async def test_every_change_has_a_higher_revision(metadata):
    first, _ = await metadata.change("a", "", lambda _: SHOP)
    second, _ = await metadata.change("b", "", lambda _: SHOP)
    third, _ = await metadata.change("a", "", lambda before: structs.replace(before, title="x"))
    assert first.revision < second.revision < third.revision
    assert await metadata.changes(first.revision) == (second, third)
    assert await metadata.changes(third.revision) == ()


async def test_what_stays_the_same_is_no_change(metadata):
    first, _ = await metadata.change("a", "", lambda _: SHOP)
    assert await metadata.change("a", "", lambda before: before) == (first, False)


async def test_a_change_that_is_refused_leaves_no_trace(metadata):
    def refuse(_: Metadata) -> Metadata:
        raise Conflict("no")

    with pytest.raises(Conflict):
        await metadata.change("a", "", refuse)
    assert await metadata.changes() == ()
    await metadata.change("a", "", lambda _: SHOP)


async def test_changes_at_the_same_time_build_on_each_other(metadata, url):
    def add(tag: str):
        return lambda before: structs.replace(before, tags=(*before.tags, tag), changed_at=NOON)

    repositories = [metadata]
    async with Database(url) if url.startswith("postgresql") else asyncio.timeout(None) as other:
        if isinstance(other, Database):
            repositories.append(MetadataRepository(other))
        tags = [f"t{number}" for number in range(20)]
        await asyncio.gather(
            *(repositories[number % len(repositories)].change("a", "", add(tag)) for number, tag in enumerate(tags))
        )
    [stored] = await metadata.changes()
    assert sorted(stored.metadata.tags) == sorted(tags)
    assert stored.revision == len(tags)


async def test_a_vm_is_found_by_uuid_before_name(hosts, vms, make_vm):
    await hosts.add(Host("kvm1", "test:///default"))
    odd = make_vm(UUID)
    web = make_vm("web", UUID)
    await vms.apply("kvm1", [web, odd], ())
    assert (await vms.find("kvm1", "web")).uuid == UUID
    assert (await vms.find("kvm1", UUID)).uuid == UUID
    assert (await vms.find("kvm1", UUID.upper(), UUID)).uuid == UUID
    assert (await vms.find("kvm1", odd.uuid)).uuid == odd.uuid
    assert await vms.find("kvm1", "WEB") is None
    assert await vms.find("kvm2", "web") is None
    assert await vms.find("kvm1", "we\0b") is None


async def test_a_uuid_that_no_column_holds_has_no_metadata(metadata):
    for uuid in ("x" * 37, "x\0"):
        with pytest.raises(VMNotFound):
            await metadata.change("a", uuid, lambda _: SHOP)
