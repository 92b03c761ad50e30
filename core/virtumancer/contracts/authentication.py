"""What a plugin does to say who calls, where neither a token nor a session does."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from msgspec import Struct

__all__ = ["AuthRequest", "Authenticator", "Identity"]


class AuthRequest(Struct, frozen=True):
    """What an authenticator is shown of a request."""

    headers: Mapping[str, str]
    """Those of its `headers` that the request has, by their names in lower case."""
    address: str
    """From where it comes; behind a proxy that is trusted, what the proxy says."""


class Identity(Struct, frozen=True):
    """Who calls: the audit log writes `NAME via PLUGIN`."""

    name: str
    """1 to 100 printable characters."""
    groups: tuple[str, ...] = ()
    """What `[access.groups]` of the configuration gives to these groups the caller may do, and nothing else."""


class Authenticator(ABC):
    """Says who calls, by headers that a trusted proxy sets, a certificate it has seen, or tokens of somebody else.

    It is asked for requests that have one of its `headers`, when no token, ticket or session of ours says who calls,
    and never for what everybody may see. What it says counts for half a second; for what lives longer, as a console, it
    is asked again. Whoever it does not know any more loses that within a second.
    """

    name: ClassVar[str]
    headers: ClassVar[tuple[str, ...]]
    """The headers it looks at, in lower case; it is shown no others, and never `cookie` or one of our own tokens."""
    timeout: ClassVar[float] = 5.0
    """Seconds that one answer may take."""

    @abstractmethod
    async def authenticate(self, request: AuthRequest) -> Identity | None:
        """Return who calls, None for whom it does not know.

        It says who somebody is; what they may do the configuration says. Whatever it raises, and an answer that comes
        too late, let nobody in.
        """
