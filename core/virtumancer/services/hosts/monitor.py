"""Watching over a connected host: its events, regular looks at everything, and who else wants to watch."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from virtumancer.contracts import (
    EventsMissed,
    EventStream,
    HostConnection,
    ResourceEvent,
    SupportsEvents,
    VMChange,
    VMEvent,
)
from virtumancer.errors import HostLost, HostUnavailable, VirtumancerError

if TYPE_CHECKING:
    from virtumancer.services.hosts.backoff import RetryTiming
    from virtumancer.services.hosts.session import HostSession

__all__ = ["ConnectionTask", "HostMonitor"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

ConnectionTask = Callable[["HostSession", HostConnection], Awaitable[None]]
"""Runs for as long as a host is connected, and is cancelled when it is lost."""

# An outside change is announced within 250 ms; the rows should be in step by then, but a slow link must not hold it up.
PATIENCE = 0.1
# Something that is done through us is seen in its events as well.
SETTLE = 0.1
# A look tells whether it is new to anybody.
SHOWN_BY_ROWS = frozenset(
    {
        VMChange.STARTED,
        VMChange.STOPPED,
        VMChange.SUSPENDED,
        VMChange.RESUMED,
        VMChange.CRASHED,
        VMChange.UNDEFINED,
    }
)
# Events end when a connection is lost, and that is about to be noticed: no trouble of its own.
LOSS_SHOWS = 1.0


class HostMonitor:
    """The tasks that live as long as one connection."""

    def __init__(
        self,
        session: "HostSession",
        connection: HostConnection,
        timing: "RetryTiming",
        watchers: Collection[ConnectionTask],
    ) -> None:
        self._session = session
        self._connection = connection
        self._timing = timing
        self._watchers = watchers
        self._stream: EventStream | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._look_first = False
        self._must_tell = False
        self._found = False
        self._untold = False
        self._told_early: asyncio.Future[Any] | None = None
        self._troubles: dict[str, str] = {}

    @property
    def trouble(self) -> str:
        """What does not work just now, or nothing."""
        return "; ".join(self._troubles.values())

    async def open(self) -> None:
        """Register for events, before anything is listed."""
        try:
            source = self._connection.ability(SupportsEvents)
            if source is None:
                return
            self._stream = await source.open_events()
        except HostUnavailable:
            raise
        except VirtumancerError as error:
            self._report("events", f"changes made outside are seen late, because events cannot be had: {error.message}")
        else:
            self._report("events", "")

    async def until_lost(self) -> str:
        """Watch until the connection is lost; returns why."""
        self._run(self._follow_events())
        self._run(self._announce())
        self._run(self._reconcile())
        for watcher in self._watchers:
            self._run(watcher(self._session, self._connection))
        lost = asyncio.ensure_future(self._connection.wait_lost())
        try:
            await asyncio.wait({lost, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
            return lost.result() if lost.done() else self._what_ended()
        finally:
            lost.cancel()
            await asyncio.gather(lost, return_exceptions=True)

    async def aclose(self) -> None:
        """End every task and stop listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._untold:
            self._session.announce()  # the rows say it already, and no later look will find it new
        if self._stream:
            try:
                await self._stream.aclose()
            except VirtumancerError as error:
                log.warning("ending the event stream failed", host=self._session.host.id, reason=error.message)

    def touched(self, *, tell: bool) -> None:
        """Something may have changed: look, then announce what that has found, or in any case if `tell`."""
        self._look_first = True
        self._must_tell = self._must_tell or tell
        self._untold = True
        self._wake.set()

    def news(self) -> None:
        """A look has found something new: announce it, unless that was not waited for."""
        if asyncio.current_task() is self._told_early:
            return
        self._found = self._untold = True
        self._wake.set()

    def _report(self, about: str, trouble: str) -> None:
        """Show trouble with one thing, or its end; other trouble stays."""
        self._troubles.pop(about, None)
        if trouble:
            self._troubles[about] = trouble
        self._session.show_trouble(self.trouble)

    def _run(self, work: Awaitable[None]) -> None:
        self._tasks.add(asyncio.ensure_future(work))

    def _what_ended(self) -> str:
        """Name the task that should have gone on, and did not."""
        for task in self._tasks:
            error = task.exception() if task.done() and not task.cancelled() else None
            if error:
                log.error("watching a host failed", host=self._session.host.id, exc_info=error)
                return f"watching the host failed: {type(error).__name__}: {error}"
        return "watching the host ended"

    async def _follow_events(self) -> None:
        while True:
            if self._stream:
                reason = await self._listen(self._stream)
                await asyncio.sleep(LOSS_SHOWS)
                self._report("events", f"changes made outside are seen late, because {reason}")
            await asyncio.sleep(self._timing.retry_max)
            if self._connection.ability(SupportsEvents) is not None:
                self._stream = None
                await self.open()
                if self._stream:
                    self._session.tell(EventsMissed("its events could not be had for a while"))
                self._session.touch()

    async def _listen(self, stream: EventStream) -> str:
        """Take note of every event until there are no more; returns why."""
        reason = "the event stream ended"
        try:
            async for event in stream:
                if isinstance(event, EventsMissed):
                    log.warning("events were missed", host=self._session.host.id, reason=event.reason)
                self._session.tell(event)
                if not isinstance(event, ResourceEvent):
                    self._note(event)
        except VirtumancerError as error:
            reason = f"the event stream broke: {error.message}"
        with suppress(VirtumancerError):
            await stream.aclose()
        return reason

    def _note(self, event: VMEvent | EventsMissed) -> None:
        if isinstance(event, EventsMissed):
            self._session.touch()
        elif event.change is not VMChange.REBOOTED:  # after which everything is as it was
            self._session.touch(event.uuid, tell=event.change not in SHOWN_BY_ROWS)

    async def _announce(self) -> None:
        """Announce each change once, after the rows are in step or patience is at its end."""
        while True:
            await self._wake.wait()
            await self._session.settled(SETTLE)
            self._wake.clear()
            look = await self._look() if self._look_first else None
            if not self._look_first:
                self._wake.clear()  # what the look has found is part of this announcement
            is_known = look is None or (look.done() and not look.cancelled() and look.exception() is None)
            tell = self._must_tell or self._found or not is_known
            self._told_early = look if tell and look and not look.done() else None
            self._must_tell = self._found = False
            self._untold = self._wake.is_set()
            if tell:
                self._session.announce()

    async def _look(self) -> asyncio.Future[Any]:
        self._look_first = False
        look = self._session.inventory.start_refresh()
        await asyncio.wait({look}, timeout=PATIENCE)
        return look

    async def _reconcile(self) -> None:
        """Look at everything now and then: some changes have no event (autostart), and a hung host shows."""
        failures = 0
        while True:
            try:
                await self._session.inventory.refresh()
            except HostLost:
                failures += 1  # no trouble of its own either: the loss is about to be noticed
            except VirtumancerError as error:
                failures += 1
                self._report("listing", f"the VMs cannot be listed: {error.message}")
            else:
                failures = 0
                self._report("listing", "")
            await asyncio.sleep(self._pause(failures))

    def _pause(self, failures: int) -> float:
        """After a failure the next look comes sooner than usual: a host that hung for a moment is well again then."""
        usual = self._timing.reconcile_interval
        return min(usual, self._timing.retry_min * 2 ** min(failures, 30)) if failures else usual
