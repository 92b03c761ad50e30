"""Every hook a plugin can implement: called once at start-up, each returns classes or descriptors.

pluggy is synchronous. Whatever has to be awaited is a method of what a hook returns, never the hook itself.
"""

from collections.abc import Sequence

from pluggy import HookimplMarker, HookspecMarker

from virtumancer.contracts import ConsoleTransport, HostDriver, StatsCollector, VMAction

__all__ = [
    "PROJECT",
    "hookimpl",
    "virtumancer_console_transports",
    "virtumancer_host_drivers",
    "virtumancer_stats_collectors",
    "virtumancer_vm_actions",
]

PROJECT = "virtumancer"
hookspec = HookspecMarker(PROJECT)
hookimpl = HookimplMarker(PROJECT)
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def virtumancer_host_drivers() -> Sequence[type[HostDriver]]:
    """Return the driver classes of this plugin.

    Each names the URI schemes it serves; a scheme that two plugins claim is refused with both their names.
    """
    return ()


@hookspec
def virtumancer_vm_actions() -> Sequence[VMAction]:
    """Return the actions of this plugin.

    Each becomes `POST /api/v1/hosts/{host}/vms/{vm}/{name}`; a name that two plugins claim is refused with both
    their names.
    """
    return ()


@hookspec
def virtumancer_stats_collectors() -> Sequence[type[StatsCollector]]:
    """Return the collector classes of this plugin.

    Each runs in a task of its own for every connected host, at its own interval and with a deadline.
    """
    return ()


@hookspec
def virtumancer_console_transports() -> Sequence[type[ConsoleTransport]]:
    """Return the console transport classes of this plugin.

    Each serves one kind of console below a VM; a kind or suffix that two plugins claim is refused with both their
    names.
    """
    return ()
