"""Every error of ours, each with the stable code that clients see.

VirtumancerError
├── UsageError                 a person's mistake at start-up: the program says so and exits with 2
│   ├── ConfigError
│   └── StoreUnusable          it is one of the next too
├── StoreUnavailable           the database does not do its work just now
├── InvalidRequest             the request cannot be read
├── InvalidValue               a field has a value that can never work
│   └── InvalidFilter          a filter cannot be understood
├── PreconditionFailed         the object was changed since the client read it
├── Unauthenticated            nobody knows who the caller is
│   └── SignInFailed
├── Forbidden                  the caller may not do this
├── MisdirectedRequest         the Host header names another server
├── TooLarge                   the body is larger than allowed
├── NotFound
│   ├── HostNotFound
│   ├── VMNotFound
│   ├── ActionNotFound
│   ├── ConsoleNotFound
│   ├── PluginNotFound
│   └── OperationNotFound
├── Conflict
│   ├── HostExists
│   ├── WrongPowerState
│   ├── ConsoleBusy
│   ├── HostKeyUnknown
│   ├── HostKeyChanged
│   ├── NotCancellable
│   ├── PartlyFailed
│   ├── RequestInProgress
│   ├── OutcomeUnknown
│   └── AnswerNotKept
├── KeyReused                  an Idempotency-Key came with another request
├── TooManyKeys                the caller has used too many of them
├── AbilityMissing             the host cannot do this at all
├── HypervisorError            the hypervisor refused, or answered nonsense
│   ├── HostUnreachable
│   └── AuthenticationFailed
├── CallTimeout                no answer in time
│   └── StateNotReached
├── HostUnavailable            not connected just now
│   └── HostLost
├── ConsoleClosed              the other end of a console is gone
├── ConsoleRefused             a console's WebSocket ends with a close code
├── TooManyConsoles            a limit of sessions is reached
├── TooManyAttempts            somebody guesses passwords
├── TooManyOperations          the queue of operations is full
├── NotReady                   a part that the server needs does not work
├── PluginFailed               a plugin raised something that is not one of these
└── PluginDegraded             a plugin keeps failing, and is not asked just now
"""

from typing import Any, ClassVar

__all__ = [
    "AbilityMissing",
    "ActionNotFound",
    "AnswerNotKept",
    "AuthenticationFailed",
    "CallTimeout",
    "ConfigError",
    "Conflict",
    "ConsoleBusy",
    "ConsoleClosed",
    "ConsoleNotFound",
    "ConsoleRefused",
    "Forbidden",
    "HostExists",
    "HostKeyChanged",
    "HostKeyUnknown",
    "HostLost",
    "HostNotFound",
    "HostUnavailable",
    "HostUnreachable",
    "HypervisorError",
    "InvalidFilter",
    "InvalidRequest",
    "InvalidValue",
    "KeyReused",
    "MisdirectedRequest",
    "NotCancellable",
    "NotFound",
    "NotReady",
    "OperationNotFound",
    "OutcomeUnknown",
    "PartlyFailed",
    "PluginDegraded",
    "PluginFailed",
    "PluginNotFound",
    "PreconditionFailed",
    "RequestInProgress",
    "SignInFailed",
    "StateNotReached",
    "StoreUnavailable",
    "StoreUnusable",
    "TooLarge",
    "TooManyAttempts",
    "TooManyConsoles",
    "TooManyKeys",
    "TooManyOperations",
    "Unauthenticated",
    "UsageError",
    "VMNotFound",
    "VirtumancerError",
    "WrongPowerState",
]


class VirtumancerError(Exception):
    """The root of our errors: a sentence for people, a code for programs, and facts as `extra` members."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extra = extra


class UsageError(VirtumancerError):
    """A mistake of the person who starts the program."""

    code = "usage-error"


class ConfigError(UsageError):
    """The configuration has a wrong or unknown key; the message holds its path and the cure."""

    code = "config-error"


class StoreUnavailable(VirtumancerError):
    """The database does not do its work just now; whether what was begun was written is not known."""

    code = "store-unavailable"
    retry_after = 2.0


class StoreUnusable(UsageError, StoreUnavailable):
    """The database cannot be used as it is, or another process has it; waiting does not cure that."""

    code = "store-unusable"


class InvalidRequest(VirtumancerError):
    """The request cannot be read: malformed JSON, a wrong media type."""

    code = "invalid-request"


class InvalidValue(VirtumancerError):
    """A field has a wrong type or a value that can never work; `field` is its path in the body."""

    code = "invalid-value"

    def __init__(self, message: str, *, field: str, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.field = field


class InvalidFilter(InvalidValue):
    """A filter cannot be understood; `position` says from which character on, counted from 1."""

    code = "invalid-filter"

    def __init__(self, message: str, *, position: int, field: str = "filter") -> None:
        super().__init__(f"at character {position} of the filter: {message}", field=field, position=position)


class PreconditionFailed(VirtumancerError):
    """The object is not what the client knows: its `ETag` is none of those of `If-Match`."""

    code = "precondition-failed"


class Unauthenticated(VirtumancerError):
    """The request has no token, or one that is not valid."""

    code = "unauthenticated"


class SignInFailed(Unauthenticated):
    """Nobody could be signed in at the OpenID provider; `why` is a word for the sign-in page."""

    code = "sign-in-failed"

    def __init__(self, message: str, *, why: str, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.why = why


class Forbidden(VirtumancerError):
    """The caller may not do this."""

    code = "forbidden"


class MisdirectedRequest(VirtumancerError):
    """The Host header names a server that is not this one."""

    code = "misdirected-request"


class TooLarge(VirtumancerError):
    """The body of a request is larger than allowed."""

    code = "body-too-large"


class UnknownEncoding(VirtumancerError):
    """The body of a request is compressed, or encoded in another way."""

    code = "unknown-encoding"


class NotFound(VirtumancerError):
    """The thing asked for does not exist."""

    code = "not-found"


class HostNotFound(NotFound):
    """No host has this id."""

    code = "host-not-found"


class VMNotFound(NotFound):
    """No VM of this host has this name or UUID."""

    code = "vm-not-found"


class ActionNotFound(NotFound):
    """No plugin offers this action."""

    code = "action-not-found"


class ConsoleNotFound(NotFound):
    """The VM has no such console, or there is no session of this id."""

    code = "console-not-found"


class PluginNotFound(NotFound):
    """No plugin has this name."""

    code = "plugin-not-found"


class OperationNotFound(NotFound):
    """There is no operation of this id, or it is not kept any more."""

    code = "operation-not-found"


class Conflict(VirtumancerError):
    """The request does not fit the present state of its object."""

    code = "conflict"


class HostExists(Conflict):
    """A host with this id is already there."""

    code = "host-exists"


class WrongPowerState(Conflict):
    """The VM's power state does not allow this."""

    code = "wrong-power-state"


class ConsoleBusy(Conflict):
    """Somebody else has this console, and the caller asked not to disturb."""

    code = "console-busy"


class HostKeyUnknown(Conflict):
    """The host's SSH key is vouched for by nobody; `extra` holds `host_key` with address, type and fingerprint."""

    code = "host-key-unknown"


class HostKeyChanged(Conflict):
    """The host shows another SSH key than the trusted one; `extra` holds `host_key` and `trusted_host_keys`."""

    code = "host-key-changed"


class NotCancellable(Conflict):
    """The operation has ended, or what it does just now cannot be taken back."""

    code = "not-cancellable"


class PartlyFailed(Conflict):
    """An operation over many VMs did not succeed on all of them; its `outcomes` say on which."""

    code = "partly-failed"


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key is not answered yet; `retry_after` is seconds."""

    code = "request-in-progress"

    def __init__(self, message: str, *, retry_after: float = 1.0, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after


class OutcomeUnknown(Conflict):
    """The server ended while it handled the first request with this Idempotency-Key; it is not done again.

    `extra` holds `look_at`, a path that tells whether it was done, and `first_request`, the id of that request.
    """

    code = "outcome-unknown"


class AnswerNotKept(Conflict):
    """What was asked with this Idempotency-Key was done, but its answer cannot be shown again.

    `extra` holds `first_status`, its status, and `first_location`, its `Location`, when there was one.
    """

    code = "answer-not-kept"


class KeyReused(VirtumancerError):
    """This Idempotency-Key belongs to another request: another method, path, query, `Prefer` or body."""

    code = "idempotency-key-reused"


class TooManyKeys(VirtumancerError):
    """The caller has as many Idempotency-Keys as are kept for one; `retry_after` is seconds until one expires."""

    code = "too-many-keys"

    def __init__(self, message: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after


class AbilityMissing(VirtumancerError):
    """This host's driver cannot do this; `extra` holds `ability`."""

    code = "ability-missing"


class HypervisorError(VirtumancerError):
    """The hypervisor refused; the message holds its reason."""

    code = "hypervisor-error"


class HostUnreachable(HypervisorError):
    """No connection to the host could be made."""

    code = "host-unreachable"


class AuthenticationFailed(HypervisorError):
    """The host does not let us in."""

    code = "authentication-failed"


class CallTimeout(VirtumancerError):
    """The host did not answer in time."""

    code = "timeout"


class StateNotReached(CallTimeout):
    """The action was accepted, but the VM did not reach the state asked for in time; `extra` holds `state`."""

    code = "state-not-reached"


class HostUnavailable(VirtumancerError):
    """The host is not connected; `retry_after` is seconds until the next attempt is due."""

    code = "host-unavailable"

    def __init__(self, message: str, *, retry_after: float = 5.0, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after


class HostLost(HostUnavailable):
    """The connection broke while it was used."""

    code = "host-lost"


class ConsoleClosed(VirtumancerError):
    """The other end of a console is gone."""

    code = "console-closed"


class ConsoleRefused(VirtumancerError):
    """A console ends with this close code; `close_code` is one of `virtumancer.contracts.CloseCode`."""

    code = "console-refused"

    def __init__(self, message: str, *, close_code: int, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.close_code = close_code


class TooManyConsoles(VirtumancerError):
    """There are as many console sessions as the configuration allows."""

    code = "too-many-consoles"


class TooManyAttempts(VirtumancerError):
    """Attempts to sign in failed too often; `retry_after` is seconds until the next one is heard."""

    code = "too-many-attempts"

    def __init__(self, message: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after


class TooManyOperations(VirtumancerError):
    """As many operations wait as the configuration allows; `retry_after` is seconds."""

    code = "too-many-operations"

    def __init__(self, message: str, *, retry_after: float = 5.0, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after


class NotReady(VirtumancerError):
    """A part that the server needs does not work; `parts` says of each whether it does."""

    code = "not-ready"
    retry_after = 5.0


class PluginFailed(VirtumancerError):
    """A plugin raised an error that is not one of ours; the message names the plugin."""

    code = "plugin-failed"


class PluginDegraded(VirtumancerError):
    """What a plugin provides keeps failing on this host; `retry_after` is seconds until it may be tried again."""

    code = "plugin-degraded"

    def __init__(self, message: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(message, **extra)
        self.retry_after = retry_after
