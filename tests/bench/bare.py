"""The bare libvirt calls behind a listing, in a process of their own: prints the median seconds of a round.

The same facts as `GET …/vms` has, and nothing made of them: `python -m tests.bench.bare URI ROUNDS`.
"""

import importlib
import statistics
import sys
from time import perf_counter
from typing import Any

libvirt: Any = importlib.import_module("libvirt")

GROUPS = ("STATE", "CPU_TOTAL", "BALLOON", "VCPU")


def one_round(connection: Any) -> list[tuple[Any, ...]]:
    """Read what a listing shows: bulk calls where the hypervisor has them, one call per VM where not."""
    groups = sum(getattr(libvirt, f"VIR_DOMAIN_STATS_{group}") for group in GROUPS)
    records = connection.getAllDomainStats(groups, 0)
    transient = {vm.UUIDString() for vm in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT)}
    autostart = {vm.UUIDString() for vm in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)}
    return [
        (vm.ID(), vm.name(), vm.UUIDString(), stats if "cpu.time" in stats else vm.info(), transient, autostart)
        for vm, stats in records
    ]


def main() -> None:
    connection = libvirt.open(sys.argv[1])
    one_round(connection)
    taken: list[float] = []
    for _ in range(int(sys.argv[2])):
        began = perf_counter()
        one_round(connection)
        taken.append(perf_counter() - began)
    sys.stdout.write(f"{statistics.median(taken)}\n")


if __name__ == "__main__":
    main()
