"""Everybody who may call: with a token or as a user, perhaps through a browser's session, or known to a plugin."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

import structlog
from msgspec import structs

from virtumancer.config import Config
from virtumancer.contracts import Authenticator, Caller
from virtumancer.errors import Conflict, Forbidden, Unauthenticated
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.services.auth.authenticators import VIA, Authenticators
from virtumancer.services.auth.group_grants import GroupGrants
from virtumancer.services.auth.oidc_users import OIDC, OIDCPeople
from virtumancer.services.auth.passwords import Passwords
from virtumancer.services.auth.permissions import BUILT_IN, Right
from virtumancer.services.auth.principals import Permissions
from virtumancer.services.auth.tag_index import TagIndex
from virtumancer.services.auth.tokens import Principal, Tokens
from virtumancer.services.auth.users import Users
from virtumancer.services.auth.web_sessions import NewLink, WebSessions
from virtumancer.services.runtime.clock import wall_clock
from virtumancer.store import StoredWebSession, TokensRepository, UsersRepository, WebSessionsRepository

__all__ = ["PrincipalDirectory"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

USER = "user:"
WEB = "web:"


class PrincipalDirectory:
    """Knows what the caller of each key may do: `web:SESSION`, `via:DIGEST` or the id of a token.

    `rights` are those that plugins bring, beside our own; `plugin_roles` says which of them each role holds.
    """

    def __init__(
        self,
        tokens: TokensRepository,
        users: UsersRepository,
        sessions: WebSessionsRepository,
        config: Config,
        authenticators: Mapping[str, tuple[str, Authenticator]],
        health: PluginCaller,
        rights: Collection[str] = (),
        now: Callable[[], datetime] = wall_clock,
        plugin_roles: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        known = BUILT_IN.union(rights)
        asked = config.server.auth == "token"
        roles = GroupGrants("oidc.roles", config.oidc.roles)
        groups = GroupGrants("access.groups", config.access.groups)
        self._groups = (roles, groups)
        for table in self._groups:
            for complaint in table.misspelt(known):
                # No reason to stop: the plugin that has this right may be the one that failed.
                log.warning("a grant of the configuration names an unknown right", reason=complaint)
        self.tags = TagIndex(plugin_roles)
        self._people = OIDCPeople(config.oidc.issuer, roles, self.tags)
        self.tokens = Tokens(tokens, self.tags, known, now=self.now, asked=asked)
        self.users = Users(users, Passwords(), self.tags, self.tokens.tell, known, now=self.now, asked=asked)
        self.sessions = WebSessions(sessions, self._owner, self.tokens.tell, now)
        self.outsiders = Authenticators(authenticators, health, groups, self.tags, self.tokens.tell)

    def caller(self, key: str) -> Principal | None:
        """Return what the caller of a key may do now; None when it is not valid any more."""
        if key.startswith(WEB):
            return self.sessions.caller(key.removeprefix(WEB))
        return self.outsiders.caller(key) if key.startswith(VIA) else self.tokens.caller(key)

    def now(self, caller: Principal) -> Principal:
        """Return somebody who called a while ago as they are now. Raises `Unauthenticated`."""
        if not caller.key:
            return caller
        now = self.caller(caller.key)
        if now is None:
            raise Unauthenticated("whoever called may not call any more: the token, user or session has ended")
        return now

    def access_now(self, caller: Principal) -> Permissions:
        """Return what somebody who called a while ago may do now."""
        if not caller.key:
            return caller.access
        now = self.caller(caller.key)
        return now.access if now else Permissions((), self.tags)

    def seen_by_plugins(self, caller: Principal) -> Caller:
        """Return somebody who calls as plugins learn of them: with the rights that they have when they are asked."""

        def allowed(right: str, host: str, vm: str) -> bool:
            return self.access_now(caller).on(right, host, vm)

        return Caller(caller.actor, allowed)

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` whenever rights may have been withdrawn; returns the function that ends it."""
        return self.tokens.on_change(listener)

    def watch(self, caller: Principal, ended: Callable[[], None]) -> Callable[[], None]:
        """Call `ended` once a caller has other rights than it came with, or lost some with a tag from now on.

        Returns what ends it. What has changed since the caller came is told at once.
        """
        unchanged = self.unchanged(caller)

        def look() -> None:
            if not unchanged():
                ended()

        if not caller.key:
            return lambda: None
        look()
        return self.on_change(look)

    def unchanged(self, caller: Principal) -> Callable[[], bool]:
        """Return what says whether a caller still has the rights it came with, and lost none with a tag since now."""
        withdrawals = caller.access.withdrawals()

        def look() -> bool:
            now = self.caller(caller.key)
            return now is not None and now.access is caller.access and now.access.withdrawals() == withdrawals

        return look

    def require_still(self, caller: Principal, right: str, host: str, uuid: str) -> None:
        """Raise `Forbidden` when somebody who waits has lost the right on a VM that they came with."""
        if not self.access_now(caller).on_vm(right, host, uuid):
            raise Forbidden(f"the right '{str.__str__(right)}' on this VM was withdrawn while you waited")

    def set_tags(self, host: str, uuid: str, tags: frozenset[str]) -> None:
        """Note which tags a VM or host has from now on; what lived by one that is gone ends."""
        if self.tags.set(host, uuid, tags):
            self.tokens.tell()

    def require_tagging(self, caller: Principal, host: str, uuid: str, tags: Collection[str]) -> None:
        """Raise `Forbidden` unless a caller may give these tags to a VM or host, and take them away.

        Whoever does gives and withdraws rights: it needs `access`, and all that somebody has by such a tag.
        """
        access = self.access_now(caller)
        if not (access.on_vm(Right.ACCESS, host, uuid) if uuid else access.on_host(Right.ACCESS, host)):
            raise Forbidden("rights may hang on tags: to change them needs the right 'access' on what has them")
        by_group = (grant for groups in self._groups for grant in groups.given())
        for grant in (*self.tokens.grants(), *self.users.grants(), *by_group):
            if grant.tag in tags and grant.host in {"", host}:
                given = structs.replace(grant, tag="", host=host, vm=uuid)
                if not access.covers(given):
                    raise Forbidden(f"the tag {grant.tag!r} gives somebody rights on this that you do not have")

    async def make_link(self, caller: Principal) -> NewLink:
        """Make a link that signs a browser in as this caller, who has a token. Raises `Conflict`."""
        if not caller.key or caller.key.startswith((WEB, VIA)):
            raise Conflict("a link is made for who has a token; a browser that is signed in needs none")
        return await self.sessions.make_link(caller.key)

    async def load(self) -> None:
        """Bring the memory in step with the store."""
        await self.tokens.load()
        await self.users.load()
        await self.sessions.load()

    def _owner(self, stored: StoredWebSession) -> Principal | None:
        if stored.owner.startswith(USER):
            return self.users.caller(stored.owner.removeprefix(USER), stored.created_at, stored.identity)
        if stored.owner.startswith(OIDC):
            return self._people.caller(stored.identity)
        return self.tokens.caller(stored.owner)
