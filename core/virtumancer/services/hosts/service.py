"""Hosts: which ones there are, and the session of each."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from operator import attrgetter

import structlog
from msgspec import Struct, structs

from virtumancer.contracts import Host, HostAdded, HostDetail, HostInfo, HostRemoved, HostState, Metadata, ResourceEvent
from virtumancer.errors import (
    HostExists,
    HostNotFound,
    HostUnavailable,
    StoreUnavailable,
    VirtumancerError,
)
from virtumancer.services.hosts.backoff import RetryTiming
from virtumancer.services.hosts.connector import HostConnector
from virtumancer.services.hosts.credentials import HostCredentials, check_credentials
from virtumancer.services.hosts.host_checks import check_host
from virtumancer.services.hosts.monitor import ConnectionTask
from virtumancer.services.hosts.own_changes import OwnChanges
from virtumancer.services.hosts.session import HostSession
from virtumancer.services.metadata.service import MetadataService
from virtumancer.services.runtime.bus import EventBus, HostAddedElsewhere, HostRemovedElsewhere
from virtumancer.services.runtime.encoded_list import EncodedList
from virtumancer.store import HostsRepository, StoredHost, VMsRepository

__all__ = ["HostEntry", "HostsService"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class HostEntry(Struct, frozen=True):
    """A host of the list; `number` is the order of adding."""

    number: int
    host: Host
    metadata: Metadata


# Whoever adds a host and lists all VMs next wants to see its VMs; one that takes longer shows them later.
FIRST_LOOK = 2.0
DELETED = "deleted"
DISCONNECTED = "disconnected by the user"


class HostsService:
    """Adds, removes, connects and disconnects hosts; one session each.

    `shared` says that other processes do so too on the same database: `follow` takes over what they have done.
    """

    def __init__(
        self,
        store: HostsRepository,
        vms: VMsRepository,
        dialler: HostConnector,
        bus: EventBus,
        metadata: MetadataService,
        credentials: HostCredentials,
        timing: RetryTiming,
        watchers: Collection[ConnectionTask] = (),
        *,
        shared: bool = False,
    ) -> None:
        self._credentials = credentials
        self._store = store
        self._vms = vms
        self._dialler = dialler
        self._bus = bus
        self._metadata = metadata
        self._timing = timing
        self._watchers = watchers
        self._shared = shared
        self._listed: tuple[tuple[int | None, int], EncodedList[HostEntry]] | None = None
        self._sessions: dict[str, HostSession] = {}
        self._numbers: dict[str, int] = {}
        self._approvals: dict[str, frozenset[str]] = {}
        self._adding: set[str] = set()
        self._removing: set[str] = set()
        self._own = OwnChanges()
        self._ending: dict[str, asyncio.Task[None]] = {}
        self.on_resource_event: Callable[[HostSession, ResourceEvent], None] = _nobody_listens
        """Is told what drivers tell of resources; set before there are hosts, and must only take note."""
        self._closed = False

    async def start(self, declared: Mapping[Host, frozenset[str]]) -> None:
        """Take in the declared hosts, each with its approved fingerprints, and begin all sessions."""
        self._approvals = {host.id: approved for host, approved in declared.items()}
        known = {stored.host.id for stored in await self._store.list()}
        await self._store.upsert_declared(tuple(declared))
        await self._credentials.renew()
        for stored in await self._store.list():
            if stored.host.id not in known:
                self._bus.publish(HostAdded(stored.host.id))
            session = self._new_session(stored.host, stored.number, stored.credentials)
            if stored.disconnected:
                await session.stop(DISCONNECTED)
            else:
                session.start()

    async def aclose(self) -> None:
        """End all sessions, all at once."""
        self._closed = True
        sessions, self._sessions = self._sessions, {}
        stops = (session.stop("virtumancer is shutting down") for session in sessions.values())
        await asyncio.gather(*stops, *self._ending.values())

    async def follow(self) -> None:
        """Bring the sessions in step with the store, which other processes may have changed; those tell of it."""
        changes = self._own.count
        rows = {stored.host.id: stored for stored in await self._store.list()}
        if changes != self._own.count or self._closed:
            return  # read before a change of our own: the next look decides
        for host_id in self._sessions.keys() | rows.keys():
            if not (host_id in self._adding or host_id in self._ending or host_id in self._own):
                self._follow(host_id, rows.get(host_id))

    async def confirmed(self, host_id: str) -> HostSession:
        """Return the session of a host of which the store still says the same. Raises `HostNotFound`.

        Whoever is about to change something asks for this: another process may have removed the host just now. Raises
        `HostUnavailable` when it has disconnected the host, or given it another URI.
        """
        session = self.session(host_id)
        if not self._shared:
            return session
        stored = await self._store.get(host_id)
        same = self._sessions.get(host_id) is session and stored is not None and self._is_of(session, stored)
        if same and stored and stored.disconnected is not session.is_wanted:
            return session
        await self.follow()
        if stored is None:
            raise _not_found(host_id)
        if self._sessions.get(host_id) is not session or stored.disconnected:
            raise HostUnavailable(
                f"host {host_id!r} was changed just now through another process of this server; look at it again",
                retry_after=1.0,
                state=session.state.value,
                cause="",
            )
        return session

    async def list(self) -> EncodedList[HostEntry]:
        """Return all hosts in the order added; they are read anew when they may have changed."""
        revisions = self._store.revision, self._metadata.revision
        if self._listed and self._listed[0] == revisions:
            return self._listed[1]
        entries = [
            HostEntry(stored.number, stored.host, self._metadata.of_host(stored.host.id))
            for stored in await self._store.list()
        ]
        found = EncodedList(tuple(entries), attrgetter("host"))
        if revisions[0] is not None and (self._store.revision, self._metadata.revision) == revisions:
            self._listed = revisions, found
        return found

    async def detail(self, host_id: str) -> HostDetail:
        """Describe one host and its session."""
        stored = await self._store.get(host_id)
        if stored is None:
            raise _not_found(host_id)
        detail, said = self.session(host_id).detail(declared=stored.declared), self._metadata.of_host(host_id)
        names = self._credentials.names(host_id, stored.credentials)
        return structs.replace(detail, credential_names=names, title=said.title, notes=said.notes, tags=said.tags)

    def session(self, host_id: str) -> HostSession:
        """Return the session of a host. Raises `HostNotFound`."""
        try:
            return self._sessions[host_id]
        except KeyError:
            raise _not_found(host_id) from None

    def find(self, host_id: str) -> HostSession | None:
        """Return the session of a host, None when there is no such host."""
        return self._sessions.get(host_id)

    def has(self, session: HostSession) -> bool:
        """Say whether this is the session of a host that is there: after a wait it may be that of a removed one."""
        return self._sessions.get(session.host.id) is session

    def ids(self) -> tuple[str, ...]:
        """Name all hosts, in no order."""
        return tuple(self._sessions)

    def states(self) -> tuple[HostState, ...]:
        """Return the states of all sessions."""
        return tuple(session.state for session in self._sessions.values())

    async def info(self, host_id: str) -> HostInfo:
        """Ask the host what it has."""
        return await self.session(host_id).call(lambda connection: connection.info())

    def check_new(self, host: Host, credentials: Mapping[str, str] | None = None) -> None:
        """Raise `InvalidValue` and `HostExists` for a host that cannot be added, whether or not it can be reached."""
        check_host(host)
        entry = self._dialler.entry_for(host)
        check_credentials(entry.driver, host, credentials or {})
        if any(host.id in taken for taken in (self._sessions, self._adding, self._removing, self._ending)):
            raise HostExists(f"host {host.id!r} exists already; choose another id, or delete that host first")

    async def add(
        self, host: Host, approved: Collection[str] = (), credentials: Mapping[str, str] | None = None
    ) -> Host:
        """Connect to a new host, then store it; nothing is stored when the connection fails."""
        self.check_new(host, credentials)
        self._adding.add(host.id)
        try:
            given = self._credentials.of_request(credentials or {})
            # Before the connection: without a key nothing could be stored after it.
            sealed = await self._credentials.sealed(host.id, given)
            dialling = await self._dialler.first(host, approved, given)
            try:
                await self._store.add(host, dialling.accepted, sealed)
                number = await self._number(host.id)
            except BaseException:
                with suppress(VirtumancerError):
                    await dialling.connection.aclose()
                raise
            session = self._new_session(host, number, sealed)
            self._bus.publish(HostAdded(host.id))
            session.start(dialling.connection)
        finally:
            self._adding.discard(host.id)
        await session.settle()
        await session.first_look(FIRST_LOOK)
        return host

    async def remove(self, host_id: str) -> None:
        """Disconnect a host and delete it with everything that hangs on it."""
        session = self.session(host_id)
        async with session.switching:
            self._require(session)
            # Until the old session has ended it could write its VMs into the rows of a new host of this id.
            self._removing.add(host_id)
            try:
                with self._own.change(host_id):
                    removed = await self._store.remove(host_id)
                    self._sessions.pop(host_id, None)
                    await session.stop(DELETED)
                    self._credentials.forget(host_id)
            finally:
                self._removing.discard(host_id)
        self._bus.publish(HostRemoved(host_id) if removed else HostRemovedElsewhere(host_id))
        if not removed:
            raise _not_found(host_id)

    async def connect(self, host_id: str, approved: Collection[str] = ()) -> HostDetail:
        """Connect now, and from now on; raises what the attempt failed with."""
        session = self.session(host_id)
        async with session.switching:
            self._require(session)
            with self._own.change(host_id):
                await self._store.set_disconnected(host_id, False)
        await session.connect(approved)
        return await self.detail(host_id)

    async def change_credentials(self, host_id: str, wish: Mapping[str, str | None]) -> HostDetail:
        """Set credentials of a host, and remove those that are None; it is connected anew with them, unless stopped.

        Waits for that attempt, and raises nothing that it fails with: the detail shows it. Raises `HostNotFound`,
        `InvalidValue`, `CredentialsUnreadable`.
        """
        session = await self.confirmed(host_id)
        check_credentials(self._dialler.entry_for(session.host).driver, session.host, wish)
        if wish:
            async with session.switching:
                self._require(session)
                with self._own.change(host_id):
                    await self._credentials.change(host_id, wish)
                    await session.restart()
            await session.settle()
        return await self.detail(host_id)

    async def disconnect(self, host_id: str) -> HostDetail:
        """Disconnect until the user connects it again, also across a restart."""
        session = self.session(host_id)
        async with session.switching:
            self._require(session)
            with self._own.change(host_id):
                await self._store.set_disconnected(host_id, True)
                await session.stop(DISCONNECTED)
        return await self.detail(host_id)

    def _require(self, session: HostSession) -> None:
        if not self.has(session):
            raise _not_found(session.host.id)

    async def _number(self, host_id: str) -> int:
        """Return the number of a host that was just stored; 0, which no host has, when it is gone again or unknown."""
        if not self._shared:
            return 0
        with suppress(StoreUnavailable):
            if stored := await self._store.get(host_id):
                return stored.number
        return 0

    def _follow(self, host_id: str, stored: StoredHost | None) -> None:
        session = self._sessions.get(host_id)
        if session is not None and (stored is None or not self._is_of(session, stored)):
            del self._sessions[host_id]  # one in its place begins with a later look, after the end of this one
            self._end(session, DELETED if stored is None else "changed", HostRemovedElsewhere(host_id))
        elif session is None and stored is not None:
            session = self._new_session(stored.host, stored.number, stored.credentials)
            self._bus.publish(HostAddedElsewhere(host_id))
            if not stored.disconnected:
                session.start()
        elif session is not None and stored is not None and stored.disconnected is session.is_wanted:
            if stored.disconnected:
                self._end(session, DISCONNECTED)
            else:
                session.start()

    def _end(self, session: HostSession, reason: str, told: HostRemovedElsewhere | None = None) -> None:
        host_id = session.host.id

        async def end() -> None:
            try:
                await session.stop(reason)
                if told:
                    self._bus.publish(told)
            finally:
                del self._ending[host_id]

        self._ending[host_id] = asyncio.create_task(end(), name=f"end of session {host_id}")

    def _is_of(self, session: HostSession, stored: StoredHost) -> bool:
        """Say whether a session is of this very host: another one may have its id by now."""
        of_session = (self._numbers[stored.host.id], session.host, self._credentials.stored(stored.host.id))
        return of_session == (stored.number, stored.host, stored.credentials)

    def _new_session(self, host: Host, number: int, sealed: Mapping[str, str]) -> HostSession:
        approved = self._approvals.get(host.id, frozenset())
        session = HostSession(
            host,
            self._dialler,
            self._vms,
            self._bus,
            self._timing,
            self._watchers,
            approved,
            self.on_resource_event,
        )
        self._sessions[host.id] = session
        self._numbers[host.id] = number
        self._credentials.take(host.id, sealed)
        self._own.count += 1
        return session


def _nobody_listens(_session: HostSession, _event: ResourceEvent) -> None:
    return


def _not_found(host_id: str) -> HostNotFound:
    return HostNotFound(f"there is no host {host_id[:80]!r}")
