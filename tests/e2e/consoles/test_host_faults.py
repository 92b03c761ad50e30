"""Consoles of a host that hangs, goes away, or is sent away."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.qemu import wait_for_vnc_clients
from tests.e2e.consoles.viewers import RfbViewer
from tests.e2e.hosts import add_host, host_sshd, ssh_uri, wait_for_host
from tests.lab import PrivateLibvirtd, PrivateSshd

pytestmark = pytest.mark.lab

# Two keepalives of a second, and one deadline of a call.
NOTICED = 6.0


@pytest.fixture(scope="module")
def shaky_sshd(libvirtd: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSshd]:
    with host_sshd(tmp_path_factory.mktemp("shaky-consoles"), libvirtd) as sshd:
        yield sshd


@pytest.fixture(scope="module")
def shaky_host(consoles: Consoles, shaky_sshd: PrivateSshd) -> Iterator[Consoles]:
    host = add_host(consoles.manager, "shaky", ssh_uri(shaky_sshd))
    yield Consoles(consoles.manager, host, consoles.origin)
    consoles.manager.delete(host)


@pytest.fixture
def shaky(shaky_host: Consoles, shaky_sshd: PrivateSshd) -> Iterator[Consoles]:
    """The consoles of a host that works, and will again when the test is over."""
    wait_for_host(shaky_host.manager, shaky_host.host, "connected")
    yield shaky_host
    if not shaky_sshd.running:
        shaky_sshd.start()
    shaky_sshd.thaw()


@pytest.mark.parametrize("suffix", ["console", "serial"])
def test_a_viewer_is_told_that_the_host_was_lost_when_it_hangs(
    shaky: Consoles, shaky_sshd: PrivateSshd, firmware: Callable[..., str], suffix: str
) -> None:
    name = firmware(f"frozen-{suffix}")
    with RfbViewer(shaky.url(name, suffix), shaky.origin) as viewer:
        if suffix == "console":
            viewer.begin()
        shaky_sshd.freeze()
        began = time.monotonic()

        code, reason = viewer.farewell()

        assert time.monotonic() - began < NOTICED
        assert code == 4503
        assert "shaky" in reason


def test_the_session_on_a_host_that_hangs_can_be_ended(
    shaky: Consoles, shaky_sshd: PrivateSshd, firmware: Callable[..., str]
) -> None:
    with shaky.vnc(firmware("hung-up-on")) as viewer:
        shaky_sshd.freeze()
        [session] = shaky.sessions("hung-up-on")

        shaky.manager.delete(f"/consoles/{session['id']}")

        assert viewer.farewell(1.5).code == 4430


def test_another_host_s_consoles_do_not_notice_that_a_host_hangs(
    consoles: Consoles, shaky: Consoles, shaky_sshd: PrivateSshd, firmware: Callable[..., str]
) -> None:
    name = firmware("unconcerned")
    with shaky.vnc(name), consoles.vnc(name) as viewer:
        shaky_sshd.freeze()
        durations = []
        for _ in range(20):
            began = time.monotonic()
            viewer.request_update()
            viewer.drain(0.05)
            durations.append(time.monotonic() - began)
        with consoles.vnc(name) as another:
            another.request_update()
            assert another.read(1) == b"\x00"

    assert max(durations) < 1


def test_a_viewer_is_told_that_the_host_was_lost_when_its_sshd_ends(
    shaky: Consoles, shaky_sshd: PrivateSshd, firmware: Callable[..., str]
) -> None:
    with shaky.vnc(firmware("cut-off")) as viewer:
        shaky_sshd.kill()

        assert viewer.farewell(NOTICED).code == 4503


def test_a_viewer_is_told_that_the_host_was_disconnected_by_a_user(
    shaky: Consoles, libvirtd: PrivateLibvirtd, firmware: Callable[..., str]
) -> None:
    name = firmware("sent-away")
    with shaky.vnc(name) as viewer:
        assert shaky.manager.post(f"{shaky.host}/disconnect").status_code in (200, 202, 204)

        code, _ = viewer.farewell(3)

    wait_for_vnc_clients(libvirtd, name, 0)
    shaky.manager.post(f"{shaky.host}/connect")
    assert code == 4503


def test_a_console_of_a_host_that_is_away_is_refused_before_the_upgrade(
    shaky: Consoles, shaky_sshd: PrivateSshd, firmware: Callable[..., str]
) -> None:
    name = firmware("out-of-reach")
    shaky_sshd.kill()
    wait_for_host(shaky.manager, shaky.host, "lost")

    status, problem = shaky.refusal(shaky.url(name, "console"))

    assert (status, problem["code"]) == (503, "host-unavailable")


def test_a_console_is_open_again_after_the_host_came_back(
    shaky: Consoles, shaky_sshd: PrivateSshd, firmware: Callable[..., str]
) -> None:
    name = firmware("back-again")
    with shaky.vnc(name):
        shaky_sshd.kill()
        wait_for_host(shaky.manager, shaky.host, "lost")
        shaky_sshd.start()
        wait_for_host(shaky.manager, shaky.host, "connected")

    with shaky.vnc(name) as viewer:
        viewer.request_update()
        assert viewer.read(1) == b"\x00"
