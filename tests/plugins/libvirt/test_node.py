"""The calls on one virConnect, where hypervisors and daemons differ."""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from virtumancer.errors import AbilityMissing, HostUnreachable, HypervisorError, VMNotFound
from virtumancer_libvirt.binding.api import libvirt, open_raw, start_event_loop, translated
from virtumancer_libvirt.binding.connection import LISTED, VirConnect

UNKNOWN_FLAG = 1 << 20


class Differing:
    """A virConnect of libvirt's test driver whose bulk statistics are another hypervisor's or daemon's."""

    def __init__(self, raw: Any, statistics: Callable[[Any, int], Any]) -> None:
        self.domainListGetStats = lambda domains, _groups, flags: statistics((raw, domains), flags)
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


@pytest.fixture
def raw() -> Iterator[Any]:
    start_event_loop()
    raw = open_raw("test:///default", "kvm1")
    yield raw
    raw.close()


@pytest.fixture
def node() -> Iterator[VirConnect]:
    start_event_loop()
    node = VirConnect("test:///default", "kvm1", keepalive=True)
    yield node
    node.close()


@pytest.fixture
def differing() -> Iterator[Callable[[Callable[[Any, int], Any]], VirConnect]]:
    start_event_loop()
    nodes: list[VirConnect] = []

    def make(statistics: Callable[[Any, int], Any]) -> VirConnect:
        def connect(uri: str, label: str) -> Differing:
            return Differing(open_raw(uri, label), statistics)

        nodes.append(VirConnect("test:///default", "kvm1", keepalive=False, connect=connect))
        return nodes[-1]

    yield make
    for node in nodes:
        node.close()


Differ = Callable[[Callable[[Any, int], Any]], VirConnect]


def test_a_hypervisor_without_keepalive_is_connected_all_the_same(node: VirConnect) -> None:
    node.ping()


def test_a_flag_that_an_old_daemon_refuses_is_left_out_once_and_for_all(differing: Differ) -> None:
    tried: list[int] = []

    def statistics(asked: Any, flags: int) -> object:
        tried.append(flags)
        raw, domains = asked
        return raw.domainListGetStats(domains, LISTED, UNKNOWN_FLAG if flags else 0)

    node = differing(statistics)
    assert len(node.records_of(node.uuids(), LISTED)) == 1
    node.records_of(node.uuids(), LISTED)
    assert [bool(flags) for flags in tried] == [True, False, False]


def test_a_call_that_fails_without_the_flag_too_is_an_error(differing: Differ) -> None:
    node = differing(lambda asked, _flags: asked[0].domainListGetStats(asked[1], LISTED, UNKNOWN_FLAG))
    with pytest.raises(HypervisorError, match=r"kvm1 cannot read its VMs: .*flags"):
        node.records_of(node.uuids(), LISTED)


def test_a_hypervisor_without_bulk_statistics_is_asked_vm_by_vm(differing: Differ) -> None:
    node = differing(lambda asked, _flags: asked[0].getMemoryStats(-1))  # which it does not support
    [record] = node.records_of(node.uuids(), LISTED)
    assert not node.has_bulk_facts
    assert record.values["vcpu.current"] == 2


def test_what_a_hypervisor_cannot_do_is_an_ability_it_lacks(raw: Any) -> None:
    with pytest.raises(AbilityMissing), translated(raw, "kvm1", "tell its memory"):
        raw.getMemoryStats(-1)


def test_a_vm_that_is_not_there(node: VirConnect) -> None:
    with pytest.raises(VMNotFound, match="Host kvm1 cannot describe"):
        node.xml("00000000-0000-0000-0000-000000000000")


def test_a_closed_node_holds_nothing() -> None:
    start_event_loop()
    opened: list[weakref.ref[Any]] = []

    def connect(uri: str, label: str) -> Any:
        raw = open_raw(uri, label)
        opened.append(weakref.ref(raw))
        return raw

    node = VirConnect("test:///default", "kvm1", keepalive=False, connect=connect)
    assert node.uuids()  # whose handles hold the virConnect too
    node.close()
    gc.collect()
    assert [reference() for reference in opened] == [None]


def test_a_daemon_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(HostUnreachable, match="Check that libvirt's daemon runs"):
        VirConnect("qemu+unix:///system?socket=/nowhere", "kvm1", keepalive=False)


def test_libvirt_prints_nothing(node: VirConnect, raw: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert node.find("nobody", as_uuid=False) is None
    with pytest.raises(libvirt.libvirtError):
        raw.lookupByName("nobody")
    assert capfd.readouterr().err == ""
