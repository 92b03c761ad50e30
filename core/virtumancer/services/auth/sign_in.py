"""Signing in and out: every attempt is on record, and whoever guesses is slowed down."""

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import structlog
from msgspec import Struct

from virtumancer.errors import (
    Conflict,
    InvalidValue,
    SignInFailed,
    TooManyAttempts,
    Unauthenticated,
    VirtumancerError,
)
from virtumancer.services.audit.log import AuditedAction, AuditLog
from virtumancer.services.auth.directory import USER, WEB, PrincipalDirectory
from virtumancer.services.auth.oidc_users import OIDC, OIDCIdentity
from virtumancer.services.auth.refused_attempts import RefusedAttempts
from virtumancer.services.auth.throttle import LoginThrottle, network_of
from virtumancer.services.auth.tokens import Principal
from virtumancer.services.auth.users import USER_NAME, proof_of
from virtumancer.services.auth.web_sessions import NewWebSession

if TYPE_CHECKING:
    from virtumancer.services.auth.oidc import OIDCAnswer
    from virtumancer.services.auth.oidc.flow import OIDCLogin

__all__ = ["SignIn", "SignInContext"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

BY_OIDC = "sign in with OpenID Connect"

# People type passwords into the wrong field: what cannot be a name is not written down.
NO_NAME = "(no such user)"


class SignInContext(Struct, frozen=True):
    """From where somebody signs in, and the id of the request."""

    address: str
    request_id: str


class SignIn:
    """Begins sessions for people who prove who they are."""

    def __init__(self, callers: PrincipalDirectory, audit: AuditLog, oidc: "OIDCLogin | None" = None) -> None:
        self.oidc = oidc
        self._callers = callers
        self._audit = audit
        self._attempts = LoginThrottle()
        self._unproved = LoginThrottle()
        self.refused = RefusedAttempts(audit)

    async def by_password(self, name: str, password: str, visit: SignInContext) -> NewWebSession:
        """Begin a session of a user. Raises `Unauthenticated`, `TooManyAttempts`."""
        account = name if USER_NAME.fullmatch(name) else NO_NAME
        # Some type their password where the name belongs.
        recorded = account if self._callers.users.knows(account) else NO_NAME
        act = _act("sign in with a password", "anonymous", visit, user=recorded)
        try:
            self._attempts.begin(account, visit.address)
            proved = await self._callers.users.fit(account, password)
        except TooManyAttempts as error:
            await self._note_refused(act, error, error.retry_after)
            raise
        async with self._audit.recorded(act):
            if proved is None:
                raise Unauthenticated("name or password is wrong")
            self._attempts.succeeded(account, visit.address)
            return await self._callers.sessions.begin(f"{USER}{account}", proof_of(proved))

    async def by_link(self, secret: str, visit: SignInContext, signed_in: str = "") -> NewWebSession:
        """Begin the session of a link, for a browser that is `signed_in` as nobody, or the same.

        Raises `Unauthenticated`, and `Conflict` for one that is signed in as somebody else.
        """
        sessions = self._callers.sessions
        owner = sessions.link_owner(secret)
        async with self._audit.recorded(_act("sign in with a link", owner.actor, visit)):
            if signed_in not in {"", owner.actor}:
                raise Conflict(
                    f"you are signed in as {signed_in}, and this link would sign you in as {owner.actor}: "
                    "sign out first, or repeat this with replace",
                    actor=owner.actor,
                )
            return await sessions.follow_link(secret)

    async def by_oidc(self, login: "OIDCLogin", answer: "OIDCAnswer", visit: SignInContext) -> NewWebSession:
        """Begin a session of who comes back from the provider. Raises `SignInFailed`, `TooManyAttempts`."""
        try:
            login.check(answer)
            # What another page can make a browser send does not get this far, so that it slows nobody down.
            self._attempts.begin("", visit.address)
            identity = await login.identify(answer)
            self._attempts.succeeded("", visit.address)
        except VirtumancerError as error:
            log.warning("nobody was signed in at the OpenID provider", reason=error.message)
            await self._note_unproved(_act(BY_OIDC, "anonymous", visit), error)
            raise
        async with self._audit.recorded(_act(BY_OIDC, identity.actor, visit)):
            return await self._begin(identity, login.session_lifetime)

    async def _note_unproved(self, act: AuditedAction, error: VirtumancerError) -> None:
        """Put on record that nobody signed in at the provider; what comes in masses only with its count."""
        try:
            # Anybody can send a browser back; this slows nobody down, it only says what is a mass.
            self._unproved.begin("", act.address)
        except TooManyAttempts as pause:
            await self._note_refused(act, error, pause.retry_after)
            return
        if isinstance(error, TooManyAttempts):
            await self._note_refused(act, error, error.retry_after)
            return
        await self._audit.end(await self._audit.begin(act), error.code)

    async def _note_refused(self, act: AuditedAction, error: VirtumancerError, seconds: float) -> None:
        key = "/".join((act.what, network_of(act.address), *act.target.values()))
        await self.refused.note(key, act, error.code, seconds)

    async def _begin(self, identity: OIDCIdentity, lifetime: timedelta) -> NewWebSession:
        stored = msgspec.json.encode(identity).decode()
        try:
            return await self._callers.sessions.begin(f"{OIDC}{identity.subject}", stored, lifetime)
        except Unauthenticated as error:
            raise SignInFailed(f"{identity.actor} is in no group that may do anything here", why="no-rights") from error

    async def change_password(self, caller: Principal, current: str, new: str, address: str) -> None:
        """Change the password of a user who is signed in. Raises `Conflict`, `InvalidValue`, `TooManyAttempts`."""
        kind, _, name = caller.actor.partition(" ")
        if kind != "user":
            raise Conflict("this caller has no password: it did not sign in as a user")
        self._attempts.begin(name, address)
        proved = await self._callers.users.fit(name, current)
        if proved is None:
            raise InvalidValue("this is not the current password", field="current")
        self._attempts.succeeded(name, address)
        await self._callers.users.set_own(proved, new)

    async def out(self, caller: Principal) -> None:
        """End the caller's session."""
        await self._callers.sessions.end(caller.key.removeprefix(WEB))


def _act(what: str, actor: str, visit: SignInContext, **target: str) -> AuditedAction:
    return AuditedAction(actor=actor, address=visit.address, what=what, target=target, request_id=visit.request_id)
