"""Runs the soak and prints what was met; exits with 1 when something was lost, doubled or never came back."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.hosts import IMPATIENT, add_host, host_sshd, ssh_uri, wait_for_host
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd
from tests.soak.checks import Resources, check
from tests.soak.faults import Faults, guests
from tests.soak.ledger import Ledger
from tests.soak.load import Load

CALM = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="Mixed load while parts are killed, frozen and changed: what is lost or doubled?",
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of mixed load with faults (10)")
    parser.add_argument("--kills", type=int, default=30, help="of the manager with SIGKILL under load, after that (30)")
    parser.add_argument("--restarts", type=int, default=20, help="of libvirtd under load, after that (20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vs") as folder:
        wrong = asyncio.run(soak(Path(folder), options.minutes * 60, options.kills, options.restarts))
    for sentence in wrong:
        sys.stdout.write(f"WRONG: {sentence}\n")
    sys.stdout.write(f"{len(wrong)} things are wrong\n")
    return 1 if wrong else 0


async def soak(folder: Path, seconds: float, kills: int, restarts: int) -> list[str]:
    """Set everything up, break it, and return what is wrong."""
    switched, passive = guests(3, "switched"), guests(2, "passive")
    with (
        PrivateLibvirtd(folder / "l") as libvirtd,
        host_sshd(folder / "s", libvirtd) as sshd,
        Manager(folder / "m", IMPATIENT) as manager,
    ):
        libvirtd.define(*switched.values(), *passive.values())
        for name in passive:
            libvirtd.virsh("start", name)
        add_host(manager, "kvm1", ssh_uri(sshd))
        ids = row_ids(manager)
        ledger = Ledger()
        faults = Faults(manager, libvirtd, sshd, list(passive), list(passive))
        names = [*switched, *passive]
        resources = Resources(manager)
        async with Load(manager.url, ledger, names, libvirtd.tcp_uri):
            await mixed(faults, resources, seconds)
            say(f"{kills} times SIGKILL to the manager, under load")
            for number in range(kills):
                await asyncio.to_thread(faults.kill_manager)
                await asyncio.sleep(0.5 + number % 5 / 2)
            say(f"{restarts} restarts of libvirtd, under load")
            for number in range(restarts):
                await asyncio.to_thread(faults.restart_daemon)
                await asyncio.sleep(0.5 + number % 5 / 2)
        await asyncio.sleep(CALM)
        await asyncio.to_thread(wait_for_host, manager, "/hosts/kvm1", "connected", timeout=60)
        say(f"faults: {dict(faults.done)}")
        say(f"answers: {dict(sorted(ledger.answers.items()))}")
        say(f"starts: {dict(ledger.starts)}, perhaps besides: {dict(ledger.maybe)}")
        say(f"events: {ledger.events} in {ledger.gaps} explicit gaps; consoles: {ledger.consoles}")
        say(resources.table())
        return [*ledger.wrong, *check(manager, libvirtd, ledger, ids, names), *resources.complaints()]


async def mixed(faults: Faults, resources: Resources, seconds: float) -> None:
    """Break one thing after the other for so long, and look at memory and descriptors in between."""
    say(f"{seconds:g} s of load with faults")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.to_thread(faults.any)
        await asyncio.sleep(2)
        resources.look()


def row_ids(manager: Manager) -> dict[str, int]:
    """The ids of the stored VMs, by name, once all are there."""
    manager.get("/hosts/kvm1/vms")
    return {row["name"]: row["ID"] for row in manager.get("/hosts/kvm1/vms/db").json()}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
