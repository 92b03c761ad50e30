"""The supervised session of one host: connects, watches, and comes back by itself."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

import structlog

from virtumancer.contracts import (
    VM,
    EventsMissed,
    Host,
    HostConnection,
    HostDetail,
    HostEventsMissed,
    HostState,
    HostVMEvent,
    ResourceEvent,
    SupportsEvents,
    VMEvent,
    VMsChanged,
    abilities_of,
)
from virtumancer.errors import (
    AbilityMissing,
    AuthenticationFailed,
    Conflict,
    CredentialsUnreadable,
    Forbidden,
    HostKeyChanged,
    HostKeyUnknown,
    HostUnavailable,
    HypervisorError,
    InvalidValue,
    NotFound,
    VirtumancerError,
)
from virtumancer.masking import mask_text
from virtumancer.plugins.calls.spans import leave_trace
from virtumancer.services.hosts.backoff import RetryTiming
from virtumancer.services.hosts.connector import GRACE, HostConnector
from virtumancer.services.hosts.inventory import Inventory
from virtumancer.services.hosts.monitor import ConnectionTask, HostMonitor
from virtumancer.services.hosts.session_outcome import SessionOutcome
from virtumancer.services.hosts.session_state import SessionState
from virtumancer.services.runtime.bus import EventBus
from virtumancer.store import VMsRepository

__all__ = ["HostSession"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")

# Another attempt will not help until somebody does something about these.
REFUSALS = (AuthenticationFailed, CredentialsUnreadable, HostKeyChanged, HostKeyUnknown, InvalidValue)
# What was not done when one of these is raised.
REFUSED = (AbilityMissing, Conflict, Forbidden, HypervisorError, InvalidValue, NotFound)
# A connection that held for so many seconds was a good one.
SETTLED = 5.0
# How long a session gets to end before it is left to itself.
STOP_TIMEOUT = 10.0
# So many VMs are named in an announcement.
NAMED = 500


class HostSession:
    """Holds the connection of one host and whoever watches over it.

    One task owns everything: it dials, serves until the connection is lost, waits with back-off, dials again.
    """

    def __init__(
        self,
        host: Host,
        dialler: HostConnector,
        vms: VMsRepository,
        bus: EventBus,
        timing: RetryTiming,
        watchers: Collection[ConnectionTask] = (),
        approved: frozenset[str] = frozenset(),
        tell_of_resource: Callable[["HostSession", ResourceEvent], None] | None = None,
    ) -> None:
        self.host = host
        self._dialler = dialler
        self._bus = bus
        self._timing = timing
        self._watchers = watchers
        self._connection: HostConnection | None = None
        self._hears = False  # whether the connection tells of changes
        self._task: asyncio.Task[None] | None = None
        self._stops = 0
        self._stopping = False
        self.switching = asyncio.Lock()  # whoever changes what is stored of connecting, until the session followed
        self._wake = asyncio.Event()
        self._outcome = SessionOutcome()
        self._always_approved = approved
        self._tell_of_resource = tell_of_resource
        self._approved: frozenset[str] = frozenset()
        self._idle = asyncio.Event()
        self._idle.set()
        self._status = SessionState(host.id, bus)
        self.inventory = Inventory(host.id, vms, self._list_vms, self._vms_news)
        self._watch: HostMonitor | None = None
        self._waited = 0.0
        self._changing = 0
        # The UUIDs of what is to be announced; the empty one stands for any.
        self._news: set[str] = set()
        self._settled = asyncio.Event()

    @property
    def call_timeout(self) -> float:
        """How long a quick call to this host may take, in seconds."""
        return self._dialler.settings.call_timeout

    @property
    def driver(self) -> str:
        """The plugin whose driver serves this host, empty when there is none."""
        return self._dialler.plugin_of(self.host)

    @property
    def is_wanted(self) -> bool:
        """Whether it connects, or tries to, until somebody stops it."""
        return self._task is not None

    @property
    def state(self) -> HostState:
        """Where the session stands."""
        return self._status.state

    @property
    def in_step(self) -> bool:
        """Whether the last look at its VMs still holds: events would have told of a change."""
        return self._hears and self._status.state is HostState.CONNECTED and not self.inventory.behind

    def detail(self, *, declared: bool) -> HostDetail:
        """Describe host and session."""
        status = self._status
        return HostDetail(
            id=self.host.id,
            uri=self.host.uri,
            state=status.state,
            reason=status.reason,
            code=status.code,
            since=status.since,
            retry_at=status.retry_at,
            driver=self.driver,
            abilities=abilities_of(self._connection) if self._connection else (),
            declared=declared,
        )

    def start(self, connection: HostConnection | None = None) -> None:
        """Begin, with a connection that was made already or by dialling."""
        self._status.set(HostState.CONNECTING, "connecting")
        self._task = asyncio.create_task(self._run(connection), name=f"session {self.host.id}")

    async def connect(self, approved: Collection[str] = ()) -> None:
        """Connect now and wait for the outcome; raises what the attempt failed with.

        An attempt that is under way does not know what is approved only now: then the next one counts.
        """
        stops = self._stops
        if approved:
            await self._idle.wait()
        if self._stopping or self._stops != stops:  # its host may be removed by now, and nobody would end it again
            raise self._status.unavailable()
        if self._connection:
            return
        self._approved = frozenset(approved)
        settled = self._outcome.future()
        if self._task is None:
            self.start()
        self._wake.set()
        await asyncio.shield(settled)

    async def settle(self) -> None:
        """Wait until the attempt under way succeeded or failed; raises nothing."""
        if self._status.state is HostState.CONNECTING:
            await asyncio.wait({self._outcome.future()}, timeout=self._dialler.settings.connect_timeout + GRACE)

    async def first_look(self, timeout: float) -> None:
        """Wait until the VMs were looked at once, for so many seconds at most; raises nothing."""
        if self._connection and self.inventory.seen is None:
            await asyncio.wait({self.inventory.start_refresh()}, timeout=timeout)

    async def stop(self, reason: str) -> None:
        """Disconnect and stay so."""
        self._stops += 1
        self._stopping = True
        self._status.set(HostState.STOPPED, reason)  # first: closing may take a while, and there is no connection then
        try:
            await self._end()
        finally:
            self._stopping = False
        self._status.set(HostState.STOPPED, reason)
        self._outcome.resolve(HostUnavailable(f"host {self.host.id!r} was disconnected: {reason}"))

    async def restart(self) -> None:
        """Give the connection back and begin anew; a session that is stopped stays so."""
        if self._task is None:
            return
        self._stopping = True
        self._status.set(HostState.CONNECTING, "connecting")
        try:
            await self._end()
        finally:
            self._stopping = False
        self.start()

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task:
            task.cancel()
            _, stuck = await asyncio.wait({task}, timeout=STOP_TIMEOUT)
            if stuck:  # code that swallows its cancellation must not hold up a shutdown
                log.error("a session does not end", host=self.host.id, plugin=self._dialler.plugin_of(self.host))
        await self.inventory.aclose()

    async def call(self, use: Callable[[HostConnection], Awaitable[T]]) -> T:
        """Use the connection; raises `HostUnavailable` when there is none."""
        return await use(self.require_connection())

    def require_connection(self) -> HostConnection:
        """Return the connection; raises `HostUnavailable` when there is none."""
        if self._connection is None:
            raise self._status.unavailable()
        return self._connection

    def touch(self, vm: str = "", *, tell: bool = True) -> None:
        """Note that this VM, or anything on this host, may have changed: look again.

        `tell` announces it whatever that shows.
        """
        self.inventory.touch()
        if vm or tell:
            self._news.add(vm)
        if self._watch:
            self._watch.touched(tell=tell)
        elif tell:
            self.announce()

    @contextmanager
    def changing(self, vm: str = "") -> Generator[None]:
        """Hold what is announced for a moment while this VM, or anything, is changed, so that it is announced once.

        What was refused has changed nothing, unless a look shows otherwise.
        """
        self._changing += 1
        tell = True
        try:
            yield
        except REFUSED:
            tell = False
            raise
        finally:
            self._changing -= 1
            if not self._changing:
                self._settled.set()
            self.touch(vm, tell=tell)

    async def settled(self, patience: float) -> None:
        """Return when nothing is being changed here through us, or after so many seconds."""
        if self._changing:
            self._settled.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._settled.wait()

    async def _run(self, connection: HostConnection | None) -> None:
        # A session outlives the request that began it: its log lines and calls are not that request's.
        structlog.contextvars.clear_contextvars()
        leave_trace()
        failures = drops = 0
        while True:
            connection = connection or await self._attempt()
            began = time.monotonic()
            if connection is None or not await self._serve(connection):
                failures += 1
            else:
                # The pauses begin anew, but for one that is lost as soon as it is made again and again.
                settled = time.monotonic() - began >= min(self._waited, SETTLED)
                failures = drops = 1 if settled else drops + 1
            connection = None
            # A host that drops everybody at once (a restart) should not be dialled by everybody at once.
            await self._wait_to_retry(failures)

    async def _attempt(self) -> HostConnection | None:
        self._idle.clear()
        try:
            return await self._dial()
        finally:
            self._idle.set()

    async def _dial(self) -> HostConnection | None:
        self._wake.clear()
        approved, self._approved = self._approved, frozenset()
        try:
            return await self._dialler.again(self.host, approved | self._always_approved)
        except VirtumancerError as error:
            refused = isinstance(error, REFUSALS)
            self._status.set(HostState.REFUSED if refused else HostState.LOST, error.message, error.code)
            self._outcome.resolve(error)
        except Exception as error:  # a failing store must not end the session for good
            log.exception("connecting failed", host=self.host.id)
            failure = HostUnavailable(f"connecting to host {self.host.id!r} failed: {type(error).__name__}: {error}")
            self._status.set(HostState.LOST, failure.message, failure.code)
            self._outcome.resolve(failure)
        return None

    async def _wait_to_retry(self, failures: int) -> None:
        if self._status.state is HostState.REFUSED:
            delay = self._timing.refused_retry
        else:
            delay = min(self._timing.retry_max, self._timing.retry_min * 2 ** min(failures - 1, 30))
            delay *= random.uniform(0.5, 1.0)  # noqa: S311 - jitter, nothing secret  # nosec B311
        self._waited = delay
        self._status.retry_in(delay)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._wake.wait()

    async def _serve(self, connection: HostConnection) -> bool:
        """Live with a connection until it is lost; says whether it could be used at all."""
        self._watch = watch = HostMonitor(self, connection, self._timing, self._watchers)
        lost, used = "disconnected", False
        try:
            await watch.open()
            self.inventory.touch()  # what is known is from before
            self._connection, self._hears = connection, connection.ability(SupportsEvents) is not None
            self.show_trouble(watch.trouble)
            self._outcome.resolve(None)
            used = True
            lost = await watch.until_lost()
        except VirtumancerError as error:
            lost = error.message
        except Exception as error:  # a plugin that breaks its contract must not end the session for good
            log.exception("the session failed", host=self.host.id)
            lost = f"the session failed: {type(error).__name__}: {error}"
        finally:
            self._connection, self._hears = None, False
            self._watch = None
            self._lose(lost)
            await watch.aclose()
            await self._close(connection)
        return used

    def _lose(self, reason: str) -> None:
        """Show that there is no connection any more, before closing what is left of it takes its time."""
        if not self._stopping:
            self._status.set(HostState.LOST, reason, "host-lost")
            self._outcome.resolve(self._status.unavailable())

    async def _close(self, connection: HostConnection) -> None:
        try:
            await connection.aclose()
        except VirtumancerError as error:
            log.warning("closing a connection failed", host=self.host.id, reason=error.message)

    def show_trouble(self, reason: str) -> None:
        """Show a connected host as degraded for this reason, or as well when there is none."""
        if self._connection is None:
            return
        if reason:
            self._status.set(HostState.DEGRADED, reason, "degraded")
        else:
            remark = self._connection.remark
            self._status.set(HostState.CONNECTED, f"connected: {remark}" if remark else "connected")

    def tell(self, event: VMEvent | ResourceEvent | EventsMissed) -> None:
        """Pass on what the driver told of a VM or a resource, or that it could not."""
        if isinstance(event, EventsMissed):
            self._bus.publish(HostEventsMissed(self.host.id, mask_text(event.reason)))
        elif isinstance(event, ResourceEvent):
            if self._tell_of_resource is not None:
                self._tell_of_resource(self, event)
        else:
            self._bus.publish(HostVMEvent(self.host.id, event.uuid, event.name, event.change))

    def announce(self) -> None:
        """Tell everybody that something about this host's VMs changed, and about which if that is known."""
        news, self._news = self._news, set()
        is_known = "" not in news and len(news) <= NAMED
        self._bus.publish(VMsChanged(self.host.id, tuple(sorted(news)) if is_known else ()))

    async def _list_vms(self) -> Sequence[VM]:
        return await self.require_connection().list_vms()

    def _vms_news(self, vms: Collection[str]) -> None:
        self._news |= set(vms)
        if self._watch:
            self._watch.news()
        else:
            self.announce()
