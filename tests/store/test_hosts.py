"""What the store promises about hosts, on SQLite and on PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from virtumancer.contracts import Host, HostKey
from virtumancer.errors import HostExists, HostNotFound
from virtumancer.store import Database, HostsRepository

pytest_plugins = ["tests.lab.fixtures"]

KVM1 = Host("kvm1", "qemu+ssh://root@192.0.2.1/system")
KVM2 = Host("kvm2", "qemu+ssh://root@192.0.2.2/system")
KEY = HostKey("192.0.2.1", "ssh-ed25519", "SHA256:abc", "ssh-ed25519 AAAA")
OTHER_KEY = HostKey("192.0.2.1", "ssh-rsa", "SHA256:def", "ssh-rsa BBBB")


async def ids(hosts: HostsRepository) -> list[str]:
    return [stored.host.id for stored in await hosts.list()]


async def test_hosts_are_listed_in_the_order_added(hosts):
    for id_ in ("b", "c", "a"):
        await hosts.add(Host(id_, KVM1.uri))
    assert await ids(hosts) == ["b", "c", "a"]


async def test_an_unknown_host_is_none(hosts):
    assert await hosts.get("kvm1") is None


async def test_a_new_host_is_connected_and_not_declared(hosts):
    await hosts.add(KVM1)
    stored = await hosts.get("kvm1")
    assert (stored.host, stored.disconnected, stored.declared) == (KVM1, False, False)


async def test_the_time_of_adding_is_utc(hosts):
    await hosts.add(KVM1)
    stored = await hosts.get("kvm1")
    assert stored.created_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - stored.created_at) < timedelta(seconds=60)


async def test_a_second_host_with_the_same_id_is_refused(hosts):
    await hosts.add(KVM1, [KEY])
    with pytest.raises(HostExists, match="'kvm1' is already there"):
        await hosts.add(Host("kvm1", "test:///default"), [OTHER_KEY])
    assert (await hosts.get("kvm1")).host == KVM1
    assert await hosts.keys("kvm1") == (KEY,)


async def test_of_hosts_added_at_once_under_one_id_exactly_one_stays(hosts):
    results = await asyncio.gather(*(hosts.add(KVM1, [KEY]) for _ in range(8)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["HostExists"] * 7 + ["NoneType"]
    assert await ids(hosts) == ["kvm1"]


async def test_ids_that_differ_in_case_are_two_hosts(hosts):
    await hosts.add(KVM1)
    await hosts.add(Host("KVM1", KVM1.uri))
    assert await ids(hosts) == ["kvm1", "KVM1"]


async def test_keys_are_stored_with_their_host(hosts):
    await hosts.add(KVM1, [KEY, OTHER_KEY])
    assert await hosts.keys("kvm1") == (KEY, OTHER_KEY)


async def test_a_key_that_is_pinned_twice_is_stored_once(hosts):
    await hosts.add(KVM1, [KEY])
    await hosts.add_keys("kvm1", [KEY, OTHER_KEY, OTHER_KEY], [KEY])
    assert await hosts.keys("kvm1") == (KEY, OTHER_KEY)


async def test_a_key_is_not_pinned_beside_one_that_was_pinned_for_its_address_meanwhile(hosts):
    await hosts.add(KVM1)
    keys = [HostKey("192.0.2.9", "ssh-ed25519", f"SHA256:{letter * 43}", letter) for letter in "ABCD"]
    results = await asyncio.gather(*(hosts.add_keys("kvm1", [key], []) for key in keys), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 3 + ["NoneType"]
    assert len(await hosts.keys("kvm1")) == 1


async def test_keys_cannot_be_pinned_for_a_host_that_is_not_there(hosts):
    with pytest.raises(HostNotFound, match="'kvm1'"):
        await hosts.add_keys("kvm1", [KEY], [])


async def test_one_key_may_belong_to_two_hosts(hosts):
    await hosts.add(KVM1, [KEY])
    await hosts.add(KVM2, [KEY])
    assert await hosts.keys("kvm2") == (KEY,)


async def test_a_removed_host_takes_its_keys_along(hosts):
    await hosts.add(KVM1, [KEY])
    assert await hosts.remove("kvm1")
    await hosts.add(KVM1)
    assert await hosts.keys("kvm1") == ()


async def test_removing_a_host_that_is_not_there_says_so(hosts):
    assert not await hosts.remove("kvm1")


async def test_the_wish_to_stay_disconnected_survives_a_restart(url):
    async with Database(url) as database:
        await HostsRepository(database).add(KVM1)
        await HostsRepository(database).set_disconnected("kvm1", disconnected=True)
    async with Database(url) as database:
        assert (await HostsRepository(database).get("kvm1")).disconnected


async def test_a_host_that_is_not_there_cannot_be_disconnected(hosts):
    with pytest.raises(HostNotFound, match="'kvm1'"):
        await hosts.set_disconnected("kvm1", disconnected=True)


async def test_declared_hosts_are_inserted_once(hosts):
    await hosts.upsert_declared([KVM2, KVM1])
    await hosts.upsert_declared([KVM1, KVM2])
    assert await ids(hosts) == ["kvm2", "kvm1"]


async def test_a_changed_uri_is_taken_from_the_declaration(hosts):
    await hosts.upsert_declared([KVM1])
    await hosts.upsert_declared([Host("kvm1", "test:///default")])
    assert (await hosts.get("kvm1")).host.uri == "test:///default"


async def test_a_declaration_keeps_keys_and_the_wish_to_stay_disconnected(hosts):
    await hosts.add(KVM1, [KEY])
    await hosts.set_disconnected("kvm1", disconnected=True)
    before = await hosts.get("kvm1")
    await hosts.upsert_declared([Host("kvm1", "test:///default")])
    after = await hosts.get("kvm1")
    assert (after.disconnected, after.declared, after.created_at) == (True, True, before.created_at)
    assert await hosts.keys("kvm1") == (KEY,)


async def test_a_host_that_left_the_configuration_stays_and_is_no_longer_declared(hosts):
    await hosts.upsert_declared([KVM1, KVM2])
    await hosts.upsert_declared([KVM2])
    assert [(stored.host.id, stored.declared) for stored in await hosts.list()] == [("kvm1", False), ("kvm2", True)]


async def test_an_empty_declaration_is_no_error(hosts):
    await hosts.upsert_declared([KVM1])
    await hosts.upsert_declared([])
    assert not (await hosts.get("kvm1")).declared


async def test_sealed_credentials_are_stored_changed_and_removed_one_by_one(hosts):
    await hosts.add(KVM1, [KEY], {"password": "sealed 1", "client-key": "sealed 2"})
    changed = await hosts.change_credentials("kvm1", {"password": "sealed 3"}, {"client-key", "never there"})
    assert changed == {"password": "sealed 3"}
    assert (await hosts.get("kvm1")).credentials == {"password": "sealed 3"}
    assert [stored.credentials for stored in await hosts.list()] == [{"password": "sealed 3"}]
    assert await hosts.any_credential() == "sealed 3"
    assert await hosts.change_credentials("kvm1", {}, {"password"}) == {}
    assert await hosts.any_credential() is None


async def test_a_host_without_credentials_has_none_and_declaring_it_keeps_those_that_it_has(hosts):
    await hosts.add(KVM1)
    assert (await hosts.get("kvm1")).credentials == {}
    await hosts.change_credentials("kvm1", {"password": "sealed"}, ())
    await hosts.upsert_declared([Host("kvm1", "test:///other"), KVM2])
    assert [stored.credentials for stored in await hosts.list()] == [{"password": "sealed"}, {}]


async def test_credentials_of_a_host_that_is_gone_are_not_stored(hosts):
    with pytest.raises(HostNotFound):
        await hosts.change_credentials("kvm1", {"password": "sealed"}, ())
    assert await hosts.renew_credential("kvm1", "password", "old", "new") is False


async def test_a_credential_is_sealed_anew_only_if_nobody_changed_it_meanwhile(hosts):
    await hosts.add(KVM1, credentials={"password": "old"})
    assert await hosts.renew_credential("kvm1", "password", "older", "new") is False
    assert await hosts.renew_credential("kvm1", "password", "old", "new") is True
    assert await hosts.any_credential() == "new"


async def test_changes_of_several_credentials_at_once_lose_none(hosts):
    await hosts.add(KVM1)
    await asyncio.gather(*(hosts.change_credentials("kvm1", {f"name-{n}": "sealed"}, ()) for n in range(8)))
    assert len((await hosts.get("kvm1")).credentials) == 8
