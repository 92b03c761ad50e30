"""Jobs: how work that takes its time reports what it does, can be ended, and gets along with other work."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum

__all__ = ["Job", "NullJob", "VMUse"]


class VMUse(StrEnum):
    """How work on a VM gets along with other work on it; reading goes on in any case."""

    ALONE = "alone"
    """It changes the VM, and nothing else may meanwhile: whoever comes second is refused with 409 `busy`."""
    SHARED = "shared"
    """It may be done beside other work, but not beside what needs the VM alone."""
    ANYTIME = "anytime"
    """It breaks in on whatever goes on, as cutting the power must."""


class Job(ABC):
    """What a piece of work reports to: an action that runs, or a write of a resource.

    Where the work is an operation, people see what is reported here, and `DELETE /operations/{id}` ends it in the
    sections that say how.
    """

    actor: str
    """Who asked for it, as in the audit log."""

    @abstractmethod
    async def step(self, text: str) -> None:
        """Say what comes next, in a few words; it is stored before this returns, so say it before you do it.

        Raises `StoreUnavailable`, and `Forbidden` when whoever asked may not do this any more.
        """

    @abstractmethod
    def progress(self, done: int, total: int = 0, unit: str = "") -> None:
        """Say how much is done, of how much (0 when nobody knows), counted in what: `bytes`, `disks`, `%`.

        From any thread. It is told a few times a second and stored once a second at most. What is less than was said
        before is ignored, as long as `total` and `unit` are the same: progress never falls.
        """

    @abstractmethod
    def interruptible(self) -> AbstractContextManager[None]:
        """Open a section in which cancelling the operation cancels the task that opened it.

        Use it where work can be ended at any point and leaves nothing half done.
        """

    @abstractmethod
    def cancelled_by(self, cancel: Callable[[], Awaitable[None]]) -> AbstractContextManager[None]:
        """Open a section in which cancelling the operation calls `cancel`, once, in a task of its own.

        Use it where something else ends the work, as libvirt's `abortJob` does; the work then ends by itself.
        """


class NullJob(Job):
    """A job that nobody watches: for tests, and where work is no operation."""

    def __init__(self, actor: str = "") -> None:
        self.actor = actor

    async def step(self, text: str) -> None:
        """Do nothing."""

    def progress(self, done: int, total: int = 0, unit: str = "") -> None:
        """Do nothing."""

    def interruptible(self) -> AbstractContextManager[None]:
        """Open a section that nobody ends."""
        return nullcontext()

    def cancelled_by(self, cancel: Callable[[], Awaitable[None]]) -> AbstractContextManager[None]:
        """Open a section that nobody ends."""
        return nullcontext()
