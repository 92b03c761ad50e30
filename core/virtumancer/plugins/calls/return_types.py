"""What the methods of a host connection have to return, and what each is called towards people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from virtumancer.contracts import (
    VM,
    EventsMissed,
    HostConnection,
    HostDriver,
    ResourceEvent,
    Sample,
    StatsCollector,
    SupportsConsoles,
    SupportsEvents,
    SupportsHostKeyScan,
    SupportsScreenshot,
    VMEvent,
    VMRef,
)
from virtumancer.plugins.calls.annotations import check_of
from virtumancer.plugins.calls.blame import ReturnCheck, Unfit

__all__ = ["CONNECTION", "EVENT", "METHODS", "SAMPLES", "SHOWN_KEYS", "DriverMethod"]

MOST_SAMPLES = 10_000
"""What a collector may return at once, for one host: they are kept until the next ones come."""


class DriverMethod(Struct, frozen=True):
    """A method of `HostConnection`, or of one of its mix-ins: `what` it does, and its answer.

    `asked` names the attribute of the answer that has to be what was asked for.
    """

    what: str
    answer: ReturnCheck | None = None
    asked: str = ""

    def answer_to(self, said: object) -> ReturnCheck | None:
        """Return what has to be answered to this question."""
        answer, asked = self.answer, self.asked
        if answer is None or not asked:
            return answer
        # A UUID may be written in capitals; names that differ so are two names.
        form = str.lower if asked == "uuid" else str
        needed = f"{answer.needed}, of the {asked} asked for,"
        return ReturnCheck(
            answer.method, needed, lambda value: answer.fits(value) and form(getattr(value, asked)) == form(str(said))
        )


def _required(function: Callable[..., Any], further: Callable[[Any], None] | None = None) -> ReturnCheck:
    check = check_of(function, further)
    if check is None:
        raise TypeError(f"{function.__qualname__} promises nothing")
    return check


def _differ(vms: Sequence[VM]) -> None:
    seen: dict[str, VM] = {}
    for index, vm in enumerate(vms):
        if not vm.uuid:
            raise Unfit(f"item {index} ({vm.name!a:.80}), field uuid: it is empty")
        if vm.uuid in seen:
            raise Unfit(
                f"item {index} ({vm.name!a:.80}), field uuid: {seen[vm.uuid].name!a:.80} has {vm.uuid!a:.80} too"
            )
        seen[vm.uuid] = vm


def _named(vm: VMRef) -> None:
    if not vm.uuid:
        raise Unfit(f"{vm.name!a:.80}, field uuid: it is empty")


def _bounded(samples: Sequence[Sample]) -> None:
    if len(samples) > MOST_SAMPLES:
        raise Unfit(f"{len(samples)} samples at once, {MOST_SAMPLES} are the most")


METHODS: Mapping[str, DriverMethod] = {
    "info": DriverMethod("reading host information", check_of(HostConnection.info)),
    "list_vms": DriverMethod("listing VMs", _required(HostConnection.list_vms, _differ)),
    "find_vm": DriverMethod("looking up a VM", _required(HostConnection.find_vm, _named)),
    "find_by_uuid": DriverMethod("looking up a VM", _required(HostConnection.find_by_uuid, _named), "uuid"),
    "find_by_name": DriverMethod("looking up a VM", _required(HostConnection.find_by_name, _named), "name"),
    "hardware": DriverMethod("reading the hardware", check_of(HostConnection.hardware)),
    "sample": DriverMethod("reading statistics", check_of(HostConnection.sample)),
    "power": DriverMethod("changing the power state"),
    "wait_lost": DriverMethod("waiting for the loss of the connection", check_of(HostConnection.wait_lost)),
    "aclose": DriverMethod("closing the connection"),
    "open_events": DriverMethod("registering for events", check_of(SupportsEvents.open_events)),
    "consoles": DriverMethod("reading the consoles", check_of(SupportsConsoles.consoles)),
    "open_console": DriverMethod("connecting to a console", check_of(SupportsConsoles.open_console)),
    "screenshot": DriverMethod("taking a screenshot", check_of(SupportsScreenshot.screenshot)),
}
"""Every method of a connection that the contracts name."""

CONNECTION = _required(HostDriver.connect)
SHOWN_KEYS = _required(SupportsHostKeyScan.scan_host_keys)
SAMPLES = _required(StatsCollector.collect, _bounded)
EVENT = ReturnCheck(
    "__anext__",
    "a VMEvent, ResourceEvent or EventsMissed",
    lambda value: isinstance(value, VMEvent | ResourceEvent | EventsMissed),
)
