"""Callers whom authenticators of plugins know: asked for when nothing of ours says who calls, and while it counts."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta, Struct

from virtumancer.contracts import Authenticator, AuthRequest, Identity
from virtumancer.errors import TooManyAttempts, VirtumancerError
from virtumancer.plugins.calls.blame import ReturnCheck
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.services.auth.group_grants import GroupGrants
from virtumancer.services.auth.principals import Permissions
from virtumancer.services.auth.tag_index import TagIndex
from virtumancer.services.auth.tokens import Principal
from virtumancer.services.runtime.periodic_task import PeriodicTask

__all__ = ["VIA", "Authenticators"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

VIA = "via:"
HOOK = "virtumancer_authenticators"
# What an authenticator said counts for so long …
FRESH = 0.5
# … and for a ticket that somebody takes up, or what goes on, so long. There it is asked again at once.
KEPT = 60.0
# What lives by somebody asks what they may do more often than that.
IN_USE = 2.0
INTERVAL = 0.25
REMEMBERED = 10_000
AT_ONCE = 32
WAITING = 256


class _Known(Struct):
    """Somebody who was known a while ago: `asked_at` is when somebody wanted to know what they may do."""

    caller: Principal
    door: "_AuthenticatorClient"
    request: AuthRequest
    checked_at: float
    asked_at: float


class Authenticators(PeriodicTask):
    """Asks each authenticator that looks at a header of the request; the first that knows the caller counts.

    One that fails or is late lets nobody in. `tell` says that rights changed.
    """

    def __init__(
        self,
        authenticators: Mapping[str, tuple[str, Authenticator]],
        health: PluginCaller,
        groups: GroupGrants,
        tags: TagIndex,
        tell: Callable[[], None],
    ) -> None:
        self._doors = [
            _AuthenticatorClient(plugin, authenticator, health) for plugin, authenticator in authenticators.values()
        ]
        self.headers = frozenset(header for door in self._doors for header in door.headers)
        """The headers that at least one of them looks at."""
        self._groups = groups
        self._tags = tags
        self._tell = tell
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[None]] = {}
        failing = "who is known to authenticators could not be looked through"
        super().__init__("authenticators", self._look, INTERVAL, failing=failing, needed=bool(self._doors))

    async def _on_stop(self) -> None:
        """Give up what is being asked."""
        tasks = set(self._asking.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def look_at_any(self) -> bool:
        """Say whether there is one that could be asked."""
        return bool(self._doors)

    async def authenticate(self, header: Callable[[str], str | None], address: str) -> Principal | None:
        """Return who calls; None when no authenticator knows them. Raises `TooManyAttempts`."""
        for door in self._doors:
            shown = {name: value for name in door.headers if (value := header(name)) is not None}
            if shown:
                request = AuthRequest(shown, address)
                identity = await door.ask(request)
                if identity:
                    return self._note(door, request, identity)
        return None

    def caller(self, key: str) -> Principal | None:
        """Return what somebody may do who called a while ago; None when they are not known any more."""
        known = self._known.get(key)
        if known is None or time.monotonic() - known.checked_at > KEPT:
            return None
        known.asked_at = time.monotonic()
        return known.caller

    def _note(self, door: "_AuthenticatorClient", request: AuthRequest, identity: Identity) -> Principal:
        """Remember somebody; who has the groups they had stays the same caller, so that nothing of theirs ends."""
        digest = hashlib.sha256(f"{door.plugin}\0{identity.name}".encode()).hexdigest()
        key, now = f"{VIA}{digest[:24]}", time.monotonic()
        grants = self._groups.of(identity.groups)
        known = self._known.pop(key, None)
        if known is None or known.caller.grants != grants:
            caller = Principal(f"{identity.name} via {door.plugin}", Permissions(grants, self._tags), key, None, grants)
            changed, asked_at = known is not None, now
        else:
            caller, changed, asked_at = known.caller, False, known.asked_at
        self._known[key] = _Known(caller, door, request, now, asked_at)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        if changed:
            self._tell()
        return caller

    async def _look(self) -> None:
        """Forget who was not known for long, and ask again for those by whom something lives."""
        now = time.monotonic()
        for key in [key for key, known in self._known.items() if now - known.checked_at > KEPT]:
            del self._known[key]
        for key, known in self._known.items():
            due = now - known.asked_at < IN_USE and now - known.checked_at >= FRESH
            if due and key not in self._asking:
                # In a task each: one answer that is late delays no other.
                self._asking[key] = asyncio.create_task(self._ask_again(key, known), name=f"asking for {key}")

    async def _ask_again(self, key: str, known: _Known) -> None:
        try:
            identity = await known.door.ask(known.request)
        except TooManyAttempts:
            identity = None
        finally:
            del self._asking[key]
        if self._known.get(key) is not known:
            return  # a request of theirs was faster
        if identity and self._note(known.door, known.request, identity).key == key:
            return
        self._known.pop(key, None)
        log.info("somebody is not known to an authenticator any more", actor=known.caller.actor)
        self._tell()


class _AuthenticatorClient:
    """One authenticator, asked by so many at once, and what it said a moment ago."""

    def __init__(self, plugin: str, authenticator: Authenticator, health: PluginCaller) -> None:
        self.plugin = plugin
        self.headers = authenticator.headers
        self._authenticator = authenticator
        self._health = health
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._said: OrderedDict[bytes, tuple[float, Identity | None]] = OrderedDict()

    async def ask(self, request: AuthRequest) -> Identity | None:
        """Return who calls; None also when it fails. Raises `TooManyAttempts`."""
        digest = _digest(request)
        said = self._fresh(digest)
        if said:
            return said[1]
        if self._waiting >= WAITING:
            raise TooManyAttempts("too many callers are asked for just now; try again", retry_after=1.0)
        self._waiting += 1
        try:
            async with self._slots:
                said = self._fresh(digest)
                identity = said[1] if said else await self._ask(request)
        finally:
            self._waiting -= 1
        if not said:
            self._said[digest] = (time.monotonic() + FRESH, identity)
            self._said.move_to_end(digest)
            while len(self._said) > REMEMBERED:
                self._said.popitem(last=False)
        return identity

    async def _ask(self, request: AuthRequest) -> Identity | None:
        authenticator = self._authenticator
        call = PluginCall(self.plugin, HOOK, authenticator.name, "")
        what = f"asking {authenticator.name} who calls"
        try:
            return await self._health.call(
                call, what, lambda: authenticator.authenticate(request), authenticator.timeout, ANSWER
            )
        except VirtumancerError as error:
            log.warning("an authenticator let nobody in", plugin=self.plugin, reason=error.message)
            return None

    def _fresh(self, digest: bytes) -> tuple[float, Identity | None] | None:
        said = self._said.get(digest)
        return said if said and said[0] > time.monotonic() else None


def _digest(request: AuthRequest) -> bytes:
    """Name a request by what it shows, without keeping that."""
    parts = [request.address, *(part for item in sorted(request.headers.items()) for part in item)]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).digest()


class _Told(Struct):
    """An identity as it has to be, whatever a plugin puts into one."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    groups: Annotated[tuple[str, ...], Meta(max_length=1000)]


def _fits(returned: object) -> bool:
    if not isinstance(returned, Identity):
        return returned is None
    try:
        told = msgspec.convert({"name": returned.name, "groups": returned.groups}, _Told)
    except msgspec.ValidationError:
        return False
    return told.name.isprintable() and not told.name.isspace()


ANSWER = ReturnCheck("authenticate", "None or an Identity with a printable name and a tuple of groups", _fits)
