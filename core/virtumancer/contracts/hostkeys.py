"""SSH host keys: what was seen, what is trusted, and who decides."""

from enum import StrEnum
from typing import Literal

from msgspec import Struct

__all__ = ["HostKey", "HostKeyPolicy", "HostKeyTrust", "ShownHostKey", "UnknownHostKeys"]

UnknownHostKeys = Literal["refuse", "accept-new"]
"""`refuse`: an unknown key needs approval; `accept-new`: it is pinned when first seen."""


class HostKey(Struct, frozen=True):
    """One SSH host key of one address.

    `address` is as in known_hosts (`name` or `[name]:port`), `type` as `ssh-ed25519`, `fingerprint` as `SHA256:…`,
    `public` the key in OpenSSH format (type and base64).
    """

    address: str
    type: str
    fingerprint: str
    public: str


class HostKeyTrust(StrEnum):
    """What vouches for a key that a host shows, or speaks against it."""

    PINNED = "pinned"
    """It is pinned for the host."""
    KNOWN_HOSTS = "known-hosts"
    """A line of a known_hosts file has it."""
    AUTHORITY = "authority"
    """Its certificate is valid and signed by a `@cert-authority` of a known_hosts file."""
    UNKNOWN = "unknown"
    """Nobody vouches for it: it may be approved."""
    CHANGED = "changed"
    """Other keys are trusted for the address, and the host shows none of them."""
    REVOKED = "revoked"
    """A `@revoked` line of a known_hosts file has it, or the signer of its certificate."""
    INVALID = "invalid-certificate"
    """Its certificate has expired, or is for another name."""

    @property
    def vouched(self) -> bool:
        """Whether a connection would be made with this key."""
        return self in {HostKeyTrust.PINNED, HostKeyTrust.KNOWN_HOSTS, HostKeyTrust.AUTHORITY}


class ShownHostKey(Struct, frozen=True):
    """One key that a host shows now: what a `HostKey` has, and whether it is trusted."""

    address: str
    type: str
    fingerprint: str
    public: str
    trust: HostKeyTrust


class HostKeyPolicy:
    """Decides about keys that no known_hosts file vouches for, and remembers what it newly accepted.

    A driver asks `pinned_for` for keys to trust, `accepts` about a key that nobody knows, and reports a connection
    that succeeded; the core stores what `newly_accepted` holds then.
    """

    def __init__(
        self,
        pinned: tuple[HostKey, ...] = (),
        approved: frozenset[str] = frozenset(),
        unknown: UnknownHostKeys = "refuse",
    ) -> None:
        self._pinned = pinned
        self._approved = approved
        self._unknown = unknown
        self._newly_accepted: dict[str, HostKey] = {}

    def pinned_for(self, address: str) -> tuple[HostKey, ...]:
        """Return the keys that our store holds for this address."""
        return tuple(key for key in self._pinned if key.address == address)

    def accepts(self, key: HostKey) -> bool:
        """Say whether a key of an address nobody knows is approved; an accepted one is remembered for pinning."""
        accepted = key.fingerprint in self._approved or self._unknown == "accept-new"
        if accepted:
            self._newly_accepted[key.fingerprint] = key
        return accepted

    @property
    def newly_accepted(self) -> tuple[HostKey, ...]:
        """The keys accepted during this attempt, to be pinned once it succeeded."""
        return tuple(self._newly_accepted.values())
