"""The door for other plugins: their functions, run with libvirt's objects in the thread that owns these."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeVar

from virtumancer.contracts import LibvirtAccess
from virtumancer_libvirt.binding.connection import VirConnect

__all__ = ["Access"]

T = TypeVar("T")


class Run(Protocol):
    """Runs a call on some connection; within the usual time when no other is given."""

    def __call__(self, function: Callable[[VirConnect], T], doing: str, timeout: float | None = None) -> Awaitable[T]:
        """Run it."""
        ...


Lend = Callable[[str], AbstractAsyncContextManager[Run]]
"""Lends one connection for many calls; the string says what for."""


class Access(LibvirtAccess):
    """Runs each function on a connection where it delays nobody."""

    def __init__(self, run: Run, lend: Lend) -> None:
        self._run = run
        self._lend = lend

    async def domain(
        self, uuid: str, function: Callable[[Any], T], *, description: str, timeout: float | None = None
    ) -> T:
        """Run a function with the `virDomain` of a VM."""
        return await self._run(lambda node: node.lend_domain(uuid, description, function), description, timeout)

    async def connect(self, function: Callable[[Any], T], *, description: str, timeout: float | None = None) -> T:
        """Run a function with a `virConnect`."""
        return await self._run(lambda node: node.lend(description, function), description, timeout)

    @asynccontextmanager
    async def exclusive(self, *, description: str) -> AsyncGenerator[LibvirtAccess, None]:
        """Keep one connection to itself."""
        async with self._lend(description) as run:
            yield Access(run, self._lend)
