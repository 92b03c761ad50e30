"""People who signed in at the OpenID provider: who they are, and what their groups may do now."""

from functools import lru_cache

import msgspec
from msgspec import Struct

from virtumancer.services.auth.group_grants import GroupGrants
from virtumancer.services.auth.principals import Permissions
from virtumancer.services.auth.tag_index import TagIndex
from virtumancer.services.auth.tokens import Principal

__all__ = ["OIDC", "OIDCIdentity", "OIDCPeople"]

OIDC = "oidc:"
# One who is made anew would have another `Permissions`, by which others see that rights have changed.
REMEMBERED = 10_000


class OIDCIdentity(Struct, frozen=True):
    """What the provider said of somebody when they signed in."""

    issuer: str
    subject: str
    name: str
    groups: tuple[str, ...]

    @property
    def actor(self) -> str:
        """How the audit log names them."""
        return f"oidc {self.name} ({self.subject})"


class OIDCPeople:
    """Knows what somebody may do whose session holds an identity; `issuer` is empty while there is no provider."""

    def __init__(self, issuer: str, grants: GroupGrants, tags: TagIndex) -> None:
        self._issuer = issuer
        self._grants = grants
        self._tags = tags
        self._made = lru_cache(REMEMBERED)(self._make)

    def caller(self, identity: str) -> Principal | None:
        """Return what the stored identity may do now; None without a right, or when another provider counts now."""
        return self._made(identity)

    def _make(self, stored: str) -> Principal | None:
        identity = msgspec.json.decode(stored, type=OIDCIdentity)
        grants = self._grants.of(identity.groups)
        if identity.issuer != self._issuer or not grants:
            return None
        return Principal(identity.actor, Permissions(grants, self._tags), f"{OIDC}{identity.subject}", None, grants)
