"""Snapshots keep the contract of resources, with a real LXD; and what is special about LXD's."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import pytest_asyncio
from lxd import PrivateLXD
from relay import Relay, relay_to
from virtumancer_lxd import SNAPSHOTS, NewSnapshot, Revert
from virtumancer_lxd.connection import LXDConnection
from virtumancer_lxd.driver import LXDDriver
from virtumancer_lxd.snapshots import LXDSnapshots

from virtumancer.contracts import (
    Collection,
    ConnectContext,
    ConnectSettings,
    EventStream,
    Host,
    HostKeyPolicy,
    NullJob,
    ResourceChange,
    ResourceContext,
    ResourceEvent,
    ResourceType,
    Secret,
    VMState,
)
from virtumancer.errors import (
    HostLost,
    HypervisorError,
    InvalidValue,
    ResourceNotFound,
    VMNotFound,
)
from virtumancer.testing.suites import ResourceSuite
from virtumancer.testing.suites.connecting import OnHost

JOB = NullJob("this test")


def of(connection: LXDConnection) -> LXDSnapshots:
    served = connection.ability(LXDSnapshots)
    assert served
    return served


async def at_instance(connection: LXDConnection, name: str) -> ResourceContext:
    return ResourceContext(type=SNAPSHOTS, host="here", vm=await connection.find_by_name(name), actor="this test")


async def over_socket(lxd: PrivateLXD) -> LXDConnection:
    context = ConnectContext(ConnectSettings(), HostKeyPolicy())
    made = await LXDDriver().connect(Host("here", f"lxd://{lxd.socket}"), context)
    assert isinstance(made, LXDConnection)
    return made


@pytest_asyncio.fixture(loop_scope="function")
async def instance(lxd: PrivateLXD) -> AsyncIterator[str]:
    """One that is off.

    LXD 5.0 takes no new connection to its socket before the one before it has said something: a loop that stands still
    just after it has connected makes it deaf.
    """
    name = await asyncio.to_thread(lxd.make, "snapped")
    yield name
    await asyncio.to_thread(lxd.remove, name)


@pytest_asyncio.fixture(loop_scope="function")
async def connection(lxd: PrivateLXD) -> AsyncIterator[LXDConnection]:
    made = await over_socket(lxd)
    yield made
    await made.aclose()


@pytest_asyncio.fixture(loop_scope="function")
async def at(connection: LXDConnection, instance: str) -> ResourceContext:
    return await at_instance(connection, instance)


class OnLXD:
    patience = 30.0
    longest_block = 1.0

    @pytest.fixture
    def way(self, target: str) -> Iterator[tuple[Relay, str]]:
        with TemporaryDirectory(prefix="relay-") as folder, relay_to(target, Path(folder)) as way:
            yield way

    @pytest_asyncio.fixture(loop_scope="function")
    async def connection(self, way: tuple[Relay, str], context: ConnectContext) -> AsyncIterator[LXDConnection]:
        made = await LXDDriver().connect(Host("here", f"lxd://{way[1]}"), context)
        assert isinstance(made, LXDConnection)
        yield made
        await made.aclose()

    @pytest_asyncio.fixture(loop_scope="function")
    async def at(self, connection: LXDConnection, instance: str) -> ResourceContext:
        return await at_instance(connection, instance)

    @pytest.fixture
    def resource(self) -> ResourceType[object, object, object]:
        return SNAPSHOTS

    @pytest.fixture
    def collection(self, connection: LXDConnection) -> Collection[object]:
        return of(connection)

    @pytest.fixture
    def spec(self) -> NewSnapshot:
        return NewSnapshot("one")

    @pytest.fixture
    def other_spec(self) -> NewSnapshot:
        return NewSnapshot("two")

    @pytest.fixture
    def break_host(self, way: tuple[Relay, str]) -> OnHost:
        return way[0].cut

    @pytest.fixture
    def hang_host(self, way: tuple[Relay, str]) -> OnHost:
        return way[0].hang

    @pytest.fixture
    def open_events(self, connection: LXDConnection) -> Callable[[], Awaitable[EventStream]]:
        return connection.open_events

    @pytest.fixture
    def make_outside(self, lxd: PrivateLXD, instance: str) -> Callable[[str], Awaitable[None]]:
        async def make(key: str) -> None:
            await asyncio.to_thread(lxd.api, "POST", f"/1.0/instances/{instance}/snapshots", {"name": key})

        return make


class TestSocket(OnLXD, ResourceSuite):
    @pytest.fixture
    def target(self, lxd: PrivateLXD) -> str:
        return str(lxd.socket)

    @pytest.fixture
    def context(self) -> ConnectContext:
        return ConnectContext(ConnectSettings(), HostKeyPolicy())


class TestHTTPS(OnLXD, ResourceSuite):
    @pytest.fixture
    def target(self, address: str) -> str:
        return address

    @pytest.fixture
    def context(self, certificate: tuple[str, str]) -> ConnectContext:
        pems = dict(zip(("client-cert", "client-key"), certificate, strict=True))
        secrets = {name: Secret(pem, "this test") for name, pem in pems.items()}
        return ConnectContext(ConnectSettings(), HostKeyPolicy(unknown="accept-new"), secrets)


async def test_a_snapshot_says_when_it_was_made_and_no_size_that_nobody_knows(
    lxd: PrivateLXD, connection: LXDConnection, at: ResourceContext
) -> None:
    made = await of(connection).create(at, NewSnapshot("one"), JOB)
    [told] = await asyncio.to_thread(lxd.api, "GET", f"/1.0/instances/{at.vm.name}/snapshots?recursion=1")
    assert made.created_at.isoformat()[:19] == told["created_at"][:19]
    assert (told["size"], told["expires_at"][:4]) == (-1, "0001")
    assert (made.size, made.expires_at, made.stateful) == (None, None, False)


@pytest.mark.parametrize("running", [True, False])
async def test_going_back_brings_the_disk_back_and_the_power_state_with_it(
    lxd: PrivateLXD, connection: LXDConnection, instance: str, running: bool
) -> None:
    if running:
        await asyncio.to_thread(lxd.state, instance, "start")
    at = await at_instance(connection, instance)
    disk = lxd.root_of(instance) / "root/kept"
    await of(connection).create(at, NewSnapshot("before"), JOB)
    disk.write_text("after")

    await of(connection).revert(at, "before", Revert(), JOB)

    assert not (lxd.root_of(instance) / "root/kept").exists()
    found = await connection.find_by_uuid(at.vm.uuid)
    assert found.state is (VMState.RUNNING if running else VMState.SHUTOFF)


@pytest.mark.parametrize("name", ["grün", "100%", "%2e%2e", "a#b", 'q"uote', "-x", "x" * 180])
async def test_a_snapshot_of_others_is_removed_by_its_very_name(
    lxd: PrivateLXD, connection: LXDConnection, at: ResourceContext, name: str
) -> None:
    snapshots, place = of(connection), f"/1.0/instances/{at.vm.name}/snapshots"
    for made in (name, "kept"):
        await asyncio.to_thread(lxd.api, "POST", place, {"name": made})
    await snapshots.revert(at, name, Revert(), JOB)
    await snapshots.delete(at, name, JOB)
    assert [snapshot.name for snapshot in await snapshots.list(at)] == ["kept"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "why?", "a&b", "100%", "a\nb", "\ud800", "ü" * 150])
async def test_a_name_that_lxd_cannot_be_asked_for_is_refused(
    connection: LXDConnection, at: ResourceContext, name: str
) -> None:
    with pytest.raises(InvalidValue) as raised:
        await of(connection).create(at, NewSnapshot(name), JOB)
    assert raised.value.field == "name"
    assert await of(connection).list(at) == []


async def test_a_snapshot_that_is_a_folder_to_lxd_is_left_alone(tmp_path: Path) -> None:
    """LXD 5.0 would remove the folder of all snapshots with it, as it does when the instance is removed."""
    with PrivateLXD(tmp_path / "own") as lxd:
        connection = await over_socket(lxd)
        at = await at_instance(connection, await asyncio.to_thread(lxd.make, "snapped"))
        await asyncio.to_thread(lxd.api, "POST", f"/1.0/instances/{at.vm.name}/snapshots", {"name": ".."})
        for call in (of(connection).delete(at, "..", JOB), of(connection).revert(at, "..", Revert(), JOB)):
            with pytest.raises(InvalidValue, match="folder"):
                await call
        assert [snapshot.name for snapshot in await of(connection).list(at)] == [".."]
        await connection.aclose()


async def test_what_is_not_there_is_not_found_and_what_is_there_is_not_made_twice_by_two_at_once(
    connection: LXDConnection, at: ResourceContext
) -> None:
    snapshots = of(connection)
    with pytest.raises(ResourceNotFound):
        await snapshots.revert(at, "nope", Revert(), JOB)
    made = await asyncio.gather(
        *(snapshots.create(at, NewSnapshot("one"), JOB) for _ in range(3)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in made) == ["ResourceExists", "ResourceExists", "Snapshot"]


async def test_what_lxd_refuses_is_told_in_its_words(connection: LXDConnection, at: ResourceContext) -> None:
    with pytest.raises(HypervisorError, match=r"LXD at .* refused: .*(running|CRIU)"):
        await of(connection).create(at, NewSnapshot("one", stateful=True), JOB)
    assert await of(connection).list(at) == []


async def test_an_instance_that_is_gone_has_no_snapshots(
    lxd: PrivateLXD, connection: LXDConnection, at: ResourceContext
) -> None:
    other = await asyncio.to_thread(lxd.make, "short-lived")
    gone = await at_instance(connection, other)
    await asyncio.to_thread(lxd.remove, other)
    for call in (of(connection).list(gone), of(connection).create(gone, NewSnapshot("one"), JOB)):
        with pytest.raises(VMNotFound):
            await call


async def test_snapshots_of_others_are_told_by_their_names(
    lxd: PrivateLXD, connection: LXDConnection, at: ResourceContext
) -> None:
    stream = await connection.open_events()
    await asyncio.to_thread(lxd.api, "POST", f"/1.0/instances/{at.vm.name}/snapshots", {"name": "grün"})
    await of(connection).delete(at, "grün", JOB)
    async with asyncio.timeout(20), aclosing(aiter(stream)) as events:
        told = [await anext(events), await anext(events)]
    assert told == [
        ResourceEvent(resource="snapshots", change=change, keys=("grün",), vm=at.vm.uuid)
        for change in (ResourceChange.CREATED, ResourceChange.DELETED)
    ]
    await stream.aclose()


async def test_a_snapshot_that_lxd_was_killed_in_is_shown_as_lxd_shows_it(tmp_path: Path) -> None:
    with PrivateLXD(tmp_path / "killed") as lxd:
        name = lxd.make("large")
        with (lxd.root_of(name) / "root/large").open("wb") as file:
            for _ in range(150):  # long enough to be seen half done
                file.write(os.urandom(1 << 20))
        connection = await over_socket(lxd)
        at = await at_instance(connection, name)
        making = asyncio.ensure_future(of(connection).create(at, NewSnapshot("half"), JOB))
        place = f"/1.0/instances/{name}/snapshots"
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(lxd.api, "GET", place):
                assert not making.done(), making
        await asyncio.to_thread(lxd.kill)
        with pytest.raises(HostLost):
            await making
        await connection.aclose()

        await asyncio.to_thread(lxd.start)
        connection = await over_socket(lxd)
        told = [path.rpartition("/")[2] for path in await asyncio.to_thread(lxd.api, "GET", place)]
        assert [snapshot.name for snapshot in await of(connection).list(at)] == told
        for key in told:
            await of(connection).delete(at, key, JOB)
        assert (await of(connection).create(at, NewSnapshot("half"), JOB)).name == "half"
        await connection.aclose()
