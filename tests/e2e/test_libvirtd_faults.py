"""What happens when libvirt's daemon breaks behind an SSH connection that is well."""

import time
from collections.abc import Iterator

import pytest

from tests.e2e.hosts import add_host, detail, host_sshd, ssh_uri, vms, wait_for_host
from tests.e2e.listener import Listener
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, firmware_guest, plain_definition, wait_until

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    """A libvirtd that nobody else needs, with one VM that runs."""
    with PrivateLibvirtd(tmp_path_factory.mktemp("broken")) as libvirtd:
        libvirtd.define(firmware_guest("goes-on"))
        libvirtd.virsh("start", "goes-on")
        yield libvirtd


@pytest.fixture(scope="module")
def broken_host(impatient: Manager, broken: PrivateLibvirtd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with host_sshd(tmp_path_factory.mktemp("broken-sshd"), broken) as sshd:
        yield add_host(impatient, "broken", ssh_uri(sshd))
        impatient.delete("/hosts/broken")


@pytest.fixture
def host(impatient: Manager, broken_host: str) -> str:
    """The path of the host, which works."""
    wait_for_host(impatient, broken_host, "connected")
    return broken_host


def test_a_restart_of_libvirtd_loses_the_host_for_a_moment_only(
    impatient: Manager, broken: PrivateLibvirtd, host: str
) -> None:
    before, guest = detail(impatient, host), broken.guest_pid("goes-on")

    broken.restart()

    wait_for_host(impatient, host, "connected", after=before["since"])
    assert vms(impatient, host)["goes-on"]["state"] == 1
    assert broken.guest_pid("goes-on") == guest


def test_a_restart_of_libvirtd_leaves_the_uptime_of_its_guests(
    impatient: Manager, broken: PrivateLibvirtd, host: str
) -> None:
    before = detail(impatient, host)["since"]
    uptime = vms(impatient, host)["goes-on"]["uptime"]

    broken.restart()

    wait_for_host(impatient, host, "connected", after=before)
    assert vms(impatient, host)["goes-on"]["uptime"] >= uptime > 0


def test_changes_are_told_again_after_a_restart_of_libvirtd(
    impatient: Manager, broken: PrivateLibvirtd, host: str
) -> None:
    before = detail(impatient, host)["since"]
    broken.restart()
    wait_for_host(impatient, host, "connected", after=before)

    with Listener(impatient.ws_url) as listener:
        listener.wait_for_silence()
        broken.define(plain_definition("told-again"))
        message = listener.wait_for("vms-changed")

    assert message["payload"] == {"hostId": "broken"}
    assert "told-again" in vms(impatient, host)


def test_a_killed_libvirtd_is_told_apart_from_a_host_that_is_gone(
    impatient: Manager, broken: PrivateLibvirtd, host: str
) -> None:
    broken.kill()
    wait_for_host(impatient, host, "lost")
    time.sleep(0.7)  # until an attempt has failed
    refusal = impatient.get(f"{host}/vms")
    broken.start()

    wait_for_host(impatient, host, "connected")
    assert refusal.status_code == 503
    assert "libvirt" in refusal.json()["detail"]


def test_a_call_to_a_frozen_libvirtd_is_answered_within_its_deadline(
    impatient: Manager, broken: PrivateLibvirtd, host: str
) -> None:
    broken.freeze()
    began = time.monotonic()

    answer = impatient.get(f"{host}/info")

    duration = time.monotonic() - began
    broken.thaw()
    wait_for_host(impatient, host, "connected")
    assert answer.status_code in (503, 504)
    assert duration < 4


def test_a_frozen_libvirtd_is_noticed_and_comes_back(impatient: Manager, broken: PrivateLibvirtd, host: str) -> None:
    broken.freeze()
    # The first answer may be that of a look which had all it needs when the daemon froze.
    wait_until(lambda: impatient.get(f"{host}/vms").status_code != 200, "a look fails", 15)
    lost = wait_for_host(impatient, host, "lost")

    broken.thaw()

    wait_for_host(impatient, host, "connected")
    assert lost["reason"]
    assert vms(impatient, host)["goes-on"]["state"] == 1


def test_a_power_action_on_a_frozen_libvirtd_is_answered_too(
    impatient: Manager, broken: PrivateLibvirtd, host: str
) -> None:
    broken.freeze()
    began = time.monotonic()

    answer = impatient.post(f"{host}/vms/goes-on/reboot")

    duration = time.monotonic() - began
    broken.thaw()
    wait_for_host(impatient, host, "connected")
    assert answer.status_code in (503, 504)
    assert duration < 8
