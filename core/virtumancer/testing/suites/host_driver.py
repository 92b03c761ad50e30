"""The suite for host drivers: every promise of `virtumancer.contracts.drivers` that can be seen from outside."""

import asyncio
import time
from itertools import pairwise

import msgspec
import pytest

from virtumancer.contracts import (
    ConnectContext,
    Host,
    HostConnection,
    HostDriver,
    PowerVerb,
    SupportsConsoles,
    SupportsEvents,
    SupportsScreenshot,
    VMChange,
    VMRef,
    VMState,
)
from virtumancer.errors import (
    CallTimeout,
    ConsoleNotFound,
    HostKeyChanged,
    HostKeyUnknown,
    HypervisorError,
    InvalidValue,
    VirtumancerError,
    VMNotFound,
    WrongPowerState,
)
from virtumancer.testing.suites.connecting import OFF, Connecting, able_to, given

__all__ = ["HostDriverSuite"]

NOBODY = "6f0b1d1e-5d0c-4b0e-9c41-3c1f5a7e2d90"
"""A UUID that no VM has."""

ACTIVE = frozenset(VMState) - OFF

# What `connect` may raise; `HostUnreachable` and `AuthenticationFailed` are kinds of `HypervisorError`.
CONNECT_ERRORS = (CallTimeout, HostKeyChanged, HostKeyUnknown, HypervisorError, InvalidValue)

# What a login may take beyond its deadline to clean up.
CONNECT_GRACE = 2.0


@pytest.mark.asyncio(loop_scope="function")
class HostDriverSuite(Connecting):
    """Holds a host driver against the contract. Inherit from it, and say what to connect to::

        import pytest
        from virtumancer.testing.suites import HostDriverSuite
        from virtumancer_myhypervisor import MyDriver

        class TestMyDriver(HostDriverSuite):
            @pytest.fixture
            def driver(self):
                return MyDriver()

            @pytest.fixture
            def uri(self):
                return "my://host.example/"

            @pytest.fixture
            def unreachable_uri(self):
                return "my://127.0.0.1:1/"

            @pytest.fixture
            def running_vm(self):
                return "web01"

            @pytest.fixture
            def stopped_vm(self):
                return "db01"

    `driver` and `uri` are needed; without one of the others the tests that need it are skipped and say so, as are those
    of an ability that the connection does not have. Every fixture may use others, such as `tmp_path`; an asynchronous
    one is marked with `pytest_asyncio.fixture`. `stopped_vm` is started, and forced off again; `running_vm` stays as it
    is. Nothing else on the host is changed.
    """

    async def test_a_driver_is_created_without_arguments(self, driver: HostDriver) -> None:
        assert isinstance(type(driver)(), HostDriver)

    async def test_schemes_are_lower_case_and_without_transport(self, driver: HostDriver) -> None:
        assert driver.schemes
        assert all(scheme == scheme.lower() and not set(scheme) & set("+:/") for scheme in driver.schemes)

    async def test_its_own_uri_has_one_of_its_schemes_and_is_accepted(self, driver: HostDriver, uri: str) -> None:
        assert uri.partition(":")[0].partition("+")[0].lower() in driver.schemes
        driver.check_uri(uri)

    async def test_an_unreachable_host_is_an_error_of_ours_within_the_deadline(
        self, driver: HostDriver, unreachable_uri: str | None, context: ConnectContext
    ) -> None:
        host = Host("conformance", given(unreachable_uri, "unreachable_uri"))
        async with asyncio.timeout(context.settings.connect_timeout + CONNECT_GRACE):
            with pytest.raises(CONNECT_ERRORS):
                await driver.connect(host, context)

    async def test_info_has_cores_and_memory_in_kib(self, connection: HostConnection) -> None:
        info = await connection.info()
        assert min(info.cpu, info.cores, info.threads) >= 1
        # 64 MiB to 64 TiB: what is outside was told in another unit.
        assert 2**16 <= info.memory <= 2**36

    async def test_listing_has_active_and_inactive_vms(
        self, connection: HostConnection, running: VMRef, stopped: VMRef
    ) -> None:
        states = {vm.uuid: vm.state for vm in await connection.list_vms()}
        assert states[running.uuid] not in OFF
        assert states[stopped.uuid] in OFF

    async def test_listing_has_unique_uuids(self, connection: HostConnection) -> None:
        uuids = [vm.uuid for vm in await connection.list_vms()]
        assert all(uuids)
        assert len(set(uuids)) == len(uuids)

    async def test_listing_tells_the_memory_in_kib_and_in_bytes(self, connection: HostConnection) -> None:
        assert all(vm.memory_bytes == vm.max_mem * 1024 for vm in await connection.list_vms())

    async def test_listing_leaves_the_row_id_to_the_core(self, connection: HostConnection) -> None:
        assert all(vm.db_id == 0 for vm in await connection.list_vms())

    async def test_a_shut_off_vm_has_no_run_time_id_and_no_uptime(self, connection: HostConnection) -> None:
        off = [vm for vm in await connection.list_vms() if vm.state is VMState.SHUTOFF]
        assert all((vm.id, vm.uptime) == (0, -1) for vm in off)

    async def test_answers_have_the_types_of_the_contract(self, connection: HostConnection, some_vm: VMRef) -> None:
        samples = await connection.sample([some_vm.uuid])
        hardware = await connection.hardware(some_vm.uuid)
        for answer in (await connection.info(), *await connection.list_vms(), some_vm, hardware, *samples.values()):
            assert msgspec.convert(msgspec.to_builtins(answer), type(answer)) == answer

    async def test_a_vm_is_found_by_name_and_by_uuid(self, connection: HostConnection, some_vm: VMRef) -> None:
        found = [await connection.find_by_name(some_vm.name), await connection.find_by_uuid(some_vm.uuid)]
        found += [await connection.find_vm(some_vm.name), await connection.find_vm(some_vm.uuid)]
        assert [(vm.uuid, vm.name) for vm in found] == [(some_vm.uuid, some_vm.name)] * 4

    async def test_a_name_is_no_uuid_and_a_uuid_no_name(self, connection: HostConnection, some_vm: VMRef) -> None:
        with pytest.raises(VMNotFound):
            await connection.find_by_uuid(some_vm.name)
        with pytest.raises(VMNotFound):
            await connection.find_by_name(some_vm.uuid)

    async def test_an_unknown_vm_is_vm_not_found(self, connection: HostConnection) -> None:
        for find in (connection.find_vm, connection.find_by_uuid, connection.find_by_name):
            for name in (NOBODY, "nobody-has-this-name"):
                with pytest.raises(VMNotFound):
                    await find(name)

    async def test_hardware_of_an_unknown_vm_is_vm_not_found(self, connection: HostConnection) -> None:
        with pytest.raises(VMNotFound):
            await connection.hardware(NOBODY)

    async def test_sample_leaves_out_a_vm_that_is_gone(self, connection: HostConnection, some_vm: VMRef) -> None:
        assert set(await connection.sample([NOBODY, some_vm.uuid])) == {some_vm.uuid}

    async def test_sample_of_a_stopped_vm_has_no_usage(self, connection: HostConnection, stopped: VMRef) -> None:
        stats = (await connection.sample([stopped.uuid]))[stopped.uuid]
        assert (stats.state in OFF, stats.memory, stats.cpu_time) == (True, 0, 0)
        assert not stats.disk_stats
        assert not stats.net_stats

    async def test_power_of_an_unknown_vm_is_vm_not_found(self, connection: HostConnection) -> None:
        for verb in PowerVerb:
            with pytest.raises(VMNotFound):
                await connection.power(NOBODY, verb)

    async def test_starting_and_forcing_off_changes_the_state(self, connection: HostConnection, stopped: VMRef) -> None:
        await connection.power(stopped.uuid, PowerVerb.START)
        await self.reaches(connection, stopped, ACTIVE)
        await connection.power(stopped.uuid, PowerVerb.FORCE_OFF)
        await self.reaches(connection, stopped, OFF)

    async def test_a_vm_has_a_run_time_id_only_while_it_runs(self, connection: HostConnection, stopped: VMRef) -> None:
        await connection.power(stopped.uuid, PowerVerb.START)
        await self.reaches(connection, stopped, ACTIVE)
        assert {vm.uuid: vm.id for vm in await connection.list_vms()}[stopped.uuid] != 0
        await connection.power(stopped.uuid, PowerVerb.FORCE_OFF)
        await self.reaches(connection, stopped, OFF)
        assert {vm.uuid: vm.id for vm in await connection.list_vms()}[stopped.uuid] == 0

    async def test_starting_a_running_vm_is_wrong_power_state(self, connection: HostConnection, running: VMRef) -> None:
        with pytest.raises(WrongPowerState):
            await connection.power(running.uuid, PowerVerb.START)

    async def test_forcing_off_a_stopped_vm_is_wrong_power_state(
        self, connection: HostConnection, stopped: VMRef
    ) -> None:
        with pytest.raises(WrongPowerState):
            await connection.power(stopped.uuid, PowerVerb.FORCE_OFF)

    async def test_a_call_does_not_block_the_event_loop(self, connection: HostConnection) -> None:
        ticks = [time.monotonic()]

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.01)
                ticks.append(time.monotonic())

        ticker = asyncio.create_task(tick())
        try:
            await connection.list_vms()
            await connection.info()
        finally:
            ticker.cancel()
        ticks.append(time.monotonic())
        longest = max(after - before for before, after in pairwise(ticks))
        assert longest <= self.longest_block, "the event loop stood still: move what blocks into a thread"

    async def test_an_open_connection_is_not_lost(self, connection: HostConnection) -> None:
        lost = asyncio.ensure_future(connection.wait_lost())
        await connection.list_vms()
        await asyncio.wait({lost}, timeout=0.1)
        assert not lost.done(), "wait_lost returned although the connection lives"
        lost.cancel()

    async def test_closing_twice_is_harmless(self, connection: HostConnection) -> None:
        for _ in range(2):
            async with asyncio.timeout(5.0):
                await connection.aclose()

    async def test_calls_after_close_are_refused_with_an_error_of_ours(self, connection: HostConnection) -> None:
        await connection.aclose()
        for call in (connection.info, connection.list_vms, lambda: connection.find_by_uuid(NOBODY)):
            async with asyncio.timeout(self.patience):
                with pytest.raises(VirtumancerError):
                    await call()

    async def test_events_tell_of_a_start(self, connection: HostConnection, stopped: VMRef) -> None:
        stream = await able_to(connection, SupportsEvents).open_events()
        # Before anybody listens: from `open_events` on no event is missed.
        await connection.power(stopped.uuid, PowerVerb.START)
        await self.tells(stream, stopped, VMChange.STARTED)

    async def test_events_tell_of_a_stop(self, connection: HostConnection, stopped: VMRef) -> None:
        able = able_to(connection, SupportsEvents)
        await connection.power(stopped.uuid, PowerVerb.START)
        await self.reaches(connection, stopped, ACTIVE)
        stream = await able.open_events()
        await connection.power(stopped.uuid, PowerVerb.FORCE_OFF)
        await self.tells(stream, stopped, VMChange.STOPPED)

    async def test_closing_events_after_the_connection_is_harmless(self, connection: HostConnection) -> None:
        stream = await able_to(connection, SupportsEvents).open_events()
        await connection.aclose()
        await stream.aclose()

    async def test_consoles_of_an_unknown_vm_is_vm_not_found(self, connection: HostConnection) -> None:
        able = able_to(connection, SupportsConsoles)
        with pytest.raises(VMNotFound):
            await able.consoles(NOBODY)
        with pytest.raises(VMNotFound):
            await able.open_console(NOBODY, "vnc")

    async def test_a_console_that_cannot_be_opened_says_why(self, connection: HostConnection, some_vm: VMRef) -> None:
        offers = await able_to(connection, SupportsConsoles).consoles(some_vm.uuid)
        assert all(offer.available or offer.reason for offer in offers)

    async def test_a_console_the_vm_does_not_have_is_console_not_found(
        self, connection: HostConnection, running: VMRef
    ) -> None:
        able = able_to(connection, SupportsConsoles)
        with pytest.raises(ConsoleNotFound):
            await able.open_console(running.uuid, "no-such-kind")

    async def test_a_console_of_a_stopped_vm_is_wrong_power_state(
        self, connection: HostConnection, stopped: VMRef
    ) -> None:
        able = able_to(connection, SupportsConsoles)
        for offer in await able.consoles(stopped.uuid):
            with pytest.raises(WrongPowerState):
                await able.open_console(stopped.uuid, offer.kind)

    async def test_a_screenshot_of_an_unknown_vm_is_vm_not_found(self, connection: HostConnection) -> None:
        able = able_to(connection, SupportsScreenshot)
        with pytest.raises(VMNotFound):
            await able.screenshot(NOBODY)

    async def test_a_screenshot_of_a_stopped_vm_is_wrong_power_state(
        self, connection: HostConnection, stopped: VMRef
    ) -> None:
        able = able_to(connection, SupportsScreenshot)
        with pytest.raises(WrongPowerState):
            await able.screenshot(stopped.uuid)
