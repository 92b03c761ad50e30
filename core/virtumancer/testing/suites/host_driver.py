"""The suite for host drivers: every promise of `virtumancer.contracts.drivers` that can be seen from outside."""

import asyncio
import time
from itertools import pairwise

import msgspec
import pytest

from virtumancer.contracts import ConnectContext, Host, HostConnection, HostDriver, VMRef, VMState
from virtumancer.errors import (
    CallTimeout,
    HostKeyChanged,
    HostKeyUnknown,
    HypervisorError,
    InvalidValue,
    VMNotFound,
)
from virtumancer.testing.suites.connecting import NOBODY, OFF, given
from virtumancer.testing.suites.losing import Losing
from virtumancer.testing.suites.powering import Powering
from virtumancer.testing.suites.telling import Telling
from virtumancer.testing.suites.viewing import Viewing

__all__ = ["HostDriverSuite"]

# What `connect` may raise; `HostUnreachable` and `AuthenticationFailed` are kinds of `HypervisorError`.
CONNECT_ERRORS = (CallTimeout, HostKeyChanged, HostKeyUnknown, HypervisorError, InvalidValue)

# A VM may be promised more than the host has, and have less than anybody would give it: what is beyond is another unit.
MOST_MEMORY = 16
LEAST_MEMORY = 1024

# What a login may take beyond its deadline to clean up.
CONNECT_GRACE = 2.0


@pytest.mark.asyncio(loop_scope="function")
class HostDriverSuite(Powering, Telling, Viewing, Losing):
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
    one is marked with `pytest_asyncio.fixture`. `stopped_vm` is started, shut down, restarted, and forced off again;
    `running_vm` stays as it is. Nothing else on the host is changed.

    A host that asks who connects gets `credentials`. What only the author can do to the host is optional:
    `change_outside` changes a VM past the driver, `break_host` cuts the connection, `hang_host` lets the host answer
    nothing, `vm_memory` says how much memory a VM really has, and `console_dialogues` what a console answers. At the
    end of a run stands what was not tested without them.
    Set `guest_obeys = False` in the class for a guest without an operating system, and `tells_reboots = False` for a
    host that tells nobody of them.
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

    async def test_the_memory_of_a_vm_fits_its_host(self, connection: HostConnection) -> None:
        host = (await connection.info()).memory
        for vm in await connection.list_vms():
            assert vm.max_mem <= MOST_MEMORY * host, f"{vm.name} has {vm.max_mem} KiB, the host {host}: not in KiB?"
            # 0: some hosts know nothing of a VM that is off.
            assert vm.max_mem == 0 or vm.max_mem >= LEAST_MEMORY, f"{vm.name} has {vm.max_mem} KiB: not in KiB?"

    async def test_the_memory_of_a_vm_is_what_the_hypervisor_was_told(
        self, connection: HostConnection, some_vm: VMRef, vm_memory: int | None
    ) -> None:
        told = given(vm_memory, "vm_memory")
        assert {vm.uuid: vm.memory_bytes for vm in await connection.list_vms()}[some_vm.uuid] == told

    async def test_sample_and_listing_tell_the_same_memory(self, connection: HostConnection, some_vm: VMRef) -> None:
        listed = {vm.uuid: vm.max_mem for vm in await connection.list_vms()}[some_vm.uuid]
        stats = (await connection.sample([some_vm.uuid]))[some_vm.uuid]
        assert stats.max_mem == listed
        assert stats.memory <= MOST_MEMORY * listed, "the memory in use is not in KiB"

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
            # Text with half a character, as names decoded with `surrogateescape` have it, cannot be sent to anybody.
            assert msgspec.json.decode(msgspec.json.encode(answer), type=type(answer)) == answer

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
