"""The calls on one virConnect, where hypervisors and daemons differ."""

from collections.abc import Iterator

import pytest

from virtumancer.errors import AbilityMissing, HostUnreachable, HypervisorError, VMNotFound
from virtumancer_libvirt.api import libvirt, start_event_loop, translated
from virtumancer_libvirt.node import LISTED, Node

UNKNOWN_FLAG = 1 << 20


@pytest.fixture
def node() -> Iterator[Node]:
    start_event_loop()
    node = Node("test:///default", "kvm1", keepalive=True)
    yield node
    node.close()


def test_a_hypervisor_without_keepalive_is_connected_all_the_same(node: Node) -> None:
    node.ping()


def test_a_flag_that_an_old_daemon_refuses_is_left_out_once_and_for_all(node: Node) -> None:
    tried: list[int] = []

    def call(flags: int) -> object:
        tried.append(flags)
        return node._raw.getAllDomainStats(LISTED, UNKNOWN_FLAG if flags else 0)

    assert len(node._bulk("list its VMs", call) or ()) == 1
    node._bulk("list its VMs", call)
    assert [bool(flags) for flags in tried] == [True, False, False]


def test_a_call_that_fails_without_the_flag_too_is_an_error(node: Node) -> None:
    with pytest.raises(HypervisorError, match=r"kvm1 cannot list its VMs: .*flags"):
        node._bulk("list its VMs", lambda _flags: node._raw.getAllDomainStats(LISTED, UNKNOWN_FLAG))


def test_a_hypervisor_without_bulk_statistics_is_told_apart(node: Node) -> None:
    assert node._bulk("list its VMs", lambda _flags: node._raw.getMemoryStats(-1)) is None


def test_what_a_hypervisor_cannot_do_is_an_ability_it_lacks(node: Node) -> None:
    with pytest.raises(AbilityMissing), translated(node._raw, "kvm1", "tell its memory"):
        node._raw.getMemoryStats(-1)


def test_a_vm_that_is_not_there(node: Node) -> None:
    with pytest.raises(VMNotFound, match="Host kvm1 cannot describe"):
        node.xml("00000000-0000-0000-0000-000000000000")


def test_a_closed_node_can_be_asked_nothing_and_holds_nothing(node: Node) -> None:
    other = Node("test:///default", "kvm1", keepalive=False)
    other.uuids()
    other.close()
    assert (other._raw, other._domains) == (None, {})


def test_a_daemon_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(HostUnreachable, match="Check that libvirt's daemon runs"):
        Node("qemu+unix:///system?socket=/nowhere", "kvm1", keepalive=False)


def test_libvirt_prints_nothing(node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    assert node.find("nobody", as_uuid=False) is None
    with pytest.raises(libvirt.libvirtError):
        node._raw.lookupByName("nobody")
    assert capfd.readouterr().err == ""
