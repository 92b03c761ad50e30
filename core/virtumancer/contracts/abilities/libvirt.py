"""The door to libvirt, for plugins that know its binding; nothing of libvirt is needed to read this."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, TypeVar

from virtumancer.contracts.abilities.base import Ability

__all__ = ["LibvirtAccess"]

T = TypeVar("T")


class LibvirtAccess(Ability):
    """Ability `libvirt`: functions run with libvirt's own objects, in the thread of the driver. Since 1.3.

    A function returns plain data: numbers, texts, bytes, times, Structs, and lists and dictionaries of them. libvirt's
    objects stay in their thread: a function keeps none of them, nor hands one to anybody. It may block, and does not
    use the event loop. What libvirt raises in it becomes an error of `virtumancer.errors`, as `VMNotFound` for a VM
    that is gone; what else it raises is raised to whoever handed it over.

    `description` completes "Host kvm1 cannot …" in errors: `list the snapshots of VM web01`. `timeout` is in seconds,
    `sessions.slow_call_timeout` when it is None. A function that takes longer goes on in its thread, whose connection
    is lost to others until it returns: a host has ten of them. On `test://` hosts there is only one.
    """

    ability: ClassVar[str] = "libvirt"

    @abstractmethod
    async def domain(
        self, uuid: str, function: Callable[[Any], T], *, description: str, timeout: float | None = None
    ) -> T:
        """Run a function with the `virDomain` of a VM. Raises `VMNotFound`, and `CallTimeout` when it takes longer."""

    @abstractmethod
    async def connect(self, function: Callable[[Any], T], *, description: str, timeout: float | None = None) -> T:
        """Run a function with a `virConnect` of the host. Raises `CallTimeout` when it takes longer."""

    @abstractmethod
    def exclusive(self, *, description: str) -> AbstractAsyncContextManager["LibvirtAccess"]:
        """Have one `virConnect` for many calls, as for a stream, until the context is left.

        Raises `CallTimeout` when all of them are in use, after `sessions.slow_call_timeout`.
        """
