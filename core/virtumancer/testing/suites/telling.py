"""The part of the suite for host drivers that is about events, and about what others do to the VMs."""

from virtumancer.contracts import HostConnection, PowerVerb, SupportsEvents, VMChange, VMRef, VMState
from virtumancer.testing.suites.connecting import ACTIVE, OFF, ChangeOutside, Connecting, able_to, given

__all__ = ["Telling"]


class Telling(Connecting):
    """Listens while the driver, or somebody else, changes a VM."""

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

    async def test_events_tell_of_a_suspend_and_a_resume_by_others(
        self, connection: HostConnection, stopped: VMRef, change_outside: ChangeOutside | None
    ) -> None:
        able = able_to(connection, SupportsEvents)
        change = given(change_outside, "change_outside")
        await connection.power(stopped.uuid, PowerVerb.START)
        await self.reaches(connection, stopped, ACTIVE)
        for done in (VMChange.SUSPENDED, VMChange.RESUMED):
            stream = await able.open_events()
            await change(stopped.name, done)
            await self.tells(stream, stopped, done)

    async def test_events_tell_of_a_start_and_a_stop_by_others(
        self, connection: HostConnection, stopped: VMRef, change_outside: ChangeOutside | None
    ) -> None:
        able = able_to(connection, SupportsEvents)
        change = given(change_outside, "change_outside")
        for done in (VMChange.STARTED, VMChange.STOPPED):
            stream = await able.open_events()
            await change(stopped.name, done)
            await self.tells(stream, stopped, done)

    async def test_what_others_do_is_in_the_listing(
        self, connection: HostConnection, stopped: VMRef, change_outside: ChangeOutside | None
    ) -> None:
        change = given(change_outside, "change_outside")
        for done, states in (
            (VMChange.STARTED, ACTIVE - {VMState.PAUSED}),
            (VMChange.SUSPENDED, {VMState.PAUSED}),
            (VMChange.RESUMED, ACTIVE - {VMState.PAUSED}),
            (VMChange.STOPPED, OFF),
        ):
            await change(stopped.name, done)
            await self.reaches(connection, stopped, states)
            assert {vm.uuid: vm.state for vm in await connection.list_vms()}[stopped.uuid] in states
