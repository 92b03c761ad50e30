"""Console sessions: who looks at which console, since when, and how a session ends."""

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from msgspec import Struct

from virtumancer.contracts import CloseCode, ConsoleChanged, ConsoleSession, VMRef
from virtumancer.contracts.responses import ConsoleSessionInfo
from virtumancer.errors import ConsoleNotFound, TooManyConsoles

__all__ = ["ConsoleLimits", "ConsoleSessions", "Ending", "LiveSession", "Viewer"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class ConsoleLimits(Struct, frozen=True):
    """How many sessions there may be, and for how many seconds."""

    per_vm: int = 32
    per_user: int = 1000
    total: int = 1000
    idle: float = 3600.0
    lifetime: float = 86400.0


class Viewer(Struct, frozen=True):
    """Who opens a console, and from which page."""

    caller: str
    origin: str
    name: str = ""
    """How people call the caller; the key of the token where there is nothing else."""


class Ending(Struct, frozen=True):
    """How a console's WebSocket is closed."""

    code: CloseCode
    reason: str


class LiveSession(ConsoleSession):
    """One viewer's session: one WebSocket, or several that were let in by a key."""

    def __init__(self, host_id: str, vm: VMRef, kind: str, viewer: Viewer, ticket: str, *, view_only: bool) -> None:
        self.id = secrets.token_hex(8)
        self.view_only = view_only
        self.host_id = host_id
        self.vm = vm
        self.kind = kind
        self.viewer = viewer
        self.ticket = ticket
        self.started_at = datetime.now(UTC)
        self.waiting = False
        self.channels = 0
        self.last_active = self._began = time.monotonic()
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.left = asyncio.Event()
        self._keys: set[str] = set()

    def admit(self, key: str) -> None:
        """Let further channels in that present this key."""
        self._keys.add(key)

    def lets_in(self, viewer: Viewer, ticket: str, key: str) -> bool:
        """Say whether this viewer, with this ticket and key, belongs to the session."""
        return key in self._keys and viewer == self.viewer and ticket == self.ticket and not self.ended.done()

    def begin(self) -> None:
        """Note that its console is there, and no longer waited for."""
        self.waiting = False
        self.last_active = time.monotonic()

    def end(self, code: CloseCode, reason: str) -> None:
        """Close every WebSocket of the session; the first reason counts."""
        if not self.ended.done():
            self.ended.set_result(Ending(code, reason))

    def is_over(self, limits: ConsoleLimits, now: float) -> Ending | None:
        """Say how the limits end this session, if they do."""
        if now - self.last_active > limits.idle and not self.waiting:
            return Ending(CloseCode.IDLE, f"nothing was sent for {limits.idle:g} s")
        if now - self._began > limits.lifetime:
            return Ending(CloseCode.LIMIT, f"a session lasts {limits.lifetime:g} s at most")
        return None

    def info(self) -> ConsoleSessionInfo:
        """Describe the session."""
        return ConsoleSessionInfo(
            self.id,
            self.host_id,
            self.vm.name,
            self.vm.uuid,
            self.kind,
            self.viewer.name or self.viewer.caller,
            self.view_only,
            self.started_at,
            self.channels,
            self.waiting,
        )


class ConsoleSessions:
    """All sessions of this process, held to the limits; `tell` is called when one begins and when it is over.

    One that waits for its VM to start is a session like the others, but has no console that could begin or be over.
    """

    def __init__(self, limits: ConsoleLimits, tell: Callable[[ConsoleChanged], None]) -> None:
        self._limits = limits
        self._tell = tell
        self._live: dict[str, LiveSession] = {}

    def add(self, session: LiveSession) -> None:
        """Take a session in. Raises `TooManyConsoles`."""
        limits, live = self._limits, self._live.values()
        checks = (
            (len(self._live), limits.total, "in all"),
            (sum(s.vm.uuid == session.vm.uuid for s in live), limits.per_vm, f"of VM {session.vm.name!r}"),
            (sum(s.viewer.caller == session.viewer.caller for s in live), limits.per_user, "of one user"),
        )
        for count, limit, whose in checks:
            if count >= limit:
                raise TooManyConsoles(f"there are {count} console sessions {whose} already; close one first")
        self._live[session.id] = session
        if session.waiting:
            log.info("console waited for", **self._about(session))
        else:
            self._note_open(session)

    def begin(self, session: LiveSession) -> None:
        """Note that the console that a session waits for is there."""
        session.begin()
        self._note_open(session)

    def leave(self, session: LiveSession) -> None:
        """Note that a channel closed; the session is over with its last one."""
        session.channels -= 1
        if session.channels <= 0 and session.id in self._live:
            del self._live[session.id]
            session.left.set()
            session.end(CloseCode.NORMAL, "closed")
            reason = session.ended.result().reason
            if session.waiting:
                log.info("console waited for no longer", **self._about(session), reason=reason)
                return
            log.info("console closed", **self._about(session), reason=reason)
            self._tell(_change_of(session, is_open=False, reason=reason))

    def of(self, host_id: str, vm_uuid: str, kind: str, device: str | None = None) -> list[LiveSession]:
        """Return the sessions that have the consoles of a kind, or one device of it."""
        place = (host_id, vm_uuid, kind)
        found = [s for s in self._live.values() if (s.host_id, s.vm.uuid, s.kind) == place and not s.waiting]
        return found if device is None else [s for s in found if s.device == device]

    def infos(self) -> tuple[ConsoleSessionInfo, ...]:
        """Describe all sessions."""
        return tuple(session.info() for session in self._live.values())

    def live(self) -> tuple[LiveSession, ...]:
        """Return all sessions."""
        return tuple(self._live.values())

    def find(self, session_id: str) -> LiveSession | None:
        """Return one session, None when there is none of this id."""
        return self._live.get(session_id)

    def get(self, session_id: str) -> LiveSession:
        """Return one session. Raises `ConsoleNotFound`."""
        try:
            return self._live[session_id]
        except KeyError:
            raise ConsoleNotFound(f"there is no console session {session_id[:80]!r}") from None

    def holding_ticket(self, ticket: str) -> LiveSession | None:
        """Return the session that was begun with this ticket and lives."""
        return next((session for session in self._live.values() if ticket and session.ticket == ticket), None)

    def sweep(self) -> None:
        """End what the limits end."""
        now = time.monotonic()
        for session in tuple(self._live.values()):
            if ending := session.is_over(self._limits, now):
                session.end(ending.code, ending.reason)

    def _note_open(self, session: LiveSession) -> None:
        log.info("console opened", **self._about(session))
        self._tell(_change_of(session, is_open=True))

    @staticmethod
    def _about(session: LiveSession) -> dict[str, object]:
        return {
            "session": session.id,
            "host": session.host_id,
            "vm": session.vm.name,
            "kind": session.kind,
            "caller": session.viewer.name or session.viewer.caller,
            "view_only": session.view_only,
        }


def _change_of(session: LiveSession, *, is_open: bool, reason: str = "") -> ConsoleChanged:
    return ConsoleChanged(
        host_id=session.host_id,
        vm_uuid=session.vm.uuid,
        vm_name=session.vm.name,
        session_id=session.id,
        kind=session.kind,
        viewer=session.viewer.name or session.viewer.caller,
        caller=session.viewer.caller,
        view_only=session.view_only,
        is_open=is_open,
        reason=reason,
    )
