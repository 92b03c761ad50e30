"""Hosts that never answer, beside hosts that do."""

import threading
import time
from collections.abc import Callable

import httpx2
import pytest

from tests.e2e.hosts import IMPATIENT, add_host, ssh_uri, vms, wait_for_host
from tests.e2e.manager import Manager
from tests.lab import PrivateSshd, silent_listener

pytestmark = pytest.mark.lab

DIAL_DEADLINE = 3.0  # as configured


def silent_uri(port: int) -> str:
    return f"qemu+ssh://root@127.0.0.1:{port}/system"


@pytest.mark.parametrize("connects", [False, True], ids=["no connect", "no banner"])
def test_adding_a_silent_host_fails_within_its_deadline(impatient: Manager, connects: bool) -> None:
    with silent_listener(connects=connects) as port:
        began = time.monotonic()
        answer = impatient.post("/hosts", {"id": "silent", "uri": silent_uri(port)})
        duration = time.monotonic() - began

    assert (answer.status_code, answer.json()["code"]) in [(502, "host-unreachable"), (504, "timeout")]
    assert duration < DIAL_DEADLINE + 2
    assert impatient.get("/hosts/silent").status_code == 404


def test_adding_a_silent_host_delays_no_other(impatient: Manager, kvm1_sshd: PrivateSshd) -> None:
    with silent_listener() as port:
        late: list[httpx2.Response] = []
        adding = threading.Thread(
            target=lambda: late.append(impatient.post("/hosts", {"id": "silent", "uri": silent_uri(port)}))
        )
        adding.start()
        began = time.monotonic()
        host = add_host(impatient, "answers", ssh_uri(kvm1_sshd))
        vms(impatient, host)
        duration = time.monotonic() - began
        still_waiting = adding.is_alive()
        adding.join()

    impatient.delete(host)
    assert still_waiting
    assert duration < DIAL_DEADLINE - 0.5


def test_adding_the_same_host_twice_at_once_adds_it_once(impatient: Manager, kvm1_sshd: PrivateSshd) -> None:
    answers: list[int] = []
    body = {"id": "twice", "uri": ssh_uri(kvm1_sshd)}
    adding = [
        threading.Thread(target=lambda: answers.append(impatient.post("/hosts", body).status_code)) for _ in range(4)
    ]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()

    impatient.delete("/hosts/twice")
    assert sorted(answers) == [201, 409, 409, 409]


def test_a_refused_port_is_an_unreachable_host_at_once(impatient: Manager, kvm1_sshd: PrivateSshd) -> None:
    with silent_listener(connects=True) as port:
        pass
    began = time.monotonic()

    answer = impatient.post("/hosts", {"id": "refused", "uri": silent_uri(port)})

    assert (answer.status_code, answer.json()["code"]) == (502, "host-unreachable")
    assert time.monotonic() - began < 1.5


def test_a_silent_host_at_start_delays_neither_the_listener_nor_other_hosts(
    new_manager: Callable[..., Manager], kvm1_sshd: PrivateSshd
) -> None:
    with silent_listener() as port:
        declared = f'[[hosts]]\nid = "silent"\nuri = "{silent_uri(port)}"\n'
        declared += f'[[hosts]]\nid = "answers"\nuri = "{ssh_uri(kvm1_sshd)}"\n'
        manager = new_manager(IMPATIENT + declared)
        began = time.monotonic()

        wait_for_host(manager, "/hosts/answers", "connected")
        vms(manager, "/hosts/answers")

        assert time.monotonic() - began < DIAL_DEADLINE - 0.5
        assert manager.get("/hosts/silent").json()["state"] == "connecting"
        lost = wait_for_host(manager, "/hosts/silent", "lost")
        assert lost["code"] in ("host-unreachable", "timeout")
        assert [host["id"] for host in manager.get("/hosts").json()] == ["silent", "answers"]


def test_a_silent_host_holds_up_no_shutdown(new_manager: Callable[..., Manager]) -> None:
    with silent_listener() as port:
        manager = new_manager(f'[[hosts]]\nid = "silent"\nuri = "{silent_uri(port)}"\n')

        assert manager.terminate() < 3

        manager.start()
