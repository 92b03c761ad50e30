"""VMs are shared out over bulk calls so that no reply gets too big."""

import pytest

from virtumancer_libvirt.vms.chunks import chunks_of
from virtumancer_libvirt.vms.definition import Definition, parse_definition

RUNS = "<domain type='qemu' id='3'>{}</domain>"


def fixed(vcpus: int) -> Definition:
    return parse_definition(RUNS.format(f"<vcpu>{vcpus}</vcpu>"))


def test_no_chunk_has_more_than_a_hundred_vms() -> None:
    uuids = [str(number) for number in range(1001)]
    chunks = chunks_of(uuids, dict.fromkeys(uuids, fixed(17)))
    assert [len(chunk.uuids) for chunk in chunks] == [100] * 10 + [1]
    assert sorted(uuid for chunk in chunks for uuid in chunk.uuids) == sorted(uuids)


def test_vcpus_that_cannot_change_are_not_asked_for() -> None:
    [chunk] = chunks_of(["a", "b"], {"a": fixed(17), "b": fixed(3)})
    assert (chunk.counts_vcpus, chunk.vcpus) == (False, {"a": 17, "b": 3})


@pytest.mark.parametrize(
    "document",
    [
        "<domain type='qemu'><vcpu>600</vcpu></domain>",
        RUNS.format("<vcpu current='2'>600</vcpu>"),
        RUNS.format("<vcpu>600</vcpu><vcpus><vcpu id='1' enabled='yes' hotpluggable='yes'/></vcpus>"),
    ],
    ids=["off", "room for more", "removable"],
)
def test_vcpus_that_may_change_are_asked_for_in_replies_of_some_thousands(document: str) -> None:
    uuids = [str(number) for number in range(6)]
    chunks = chunks_of(uuids, dict.fromkeys(uuids, parse_definition(document)))
    assert [(len(chunk.uuids), chunk.counts_vcpus) for chunk in chunks] == [(3, True), (3, True)]


def test_a_vm_of_which_nothing_is_known_counts_for_a_big_one() -> None:
    uuids = [str(number) for number in range(20)]
    assert [len(chunk.uuids) for chunk in chunks_of(uuids, {})] == [8, 8, 4]


def test_one_that_is_too_big_for_any_chunk_has_one_of_its_own() -> None:
    giant = parse_definition("<domain type='qemu'><vcpu>5000</vcpu></domain>")
    assert [chunk.uuids for chunk in chunks_of(["a", "b"], {"a": giant, "b": giant})] == [("a",), ("b",)]
