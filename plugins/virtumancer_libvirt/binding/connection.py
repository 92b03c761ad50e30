"""The calls of libvirt that we make, on one virConnect; they block and give plain data only.

Everything here runs on the one thread that owns the virConnect. libvirt's objects never leave it, because letting go
of the last reference may talk to the host.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct

from virtumancer.contracts import HostInfo, PowerVerb, VMRef, VMState
from virtumancer.errors import HypervisorError, VMNotFound, WrongPowerState
from virtumancer_libvirt.binding.api import libvirt, open_raw, reason_of, translated
from virtumancer_libvirt.binding.door import handed

__all__ = ["ASKED", "LISTED", "SAMPLED", "VCPUS", "Record", "VirConnect", "as_state"]

log = logging.getLogger(__name__)

R = TypeVar("R")

LISTED: int = libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON
VCPUS: int = libvirt.VIR_DOMAIN_STATS_VCPU
"""Tells about each vCPU of a running VM, where all that we want is their number: asked for only where it has to be."""
ASKED: int = (
    libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON | VCPUS | libvirt.VIR_DOMAIN_STATS_BLOCK
)
"""libvirt asks QEMU itself for some of these, and waits for as long as it takes to answer."""
SAMPLED: int = LISTED | libvirt.VIR_DOMAIN_STATS_INTERFACE | libvirt.VIR_DOMAIN_STATS_BLOCK

_NOT_THERE = frozenset(
    {
        libvirt.VIR_ERR_NO_SUPPORT,
        libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        libvirt.VIR_ERR_INVALID_ARG,
    }
)
_STARTING = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP)
_STATES = {state.value: state for state in VMState}


def _reset(domain: Any) -> None:
    domain.reset()
    # One that had crashed and was kept is paused then, and would stay so.
    if tuple(domain.state()) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED):
        domain.resume()


_VERBS: Mapping[PowerVerb, Callable[[Any], object]] = {
    PowerVerb.START: lambda domain: domain.create(),
    PowerVerb.SHUTDOWN: lambda domain: domain.shutdown(),
    PowerVerb.REBOOT: lambda domain: domain.reboot(),
    PowerVerb.FORCE_OFF: lambda domain: domain.destroy(),
    PowerVerb.FORCE_RESET: _reset,
}


_ASKS_GUEST = frozenset({PowerVerb.SHUTDOWN, PowerVerb.REBOOT})
_ANSWERING = frozenset({VMState.NOSTATE, VMState.RUNNING, VMState.BLOCKED})


_UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")


class Record(Struct):
    """What one bulk call told about one VM; `id` is -1 when it is not active, `values` are libvirt's own names.

    `unanswered` says that the VM itself could not be asked, because a call to it hangs or works.
    """

    uuid: str
    name: str
    id: int
    values: dict[str, Any]
    unanswered: bool = False

    @property
    def active(self) -> bool:
        """Whether the VM runs, or has stopped in a way that leaves it its counters."""
        return self.id >= 0


def as_state(number: int) -> VMState:
    """Turn libvirt's number into ours; a state newer than us counts as none."""
    return _STATES.get(number, VMState.NOSTATE)


def _is_name(name: str) -> bool:
    """Say whether libvirt's C functions can take this at all."""
    return bool(name) and "\0" not in name and not re.search("[\ud800-\udfff]", name)


class VirConnect:
    """One virConnect of one host.

    `has_bulk_facts` says whether the hypervisor's bulk statistics hold more than the state, as known so far,
    `asks_qemu` whether it is QEMU that libvirt asks for them. `connect` makes the virConnect of the URI; the label is
    for its errors.
    """

    def __init__(self, uri: str, label: str, *, keepalive: bool, connect: Callable[[str, str], Any] = open_raw) -> None:
        self.has_bulk_facts = True
        self.asks_qemu = uri.startswith("qemu")
        self._label = label
        self._raw: Any = connect(uri, label)
        # A handle saves the look-up, which is a round trip; it stays good as long as a VM has this UUID.
        self._domains: dict[str, Any] = {}
        self._callbacks: list[int] = []
        self._closing_told = False
        self._flags: int = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        if keepalive:
            self._tolerating("keep the connection alive", lambda: self._raw.setKeepAlive(5, 3))

    def host_info(self) -> HostInfo:
        """Describe the host."""
        with self._translated("describe itself"):
            _model, mebibytes, cpus, _mhz, _nodes, _sockets, cores, threads = self._raw.getInfo()
            hostname = self._raw.getHostname()
        total = self._tolerating("tell its memory in KiB", lambda: self._raw.getMemoryStats(-1)["total"])
        return HostInfo(hostname=hostname, cpu=cpus, memory=total or mebibytes * 1024, cores=cores, threads=threads)

    def ping(self) -> None:
        """Make the cheapest round trip there is."""
        with self._translated("answer"):
            self._raw.getLibVersion()

    def uuids(self) -> list[str]:
        """Name all VMs in one call."""
        with self._translated("list its VMs"):
            self._domains = {domain.UUIDString(): domain for domain in self._raw.listAllDomains(0)}
        return list(self._domains)

    def records_of(self, uuids: Sequence[str], groups: int) -> list[Record]:
        """Read these groups of statistics in one call; a VM that is gone is left out.

        So few at once that the reply stays far below the limit of libvirt's protocol, which ends the connection.
        """
        handles = self._handles(uuids)
        pairs: list[tuple[Any, dict[str, Any]]] | None = None
        if handles:
            pairs = self._bulk("read its VMs", lambda flags: self._raw.domainListGetStats(handles, groups, flags))
        records = self._records([(handle, {}) for handle in handles] if pairs is None else pairs)
        return self._completed(records) if groups & libvirt.VIR_DOMAIN_STATS_BALLOON else records

    def unanswered(self, record: Record) -> bool:
        """Say whether QEMU was not asked for what a bulk call with memory and CPU asks every running one for."""
        return self.has_bulk_facts and record.active and "balloon.rss" not in record.values

    def marked(self) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        """Return the UUIDs of VMs without a stored definition, that start with the host, and with saved memory."""
        kinds = (
            libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT,
            libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART,
            libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE,
        )
        transient, autostart, saved = (self._uuids(kind) for kind in kinds)
        return transient, autostart, saved

    def find(self, name_or_uuid: str, *, as_uuid: bool) -> VMRef | None:
        """Look one VM up by name, or by UUID; what can be neither is nowhere."""
        if not (_UUID.fullmatch(name_or_uuid) if as_uuid else _is_name(name_or_uuid)):
            return None
        with self._translated(f"look up VM {name_or_uuid}"):
            try:
                lookup = self._raw.lookupByUUIDString if as_uuid else self._raw.lookupByName
                domain = lookup(name_or_uuid)
                state, reason = domain.state()
                starting = (state, reason) == _STARTING
                return VMRef(domain.UUIDString(), domain.name(), as_state(state), domain.ID() >= 0 and not starting)
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise

    def run_of(self, uuid: str) -> int | None:
        """Return the number that the present run of a VM has, None when it is not active; no other run has it.

        libvirt answers at once, also while somebody waits for the VM.
        """
        with self._translated(f"look up VM {uuid}"):
            number: int = self._raw.lookupByUUIDString(uuid).ID()  # a handle keeps the number of its own look-up
        return number if number >= 0 else None

    def xml(self, uuid: str, flags: int = 0) -> str:
        """Return the live XML of an active VM, the stored one of another.

        libvirt 11 waits, for half a minute, until nobody else has something to do with the VM: not on a connection that
        others need.
        """
        return self.on_domain(uuid, f"describe VM {self.named(uuid)}", lambda domain: str(domain.XMLDesc(flags)))

    def named(self, uuid: str) -> str:
        """Return the name of a VM as last listed, its UUID when it was not."""
        domain = self._domains.get(uuid)
        return uuid if domain is None else str(domain.name())

    def on_domain(self, uuid: str, doing: str, call: Callable[[Any], R]) -> R:
        """Make a call on a VM's domain object; it must give plain data."""
        with self._translated(doing):
            return call(self._domain(uuid))

    def lend_domain(self, uuid: str, doing: str, function: Callable[[Any], R]) -> R:
        """Run a function of somebody else with a VM's domain object."""
        with self._translated(doing):
            return handed(function, self._domain(uuid))

    def lend(self, doing: str, function: Callable[[Any], R]) -> R:
        """Run a function of somebody else with the virConnect."""
        with self._translated(doing):
            return handed(function, self._raw)

    def xmls(self, uuids: Sequence[str]) -> Iterator[str | None]:
        """Yield the XML of many VMs at one round trip each, None for one that the host has no more.

        What cannot be read is empty.
        """
        self._handles(uuids)
        for uuid in uuids:
            document: str | None = None
            try:
                document = self.xml(uuid)
            except VMNotFound:
                log.debug("VM %s went while host %s was looked at", uuid, self._label)
            except HypervisorError as error:  # as an XML over the 4 MiB of libvirt's protocol, which hides no other VM
                log.warning("VM %s of host %s has no XML for us: %s", uuid, self._label, error)
                document = ""
            # Behind the errors: what they remember of libvirt's objects dies here, on the thread of the connection.
            yield document

    def device_bytes(self, uuid: str, device: str, *, nic: bool) -> tuple[int, int] | None:
        """Read what one device read and wrote, where the hypervisor has only that; None when it cannot tell."""
        try:
            domain = self._domain(uuid)
            if nic:
                rx, _packets, _errors, _drops, tx, *_rest = domain.interfaceStats(device)
                return int(rx), int(tx)
            _requests, read, _writes, written, _errors = domain.blockStats(device)
            return int(read), int(written)
        except libvirt.libvirtError as error:
            log.debug("host %s has no counters for %s of VM %s: %s", self._label, device, uuid, error)
            return None

    def power(self, uuid: str, verb: PowerVerb) -> None:
        """Change the power state of a VM."""
        with self._translated(f"{verb} VM {uuid}"):
            domain = self._domain(uuid)
        with self._translated(f"{verb} VM {domain.name()}"):
            try:
                _VERBS[verb](domain)
            except libvirt.libvirtError as error:
                is_invalid = error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID
                # Hypervisors call a wrong state an internal error, and other things a wrong state: look instead.
                if self._raw.isAlive():
                    state = as_state(domain.state()[0])
                    deaf = is_invalid and verb in _ASKS_GUEST and state not in _ANSWERING
                    if deaf or bool(domain.isActive()) == (verb is PowerVerb.START):
                        message = f"VM {domain.name()} on host {self._label} is {state.name.lower()}"
                        raise WrongPowerState(f"{message}: {reason_of(error)}.", state=int(state)) from error
                if is_invalid:
                    message = f"Host {self._label} cannot {verb} VM {domain.name()}: {reason_of(error)}."
                    raise HypervisorError(message) from error
                raise

    def listen(self, kinds: Iterable[int], on_event: Callable[[int, str, str, tuple[Any, ...]], None]) -> bool:
        """Register for these events of all VMs; say whether the hypervisor has the first, which matters most.

        `on_event` gets kind, UUID, name and what libvirt adds, on libvirt's event thread: it must not block.
        """
        heard = [self._register(kind, on_event) for kind in kinds]
        return heard[0]

    def on_close(self, closed: Callable[[int], None]) -> None:
        """Call `closed` with libvirt's reason, on its event thread, when the connection ends by itself."""

        def forward(_connection: Any, reason: int, _opaque: Any) -> None:
            closed(reason)

        told = self._tolerating("tell when it closes", lambda: self._raw.registerCloseCallback(forward, None))
        self._closing_told = told is not None

    def close(self) -> None:
        """Let go of everything; a connection that broke cannot be told, but its callbacks are freed all the same."""
        raw, callbacks = self._raw, self._callbacks
        self._callbacks = []
        steps = [raw.unregisterCloseCallback] if self._closing_told else []
        steps += [partial(raw.domainEventDeregisterAny, callback) for callback in callbacks]
        self._domains = {}
        for step in [*steps, raw.close]:
            try:
                step()
            except libvirt.libvirtError as error:
                log.debug("host %s cannot be told that we leave: %s", self._label, error)
        self._raw = None

    def _register(self, kind: int, on_event: Callable[[int, str, str, tuple[Any, ...]], None]) -> bool:
        def forward(_connection: Any, domain: Any, *rest: Any) -> None:
            on_event(kind, domain.UUIDString(), domain.name(), rest[:-1])

        callback = self._tolerating(
            f"tell events of kind {kind}", lambda: self._raw.domainEventRegisterAny(None, kind, forward, None)
        )
        if callback is not None:
            self._callbacks.append(callback)
        return callback is not None

    def _translated(self, doing: str) -> AbstractContextManager[None]:
        return translated(self._raw, self._label, doing)

    def _tolerating(self, doing: str, call: Callable[[], Any]) -> Any:
        """Do what some hypervisors cannot do and we can do without; None when this one cannot."""
        with self._translated(doing):
            try:
                return call()
            except libvirt.libvirtError as error:
                if error.get_error_code() not in _NOT_THERE:
                    raise
                log.debug("host %s cannot %s: %s", self._label, doing, error)
                return None

    def _bulk(self, doing: str, call: Callable[[int], Any]) -> list[tuple[Any, dict[str, Any]]] | None:
        """Call without waiting for busy VMs where the daemon knows that; None when it has no bulk statistics."""
        with self._translated(doing):
            try:
                pairs: list[tuple[Any, dict[str, Any]]] = call(self._flags)
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
                    return None
                if error.get_error_code() != libvirt.VIR_ERR_INVALID_ARG or not self._flags:
                    raise
                self._flags = 0  # a daemon before 4.5 refuses the flag; asked once, remembered
                pairs = call(0)
            return pairs

    def _records(self, pairs: Iterable[tuple[Any, dict[str, Any]]]) -> list[Record]:
        with self._translated("name its VMs"):
            return [Record(domain.UUIDString(), domain.name(), domain.ID(), values) for domain, values in pairs]

    def _completed(self, records: list[Record]) -> list[Record]:
        """Ask VM by VM where the hypervisor's bulk statistics never hold memory and CPU."""
        if records:
            self.has_bulk_facts = any("balloon.maximum" in record.values for record in records)
        if self.has_bulk_facts:
            return records
        with self._translated("describe its VMs"):
            return [record for record in records if self._complete(record)]

    def _complete(self, record: Record) -> bool:
        try:
            state, maximum, memory, vcpus, cpu_time = self._domain(record.uuid).info()
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return False  # it went between the two calls
            raise
        facts = {"balloon.maximum": maximum, "balloon.current": memory, "vcpu.current": vcpus, "cpu.time": cpu_time}
        record.values = {"state.state": state, **record.values, **facts}
        return True

    def _uuids(self, flags: int) -> frozenset[str]:
        domains = self._tolerating("filter its VMs", lambda: self._raw.listAllDomains(flags))
        return frozenset(domain.UUIDString() for domain in domains or ())

    def _handles(self, uuids: Sequence[str]) -> list[Any]:
        if not self._domains.keys() >= set(uuids):
            self.uuids()
        return [self._domains[uuid] for uuid in uuids if uuid in self._domains]

    def _domain(self, uuid: str) -> Any:
        domain = self._domains.get(uuid)
        if domain is None and not _UUID.fullmatch(uuid):
            raise VMNotFound(f"Host {self._label} has no VM {uuid!r}, which is not a UUID.")
        return self._raw.lookupByUUIDString(uuid) if domain is None else domain
