"""A host: whether it is there, lets us in, answers and can do what is asked."""

from typing import Any

from virtumancer.errors.base import Conflict, NotFound, VirtumancerError

__all__ = [
    "AbilityMissing",
    "AuthenticationFailed",
    "CallTimeout",
    "CredentialsUnreadable",
    "HostExists",
    "HostKeyChanged",
    "HostKeyUnknown",
    "HostLost",
    "HostNotFound",
    "HostUnavailable",
    "HostUnreachable",
    "HypervisorError",
]


class HostNotFound(NotFound):
    """No host has this id."""

    code = "host-not-found"


class HostExists(Conflict):
    """A host with this id is already there."""

    code = "host-exists"


class HostKeyUnknown(Conflict):
    """The host's SSH key is vouched for by nobody; `extra` holds `host_key` with address, type and fingerprint."""

    code = "host-key-unknown"


class HostKeyChanged(Conflict):
    """The host shows another SSH key than the trusted one; `extra` holds `host_key` and `trusted_host_keys`."""

    code = "host-key-changed"


class HypervisorError(VirtumancerError):
    """The hypervisor refused; the message holds its reason."""

    code = "hypervisor-error"


class HostUnreachable(HypervisorError):
    """No connection to the host could be made."""

    code = "host-unreachable"


class AuthenticationFailed(HypervisorError):
    """The host does not let us in."""

    code = "authentication-failed"


class CredentialsUnreadable(VirtumancerError):
    """The credentials of a host cannot be opened, or sealed, with the key that the server has."""

    code = "credentials-unreadable"


class CallTimeout(VirtumancerError):
    """The host did not answer in time."""

    code = "timeout"


class HostUnavailable(VirtumancerError):
    """The host is not connected; `retry_after` is seconds until the next attempt is due."""

    code = "host-unavailable"

    def __init__(self, message: str, *, retry_after: float = 5.0, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after


class HostLost(HostUnavailable):
    """The connection broke while it was used."""

    code = "host-lost"


class AbilityMissing(VirtumancerError):
    """This host's driver cannot do this; `extra` holds `ability`."""

    code = "ability-missing"
