"""Where a display is dialled, and why some cannot be."""

import asyncio

import pytest

from virtumancer.errors import HypervisorError
from virtumancer_libvirt.consoles.dialer import ConsoleDialer, Target, reach_of
from virtumancer_libvirt.consoles.graphics import Display
from virtumancer_libvirt.uri.uri import parse


def reach(uri: str) -> ConsoleDialer:
    return reach_of(parse(uri), None, 1.0)


def vnc(address: str = "", port: int = 5900, socket: str = "") -> Display:
    return Display("vnc", 0, socket=socket, address=address, port=port)


@pytest.mark.parametrize(
    ("uri", "address", "target"),
    [
        ("xen:///system", "0.0.0.0", "127.0.0.1"),
        ("xen:///system", "::", "::1"),
        ("xen:///system", "10.0.0.1", "10.0.0.1"),
        ("qemu+tcp://kvm1/system", "0.0.0.0", "kvm1"),
        ("qemu+tls://kvm1/system", "::", "kvm1"),
        ("qemu+tcp://kvm1/system", "10.0.0.1", "10.0.0.1"),
        ("qemu+tcp://127.0.0.1/system", "0.0.0.0", "127.0.0.1"),
        ("qemu+tcp://localhost/system", "127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_display_is_dialled_where_it_is_seen_from_here(uri: str, address: str, target: Target) -> None:
    assert reach(uri).why_not(vnc(address)) == ""
    assert reach(uri).target(vnc(address)) == (target, 5900)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.0.1.1", "localhost", ""])
def test_the_loopback_of_another_host_is_out_of_reach_and_the_cure_is_ssh(address: str) -> None:
    assert "qemu+ssh" in reach("qemu+tcp://kvm1/system").why_not(vnc(address))


def test_the_unix_socket_of_another_host_is_out_of_reach() -> None:
    assert "/run/vnc" in reach("qemu+tcp://kvm1/system").why_not(vnc(port=0, socket="/run/vnc"))


def test_qemu_on_this_machine_hands_out_a_socket_when_it_listens_nowhere() -> None:
    assert reach("qemu:///system").why_not(vnc(port=0)) == ""


@pytest.mark.parametrize("uri", ["xen:///system", "qemu+tcp://kvm1/system", "qemu+tcp://127.0.0.1/system"])
def test_what_listens_nowhere_is_out_of_reach(uri: str) -> None:
    assert "nowhere" in reach(uri).why_not(vnc(port=0))


def test_a_certificate_is_checked_where_anybody_might_answer() -> None:
    assert reach("qemu+tls://kvm1/system").tls_name() == "kvm1"
    assert reach("qemu:///system").tls_name() is None


def test_the_ports_of_a_pretended_hypervisor_are_never_dialled() -> None:
    assert reach("test:///default").why_not(vnc("127.0.0.1"))
    assert reach("test:///default").why_no_serial()


def test_serial_consoles_do_not_travel_over_tls() -> None:
    assert "qemu+ssh" in reach("qemu+tls://kvm1/system").why_no_serial()
    assert reach("qemu+tcp://kvm1/system").why_no_serial() == ""


@pytest.mark.parametrize("address", ["169.254.169.254", "10.9.8.7", "printer.lan", "::ffff:10.9.8.7"])
async def test_a_display_that_is_said_to_be_elsewhere_is_not_dialled(address: str) -> None:
    with pytest.raises(HypervisorError, match=r"no address of the host"):
        await reach("qemu+tcp://127.0.0.1/system").dial((address, 5900))


async def test_a_display_at_an_address_of_its_host_is_dialled() -> None:
    taken = asyncio.Event()

    def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        taken.set()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server, asyncio.timeout(5):
        stream = await reach("qemu+tcp://localhost/system").dial(("127.0.0.1", server.sockets[0].getsockname()[1]))
        await taken.wait()
        await stream.close()
