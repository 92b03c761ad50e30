"""Which of libvirt's daemons a host of the lab has: the one for everything, or one for each driver.

Fedora and RHEL have the latter. Debian's packages do not; where they are on the PATH, built from the release that the
library is of, they run, and `LAB_LIBVIRT=modular` runs every test of the lab on them.
"""

import os
from typing import NamedTuple

from .errors import LabError
from .processes import find_program

__all__ = ["MODULAR", "MONOLITHIC", "Daemons", "daemons_of_the_run", "modular_daemons_are_here"]


class Daemons(NamedTuple):
    """The daemon that clients connect to, and those beside it."""

    program: str
    socket: str
    listens: bool
    """Whether it can be reached by TCP."""
    companions: tuple[str, ...] = ()


MONOLITHIC = Daemons("libvirtd", "libvirt-sock", listens=True)
MODULAR = Daemons(
    "virtqemud", "virtqemud-sock", listens=False, companions=("virtstoraged", "virtnetworkd", "virtnodedevd")
)
"""Without virtproxyd nothing is at `libvirt-sock`, and nothing listens on TCP."""


def daemons_of_the_run() -> Daemons:
    """What a host has when a test does not say."""
    return MODULAR if os.environ.get("LAB_LIBVIRT") == "modular" else MONOLITHIC


def modular_daemons_are_here() -> bool:
    """Whether this machine has all of them."""
    try:
        for program in (MODULAR.program, *MODULAR.companions):
            find_program(program)
    except LabError:
        return False
    return True
