"""XML from a host is read safely, whatever it holds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtumancer.contracts import Graphics
from virtumancer.errors import HypervisorError
from virtumancer_libvirt.binding.domain_xml import parse_xml
from virtumancer_libvirt.vms.definition import Definition, parse_definition
from virtumancer_libvirt.vms.hardware import parse_hardware

BOMB = """<!DOCTYPE domain [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">
<!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;"><!ENTITY f "&e;&e;&e;&e;&e;&e;&e;&e;">]>
<domain><description>&f;</description></domain>"""


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        "<!DOCTYPE domain><domain/>",
        "<!DOCTYPE domain SYSTEM 'http://127.0.0.1:1/x.dtd'><domain/>",
        "<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><domain><name>&x;</name></domain>",
        "<domain>",
        "",
        "<domain>" + "<a>" * 5000 + "</a>" * 5000 + "</domain>",
        "<domain>" + " " * 9_000_000 + "</domain>",
        "<domain a='\ud800'/>",
    ],
    ids=["bomb", "doctype", "dtd", "external entity", "unfinished", "empty", "deep", "big", "surrogate"],
)
def test_a_hostile_document_is_refused(document: str) -> None:
    with pytest.raises(HypervisorError):
        parse_xml(document)


@given(st.text(max_size=200))
def test_whatever_the_text_is_it_is_read_or_refused(document: str) -> None:
    try:
        parse_definition(document)
        parse_hardware(document)
    except HypervisorError:
        pass


def element(tag: str, attributes: dict[str, str], children: list[str]) -> str:
    written = "".join(f" {name}='{value}'" for name, value in attributes.items())
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


NAMES = ["type", "device", "file", "dev", "protocol", "name", "port", "bus", "domain", "function", "socket", "current"]
TAGS = st.sampled_from(["source", "target", "host", "address", "driver", "local", "mac", "model", "disk", "interface"])
VALUES = st.text(st.characters(exclude_characters="<&'", exclude_categories=["Cs", "Cc", "Cn"]), max_size=8)
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), VALUES)
ELEMENTS = st.recursive(
    st.builds(element, TAGS, ATTRIBUTES, st.just([])),
    lambda children: st.builds(element, TAGS, ATTRIBUTES, st.lists(children, max_size=3)),
    max_leaves=8,
)


@given(st.lists(ELEMENTS, max_size=4))
def test_every_leaf_of_any_hardware_is_a_string(devices: list[str]) -> None:
    hardware = parse_hardware(f"<domain><devices>{''.join(devices)}</devices></domain>")
    for disk in hardware.disks:
        assert all(isinstance(leaf, str) for leaf in (disk.type, disk.device, disk.path, *disk.source.values()))
    for nic in hardware.networks:
        assert all(isinstance(leaf, str) for leaf in (nic.type, nic.mac.address, *nic.source.values()))


def test_a_definition_holds_what_the_listing_shows() -> None:
    definition = parse_definition(
        """<domain><description> two
        lines </description><memory unit='GiB'>2</memory><currentMemory>1048576</currentMemory>
        <vcpu current='3'>4</vcpu><cpu><model fallback='allow'>EPYC</model>
        <topology sockets='1' dies='1' cores='2' threads='2'/></cpu>
        <devices><graphics type='vnc' port='-1' autoport='yes'/><graphics type='spice'/></devices></domain>"""
    )
    assert definition == Definition(
        description="two\n        lines",
        graphics=Graphics(vnc=True, spice=True),
        cpu_model="EPYC",
        cpu_topology_json='{"sockets":1,"dies":1,"cores":2,"threads":2}',
        max_mem=2097152,
        memory=1048576,
        vcpu=3,
        max_vcpus=4,
    )


def test_a_passed_through_cpu_is_named_by_its_mode() -> None:
    assert parse_definition("<domain><cpu mode='host-passthrough'/></domain>").cpu_model == "host-passthrough"


def test_a_topology_of_an_old_libvirt_has_one_die() -> None:
    definition = parse_definition("<domain><cpu><topology sockets='1' cores='2' threads='1'/></cpu></domain>")
    assert json.loads(definition.cpu_topology_json) == {"sockets": 1, "dies": 1, "cores": 2, "threads": 1}


def test_other_graphics_are_neither_vnc_nor_spice() -> None:
    assert parse_definition("<domain><devices><graphics type='sdl'/></devices></domain>").graphics == Graphics()
