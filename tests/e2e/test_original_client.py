"""A client as those of the original have been written: from the documented API and its objects, nothing else."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest

from tests.e2e.listener import Listener
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, firmware_guest

pytestmark = pytest.mark.lab

WORDS = {1: "running", 3: "paused", 5: "shut off"}


class OriginalClient:
    """Shows what its page would: it fetches when it is opened and on each refresh, and only then."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._socket = Listener(manager.ws_url)
        self._pool = ThreadPoolExecutor(4)
        self.shown: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        self._socket.__enter__()
        self.fetch()
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.__exit__(None, None, None)
        self._pool.shutdown()

    def fetch(self) -> None:
        """Read all hosts and, of each, the live VMs and the stored ones at the same time."""
        hosts = self._json("/hosts")
        answers = {
            host["id"]: (
                self._pool.submit(self._json, f"/hosts/{host['id']}/vms"),
                self._pool.submit(self._json, f"/hosts/{host['id']}/vms/db"),
            )
            for host in hosts
        }
        self.shown = {host: self._overlaid(live.result(), stored.result()) for host, (live, stored) in answers.items()}

    def show_until(self, right: Callable[["OriginalClient"], bool], timeout: float = 5.0) -> bool:
        """Fetch on each refresh until the page shows what is meant; False when it never does."""
        deadline = time.monotonic() + timeout
        while not right(self):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._socket.take(left) == '{"type": "refresh"}':
                self.fetch()
        return True

    def press(self, host: str, vm: str, action: str) -> int:
        return self._manager.client.post(f"/hosts/{host}/vms/{vm}/{action}").status_code

    def state(self, host: str, vm: str) -> str:
        shown = self.shown[host].get(vm)
        return WORDS[shown["state"]] if shown else "invisible"

    @staticmethod
    def _overlaid(live: list[dict[str, Any]], stored: list[dict[str, Any]]) -> dict[str, Any]:
        """The rows decide what is shown at all, the live VMs what is shown of it."""
        now = {vm["name"]: vm for vm in live}
        return {row["name"]: row | now.get(row["name"], {"state": 5, "graphics": {}}) for row in stored}

    def _json(self, path: str) -> list[dict[str, Any]]:
        answer = self._manager.client.get(path)
        assert answer.status_code == 200, answer.text
        document: list[dict[str, Any]] = answer.json()
        return document


@pytest.fixture
def client(manager: Manager, libvirtd: PrivateLibvirtd, kvm1: str) -> Iterator[OriginalClient]:
    libvirtd.define(firmware_guest("classic", memory_mib=32, networks=["user"]))
    with OriginalClient(manager) as client:
        yield client
    libvirtd.destroy("classic")
    libvirtd.virsh("undefine", "classic")


def shows(state: str) -> Callable[[OriginalClient], bool]:
    return lambda client: client.state("kvm1", "classic") == state


def test_it_shows_each_state_of_a_power_cycle(client: OriginalClient) -> None:
    assert client.show_until(shows("shut off"))
    cycle = {"start": "running", "reboot": "running", "forcereset": "running", "forceoff": "shut off"}
    for action, state in cycle.items():
        assert client.press("kvm1", "classic", action) == 204
        assert client.show_until(shows(state)), f"after {action} it shows {client.state('kvm1', 'classic')}"


def test_it_shows_what_others_do(client: OriginalClient, libvirtd: PrivateLibvirtd) -> None:
    libvirtd.virsh("start", "classic")
    assert client.show_until(shows("running"))
    libvirtd.virsh("suspend", "classic")
    assert client.show_until(shows("paused"))
    libvirtd.virsh("destroy", "classic")
    assert client.show_until(shows("shut off"))


def test_it_shows_a_new_vm_and_forgets_a_removed_one(client: OriginalClient, libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(firmware_guest("novel"))
    assert client.show_until(lambda client: client.state("kvm1", "novel") == "shut off")

    libvirtd.virsh("undefine", "novel")
    assert client.show_until(lambda client: client.state("kvm1", "novel") == "invisible")


def test_it_offers_the_consoles_of_a_running_vm(client: OriginalClient) -> None:
    client.press("kvm1", "classic", "start")
    assert client.show_until(shows("running"))

    assert client.shown["kvm1"]["classic"]["graphics"] == {"vnc": True, "spice": True}


def test_it_shows_a_host_that_another_client_adds(client: OriginalClient, manager: Manager) -> None:
    manager.post("/hosts", {"id": "added-meanwhile", "uri": "test:///default"})
    assert client.show_until(lambda client: "test" in client.shown.get("added-meanwhile", {}))

    manager.delete("/hosts/added-meanwhile")
    assert client.show_until(lambda client: "added-meanwhile" not in client.shown)
