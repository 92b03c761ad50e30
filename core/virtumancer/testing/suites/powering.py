"""The part of the suite for host drivers that is about power: each verb does what it says, or refuses."""

import pytest

from virtumancer.contracts import HostConnection, PowerVerb, SupportsEvents, VMChange, VMRef
from virtumancer.errors import HypervisorError, VMNotFound, WrongPowerState
from virtumancer.testing.suites.connecting import ACTIVE, NOBODY, OFF, Connecting, able_to

__all__ = ["Powering"]

DEAF = "`guest_obeys` is False: the guest has no operating system that shuts it down"
UNTOLD = "`tells_reboots` is False: this host tells of no reboots"


class Powering(Connecting):
    """Starts, stops and restarts the VM that may be started."""

    guest_obeys: bool = True
    """Whether the guest of `stopped_vm` does what it is asked; False for one without an operating system."""
    tells_reboots: bool = True
    """Whether the host tells of reboots; False for one that cannot, whatever its driver does."""

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

    async def test_shutting_down_ends_in_off(self, connection: HostConnection, stopped: VMRef) -> None:
        self.require_obedience()
        await connection.power(stopped.uuid, PowerVerb.START)
        await self.reaches(connection, stopped, ACTIVE)
        await connection.power(stopped.uuid, PowerVerb.SHUTDOWN)
        await self.reaches(connection, stopped, OFF)

    async def test_a_reboot_is_told_and_leaves_the_vm_running(self, connection: HostConnection, stopped: VMRef) -> None:
        self.require_obedience()
        await self.restarts(connection, stopped, PowerVerb.REBOOT)

    async def test_a_reset_is_told_and_leaves_the_vm_running(self, connection: HostConnection, stopped: VMRef) -> None:
        await self.restarts(connection, stopped, PowerVerb.FORCE_RESET)

    async def test_restarting_and_stopping_a_stopped_vm_is_wrong_power_state(
        self, connection: HostConnection, stopped: VMRef
    ) -> None:
        for verb in (PowerVerb.SHUTDOWN, PowerVerb.REBOOT, PowerVerb.FORCE_RESET):
            with pytest.raises(WrongPowerState):
                await connection.power(stopped.uuid, verb)

    async def restarts(self, connection: HostConnection, vm: VMRef, verb: PowerVerb) -> None:
        """Restart the VM, and wait until the host tells of it: from outside nothing else shows that it was done."""
        able = able_to(connection, SupportsEvents)
        if not self.tells_reboots:
            pytest.skip(UNTOLD)
        await connection.power(vm.uuid, PowerVerb.START)
        await self.reaches(connection, vm, ACTIVE)
        stream = await able.open_events()
        try:
            await connection.power(vm.uuid, verb)
        except HypervisorError as error:
            if type(error) is not HypervisorError:  # one of its kinds says something else
                raise
            pytest.skip(f"the host refuses: {error}")
        await self.tells(stream, vm, VMChange.REBOOTED)
        await self.reaches(connection, vm, ACTIVE)

    def require_obedience(self) -> None:
        """Skip the test where the guest does nothing that it is asked."""
        if not self.guest_obeys:
            pytest.skip(DEAF)
