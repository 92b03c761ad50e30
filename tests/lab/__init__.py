"""The lab: real libvirt, QEMU, SSH, networks and PostgreSQL for tests and benchmarks, each on its own."""

from .errors import LabError
from .guests import firmware_guest, linux_guest, panicking_guest, plain_definition
from .kernel import READY_WORD, LinuxKernel, linux_kernel, wait_for_guest
from .libvirtd import PrivateLibvirtd
from .openid import OpenIDProvider
from .postgres import PrivatePostgres
from .processes import find_program, free_port, wait_until
from .relay import Relay, Traffic
from .silence import silent_listener
from .sshd import PrivateSshd

__all__ = [
    "READY_WORD",
    "LabError",
    "LinuxKernel",
    "OpenIDProvider",
    "PrivateLibvirtd",
    "PrivatePostgres",
    "PrivateSshd",
    "Relay",
    "Traffic",
    "find_program",
    "firmware_guest",
    "free_port",
    "linux_guest",
    "linux_kernel",
    "panicking_guest",
    "plain_definition",
    "silent_listener",
    "wait_for_guest",
    "wait_until",
]
