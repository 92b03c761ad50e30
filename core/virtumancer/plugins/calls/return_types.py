"""What the methods of a host connection have to return, and what each is called towards people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from virtumancer.contracts import (
    VM,
    ConsoleConnection,
    ConsoleOffer,
    EventsMissed,
    EventStream,
    HardwareInfo,
    HostConnection,
    HostInfo,
    Screenshot,
    ShownHostKey,
    VMEvent,
    VMRef,
    VMState,
    VMStats,
)
from virtumancer.plugins.calls.blame import ReturnCheck

__all__ = ["CONNECTION", "EVENT", "METHODS", "SHOWN_KEYS", "DriverMethod", "is_sequence_of"]


class DriverMethod(Struct, frozen=True):
    """A method of `HostConnection`, or of one of its abilities: `what` it does, and its answer.

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


def is_sequence_of(kind: type) -> Callable[[Any], bool]:
    """Make a check for a list, or the like, of objects of this class."""
    return lambda value: _is_sequence(value) and all(isinstance(item, kind) for item in value)


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _are_vms(value: Any) -> bool:
    return _is_sequence(value) and all(isinstance(item, VM) and _is_named(item) for item in value)


def _is_ref(value: Any) -> bool:
    return isinstance(value, VMRef) and _is_named(value)


def _is_named(vm: Any) -> bool:
    return isinstance(vm.uuid, str) and isinstance(vm.name, str) and isinstance(vm.state, VMState)


def _are_stats(value: Any) -> bool:
    return _is(Mapping)(value) and all(isinstance(item, VMStats) for item in value.values())


def _is_shot(value: Any) -> bool:
    return isinstance(value, Screenshot) and _is(bytes)(value.png)


def _method(name: str, what: str, needed: str, fits: Callable[[Any], bool], asked: str = "") -> DriverMethod:
    return DriverMethod(what, ReturnCheck(name, needed, fits), asked)


METHODS: Mapping[str, DriverMethod] = {
    "info": _method("info", "reading host information", "a HostInfo", _is(HostInfo)),
    "list_vms": _method("list_vms", "listing VMs", "a list of VM, each with a uuid, a name and a VMState,", _are_vms),
    "find_vm": _method("find_vm", "looking up a VM", "a VMRef with a uuid, a name and a VMState", _is_ref),
    "find_by_uuid": _method("find_by_uuid", "looking up a VM", "a VMRef with a name and a VMState", _is_ref, "uuid"),
    "find_by_name": _method("find_by_name", "looking up a VM", "a VMRef with a uuid and a VMState", _is_ref, "name"),
    "hardware": _method("hardware", "reading the hardware", "a HardwareInfo", _is(HardwareInfo)),
    "sample": _method("sample", "reading statistics", "a dictionary of VMStats by UUID", _are_stats),
    "power": DriverMethod("changing the power state"),
    "wait_lost": _method("wait_lost", "waiting for the loss of the connection", "the reason as a text", _is(str)),
    "aclose": DriverMethod("closing the connection"),
    "open_events": _method("open_events", "registering for events", "an EventStream", _is(EventStream)),
    "consoles": _method("consoles", "reading the consoles", "a list of ConsoleOffer", is_sequence_of(ConsoleOffer)),
    "open_console": _method("open_console", "connecting to a console", "a ConsoleConnection", _is(ConsoleConnection)),
    "screenshot": _method("screenshot", "taking a screenshot", "a Screenshot with its bytes", _is_shot),
}
"""Every method of a connection that the contracts name."""

CONNECTION = ReturnCheck("connect", "a HostConnection", _is(HostConnection))
SHOWN_KEYS = ReturnCheck("scan_host_keys", "a list of ShownHostKey", is_sequence_of(ShownHostKey))
EVENT = ReturnCheck("__anext__", "a VMEvent or EventsMissed", lambda value: isinstance(value, VMEvent | EventsMissed))
