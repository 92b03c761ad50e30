"""A host that is 20 ms away: much happens on it while it is being looked at."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.hosts import add_host, rows, ssh_uri, vms
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, Relay, plain_definition, wait_until
from tests.lab.sshd import PrivateSshd

pytestmark = pytest.mark.lab

NAMES = [f"described-{number}" for number in range(5)]
LISTINGS = 6


@pytest.fixture
def far(manager: Manager, libvirtd: PrivateLibvirtd, sshd: PrivateSshd, tmp_path: Path) -> Iterator[str]:
    """The path of a host that is 20 ms away, with five VMs among others."""
    libvirtd.define(*(plain_definition(name) for name in NAMES))
    with Relay(sshd.port) as relay:
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{relay.port} {sshd.host_public_key}\n")
        yield add_host(manager, "far", ssh_uri(sshd, port=relay.port, known_hosts=known_hosts))
        manager.delete("/hosts/far")
    libvirtd.virsh("; ".join(f"undefine {name}" for name in NAMES))


@contextmanager
def described_again_and_again(libvirtd: PrivateLibvirtd) -> Iterator[None]:
    """Give the VMs new descriptions, one after the other, for as long as the context is open; then they are done."""
    done = threading.Event()

    def describe() -> None:
        for number in count():
            libvirtd.virsh("desc", NAMES[number % len(NAMES)], "--config", f"words {number}")
            if done.wait(0.02):
                return

    describing = threading.Thread(target=describe)
    describing.start()
    try:
        yield
    finally:
        done.set()
        describing.join()
    libvirtd.virsh("; ".join(f"desc {name} --config done" for name in NAMES))


def test_vms_whose_definitions_change_while_they_are_listed_keep_their_rows(
    manager: Manager, far: str, libvirtd: PrivateLibvirtd
) -> None:
    vms(manager, far)
    before = {name: row["ID"] for name, row in rows(manager, far).items() if name in NAMES}

    listings: list[dict[str, int]] = []
    with described_again_and_again(libvirtd):
        while len(listings) < LISTINGS:
            listings.append({name: vm["db_id"] for name, vm in vms(manager, far).items() if name in NAMES})

    wait_until(lambda: {vms(manager, far)[name]["description"] for name in NAMES} == {"done"}, "they all say so")
    after = {name: row["ID"] for name, row in rows(manager, far).items() if name in NAMES}
    assert len(before) == len(NAMES)
    assert [listing for listing in listings if listing != before] == []
    assert after == before
