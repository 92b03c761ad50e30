"""Drivers that break a promise fail the sentence of the suite that they break; one that keeps them all passes it."""

import asyncio
import inspect
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import TypeVar

import pytest
from msgspec import structs

from virtumancer.contracts import (
    VM,
    ConnectContext,
    ConnectSettings,
    ConsoleConnection,
    ConsoleOffer,
    EventsMissed,
    Host,
    HostConnection,
    HostDriver,
    HostInfo,
    HostKeyPolicy,
    PowerVerb,
    VMChange,
    VMEvent,
    VMRef,
    VMState,
    VMStats,
)
from virtumancer.errors import CallTimeout
from virtumancer.testing import FakeHypervisor, stream_pair
from virtumancer.testing.fake import FakeConnection
from virtumancer.testing.suites import HostDriverSuite
from virtumancer.testing.suites.connecting import ChangeOutside, Connecting, Dialogue, OnHost

DEADLINE = 0.3
# Planted drivers are waited for that long; a good one needs none of it.
PATIENCE = 0.5
PAUSED = {VMChange.SUSPENDED: VMState.PAUSED, VMChange.RESUMED: VMState.RUNNING}
T = TypeVar("T")
SENTENCES = {name for name in dir(HostDriverSuite) if name.startswith("test_")}


class Good(FakeConnection):
    """The connection of the kit, with the deadlines that the core has for it otherwise."""

    async def info(self) -> HostInfo:
        return await within_deadline(super().info())

    async def list_vms(self) -> Sequence[VM]:
        return await within_deadline(super().list_vms())


async def within_deadline(call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(DEADLINE):
            return await call
    except TimeoutError:
        raise CallTimeout(f"no answer within {DEADLINE} s") from None


class Idle(Good):
    """Says yes to a verb and does nothing."""

    verb: PowerVerb

    async def power(self, uuid: str, verb: PowerVerb) -> None:
        if verb is not self.verb or self._vm(uuid).state is VMState.SHUTOFF:
            await super().power(uuid, verb)


class NoShutdown(Idle):
    verb = PowerVerb.SHUTDOWN


class NoReboot(Idle):
    verb = PowerVerb.REBOOT


class NoReset(Idle):
    verb = PowerVerb.FORCE_RESET


class Rebuffed(Good):
    """Restarts what is off without a word."""

    async def power(self, uuid: str, verb: PowerVerb) -> None:
        if self._vm(uuid).state is VMState.SHUTOFF and verb is PowerVerb.REBOOT:
            return
        await super().power(uuid, verb)


class Mute(Good):
    """Opens consoles that carry nothing."""

    async def open_console(self, uuid: str, kind: str) -> ConsoleConnection:
        await super().open_console(uuid, kind)
        return ConsoleConnection(stream_pair()[0])


class Deaf(Good):
    """Never learns that the connection is lost."""

    async def wait_lost(self) -> str:
        await asyncio.Event().wait()
        return ""


class Forgetful(Good):
    """Leaves its listeners waiting when the connection is lost."""

    def lose(self, reason: str) -> None:
        streams, self._streams = self._streams, []
        super().lose(reason)
        self._streams = streams


class Bytes(Good):
    """Takes bytes for KiB."""

    async def list_vms(self) -> Sequence[VM]:
        return [multiplied(vm, 1024) for vm in await super().list_vms()]


class Mebibytes(Good):
    """Takes MiB for KiB, everywhere."""

    async def list_vms(self) -> Sequence[VM]:
        return [multiplied(vm, 1 / 1024) for vm in await super().list_vms()]

    async def sample(self, uuids: Sequence[str]) -> Mapping[str, VMStats]:
        found = await super().sample(uuids)
        return {uuid: structs.replace(stats, max_mem=stats.max_mem // 1024) for uuid, stats in found.items()}


class Doubled(Good):
    """Tells of twice the memory: too little for a glance to see."""

    async def list_vms(self) -> Sequence[VM]:
        return [multiplied(vm, 2) for vm in await super().list_vms()]


class Sleepless(Good):
    """Tells of no suspend."""

    def deliver(self, event: VMEvent | EventsMissed) -> None:
        if not isinstance(event, VMEvent) or event.change not in PAUSED:
            super().deliver(event)


class Hasty(Good):
    """Looks once, and never again."""

    seen: Sequence[VM] = ()

    async def list_vms(self) -> Sequence[VM]:
        self.seen = self.seen or await super().list_vms()
        return self.seen


class Endless(Good):
    """Has no deadlines."""

    async def info(self) -> HostInfo:
        return await FakeConnection.info(self)


class Lingering(Good):
    """Cannot let go of a host that hangs."""

    async def aclose(self) -> None:
        await FakeConnection.info(self)
        await super().aclose()


class Half(Good):
    """Hands on names that are no text."""

    async def info(self) -> HostInfo:
        return structs.replace(await super().info(), hostname="kvm\udcff")


def multiplied(vm: VM, factor: float) -> VM:
    memory = int(vm.max_mem * factor)
    return structs.replace(vm, max_mem=memory, memory_bytes=memory * 1024)


PLANTED: list[tuple[type[FakeConnection], str]] = [
    (NoShutdown, "test_shutting_down_ends_in_off"),
    (NoReboot, "test_a_reboot_is_told_and_leaves_the_vm_running"),
    (NoReset, "test_a_reset_is_told_and_leaves_the_vm_running"),
    (Rebuffed, "test_restarting_and_stopping_a_stopped_vm_is_wrong_power_state"),
    (Mute, "test_consoles_carry_bytes"),
    (Deaf, "test_a_lost_connection_is_told_with_a_reason"),
    (Forgetful, "test_a_lost_connection_ends_its_events"),
    (Bytes, "test_the_memory_of_a_vm_fits_its_host"),
    (Mebibytes, "test_the_memory_of_a_vm_fits_its_host"),
    (Doubled, "test_sample_and_listing_tell_the_same_memory"),
    (Doubled, "test_the_memory_of_a_vm_is_what_the_hypervisor_was_told"),
    (Sleepless, "test_events_tell_of_a_suspend_and_a_resume_by_others"),
    (Hasty, "test_what_others_do_is_in_the_listing"),
    (Endless, "test_a_call_to_a_host_that_hangs_ends_within_its_deadline"),
    (Lingering, "test_closing_ends_while_the_host_hangs"),
    (Half, "test_answers_have_the_types_of_the_contract"),
]


class PlantedDriver(HostDriver):
    schemes = frozenset({"planted"})
    made: type[FakeConnection]
    hypervisor: FakeHypervisor

    async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
        return self.made(self.hypervisor)


class OnFake(Connecting):
    """A hypervisor in memory, and what its author can do to it."""

    @pytest.fixture
    def hypervisor(self) -> FakeHypervisor:
        hypervisor = FakeHypervisor("kvm1")
        hypervisor.echo = True
        for vm in (hypervisor.define("web01", VMState.RUNNING, memory=2**18), hypervisor.define("db01", memory=2**18)):
            hypervisor.consoles[vm.uuid] = (ConsoleOffer("serial", available=True),)
        return hypervisor

    @pytest.fixture
    def uri(self) -> str:
        return "planted://kvm1"

    @pytest.fixture
    def context(self) -> ConnectContext:
        settings = ConnectSettings(call_timeout=DEADLINE, slow_call_timeout=DEADLINE)
        return ConnectContext(settings, HostKeyPolicy())

    @pytest.fixture
    def running_vm(self) -> str:
        return "web01"

    @pytest.fixture
    def stopped_vm(self) -> str:
        return "db01"

    @pytest.fixture
    def vm_memory(self) -> int:
        return 2**28

    @pytest.fixture
    def console_dialogues(self) -> Mapping[str, Dialogue]:
        return {"serial": ((b"root\n", b"root\n"),)}

    @pytest.fixture
    def change_outside(self, hypervisor: FakeHypervisor) -> ChangeOutside:
        states = PAUSED | {VMChange.STARTED: VMState.RUNNING, VMChange.STOPPED: VMState.SHUTOFF}

        async def change(name: str, done: VMChange) -> None:
            [vm] = [vm for vm in hypervisor.vms.values() if vm.name == name]
            state = states[done]
            hypervisor.change(vm.uuid, done, state=state, id=0 if state is VMState.SHUTOFF else 7)

        return change

    @pytest.fixture
    def break_host(self, hypervisor: FakeHypervisor) -> OnHost:
        async def cut() -> None:
            hypervisor.drop()

        return cut

    @pytest.fixture
    def hang_host(self, hypervisor: FakeHypervisor) -> Iterator[OnHost]:
        hanging: list[str] = []

        async def hang() -> None:
            for call in ("info", "list_vms"):
                hypervisor.faults.hang(call)
                hanging.append(call)

        yield hang
        for call in hanging:
            hypervisor.faults.release(call)


class TestGoodDriver(OnFake, HostDriverSuite):
    """Passes all of the suite, with every fixture that there is."""

    longest_block = 1.0  # on a machine that is shared with other work

    @pytest.fixture
    def driver(self, hypervisor: FakeHypervisor) -> HostDriver:
        driver = PlantedDriver()
        driver.made, driver.hypervisor = Good, hypervisor
        return driver


class TestPlantedDrivers(OnFake):
    @pytest.fixture
    def driver(self, hypervisor: FakeHypervisor, planted: type[FakeConnection]) -> HostDriver:
        driver = PlantedDriver()
        driver.made, driver.hypervisor = planted, hypervisor
        return driver

    @pytest.mark.parametrize(("planted", "sentence"), PLANTED)
    async def test_what_is_planted_fails_the_sentence_that_it_breaks(
        self,
        sentence: str,
        hypervisor: FakeHypervisor,
        connection: HostConnection,
        context: ConnectContext,
        vm_memory: int,
        console_dialogues: Mapping[str, Dialogue],
        change_outside: ChangeOutside,
        break_host: OnHost,
        hang_host: OnHost,
    ) -> None:
        suite = HostDriverSuite()
        suite.patience = suite.grace = suite.closing = PATIENCE
        running, stopped = (VMRef(vm.uuid, vm.name, vm.state) for vm in hypervisor.vms.values())
        there = {**locals(), "some_vm": running, "stopped": stopped}
        test = getattr(suite, sentence)

        with pytest.raises((AssertionError, pytest.fail.Exception, TimeoutError, UnicodeEncodeError)):
            await test(**{name: there[name] for name in inspect.signature(test).parameters})


def test_what_is_planted_is_a_sentence_of_the_suite() -> None:
    assert {sentence for _, sentence in PLANTED} <= SENTENCES
