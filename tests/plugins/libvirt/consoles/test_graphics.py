"""What the XML of a VM says about its consoles."""

import pytest

from virtumancer_libvirt.consoles.graphics import Display, parse_consoles, password_in


def displays(graphics: str) -> dict[str, Display]:
    return dict(parse_consoles(f"<domain id='7'><name>web</name><devices>{graphics}</devices></domain>").displays)


def test_a_vm_that_runs_is_told_apart_by_its_id() -> None:
    assert parse_consoles("<domain id='7'/>").run == 7
    assert parse_consoles("<domain/>").run is None


def test_an_address_with_a_port() -> None:
    found = displays("<graphics type='vnc' port='5901'><listen type='address' address='10.0.0.1'/></graphics>")["vnc"]
    assert (found.address, found.port, found.tls_port, found.needs_tls) == ("10.0.0.1", 5901, 0, False)


def test_a_port_that_is_not_given_yet_is_none() -> None:
    assert not displays("<graphics type='vnc' port='-1' autoport='yes'/>")["vnc"].listens


@pytest.mark.parametrize(
    "graphics",
    [
        "<graphics type='vnc' socket='/run/vnc'/>",
        "<graphics type='vnc'><listen type='socket' socket='/run/vnc'/></graphics>",
        "<graphics type='vnc' port='5900'><listen type='socket' socket='/run/vnc'/></graphics>",
    ],
)
def test_a_unix_socket_is_found_in_every_spelling(graphics: str) -> None:
    assert (displays(graphics)["vnc"].socket, displays(graphics)["vnc"].port) == ("/run/vnc", 0)


def test_a_display_that_listens_nowhere_is_there_all_the_same() -> None:
    assert not displays("<graphics type='spice'><listen type='none'/></graphics>")["spice"].listens


def test_the_address_of_a_network_is_the_one_that_libvirt_found() -> None:
    graphics = "<graphics type='vnc' port='5900'><listen type='network' network='x' address='192.168.1.1'/></graphics>"
    assert displays(graphics)["vnc"].address == "192.168.1.1"


@pytest.mark.parametrize(
    ("attributes", "channels", "needed"),
    [
        ("port='5900'", "", False),
        ("port='5900' tlsPort='5901'", "", False),
        ("tlsPort='5901'", "", True),
        ("port='5900' tlsPort='5901' defaultMode='secure'", "", True),
        ("port='5900' tlsPort='5901'", "<channel name='inputs' mode='secure'/>", True),
        ("port='5900' defaultMode='secure'", "", False),
    ],
)
def test_the_tls_port_is_taken_when_it_has_to_be(attributes: str, channels: str, needed: bool) -> None:
    found = displays(f"<graphics type='spice' {attributes}>{channels}</graphics>")["spice"]
    assert found.needs_tls is needed


def test_the_index_counts_displays_that_are_no_consoles_of_ours() -> None:
    assert displays("<graphics type='sdl'/><graphics type='spice' port='1'/>")["spice"].index == 1


def test_other_displays_are_no_consoles() -> None:
    assert displays("<graphics type='sdl'/><graphics type='egl-headless'/><graphics type='rdp' port='3389'/>") == {}


def test_the_first_console_is_the_one_that_libvirt_opens() -> None:
    devices = "<serial type='file'/><console type='pty'/><console type='tcp'/>"
    assert parse_consoles(f"<domain><devices>{devices}</devices></domain>").serial == "pty"


def test_without_a_console_it_is_the_first_serial_port() -> None:
    assert parse_consoles("<domain><devices><serial type='file'/></devices></domain>").serial == "file"


def test_a_password_is_not_kept_and_its_end_is_known() -> None:
    found = displays("<graphics type='vnc' port='1' passwd='s3cret' passwdValidTo='2030-01-01T00:00:00'/>")["vnc"]
    assert found.password_ends == "2030-01-01T00:00:00"
    assert "s3cret" not in repr(found)


def test_the_password_is_that_of_the_kind() -> None:
    document = (
        "<domain><devices><graphics type='vnc' passwd='a'/><graphics type='spice' passwd='b'/></devices></domain>"
    )
    assert (password_in(document, "vnc"), password_in(document, "spice"), password_in(document, "rdp")) == (
        "a",
        "b",
        None,
    )


@pytest.mark.parametrize("port", ["", "x", "99999999999", "٣"])
def test_nonsense_in_place_of_a_port_is_no_port(port: str) -> None:
    assert displays(f"<graphics type='vnc' port='{port}'/>")["vnc"].port == 0
