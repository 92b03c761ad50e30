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
├── UpgradeRequired            a WebSocket was asked for without an upgrade
├── TooLarge                   the body is larger than allowed
├── UnknownEncoding            the body is compressed, or encoded in another way
├── NotFound
│   ├── HostNotFound
│   ├── VMNotFound
│   ├── ActionNotFound
│   ├── ConsoleNotFound
│   ├── PluginNotFound
│   ├── OperationNotFound
│   └── ResourceNotFound
├── Conflict
│   ├── HostExists
│   ├── WrongPowerState
│   ├── ConsoleBusy
│   ├── HostKeyUnknown
│   ├── HostKeyChanged
│   ├── Busy
│   ├── NotCancellable
│   ├── OperationCancelled
│   ├── PartlyFailed
│   ├── RequestInProgress
│   ├── OutcomeUnknown
│   ├── AnswerNotKept
│   └── ResourceExists
├── KeyReused                  an Idempotency-Key came with another request
├── RangeNotSatisfiable        the content is shorter than that
├── TooManyKeys                the caller has used too many of them
├── AbilityMissing             the host cannot do this at all
├── HypervisorError            the hypervisor refused, or answered nonsense
│   ├── HostUnreachable
│   └── AuthenticationFailed
├── CredentialsUnreadable      the server has no key, or another one, for the credentials of a host
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
│   └── FunctionFailed         or a function that another one had handed to it
└── PluginDegraded             a plugin keeps failing, and is not asked just now
"""

from virtumancer.errors.auth import Forbidden, SignInFailed, TooManyAttempts, Unauthenticated
from virtumancer.errors.base import Conflict, NotFound, VirtumancerError
from virtumancer.errors.consoles import ConsoleBusy, ConsoleClosed, ConsoleNotFound, ConsoleRefused, TooManyConsoles
from virtumancer.errors.hosts import (
    AbilityMissing,
    AuthenticationFailed,
    CallTimeout,
    CredentialsUnreadable,
    HostExists,
    HostKeyChanged,
    HostKeyUnknown,
    HostLost,
    HostNotFound,
    HostUnavailable,
    HostUnreachable,
    HypervisorError,
)
from virtumancer.errors.idempotency import AnswerNotKept, KeyReused, OutcomeUnknown, RequestInProgress, TooManyKeys
from virtumancer.errors.operations import (
    Busy,
    NotCancellable,
    OperationCancelled,
    OperationNotFound,
    PartlyFailed,
    TooManyOperations,
)
from virtumancer.errors.plugins import FunctionFailed, PluginDegraded, PluginFailed, PluginNotFound
from virtumancer.errors.requests import (
    InvalidFilter,
    InvalidRequest,
    InvalidValue,
    MisdirectedRequest,
    NotReady,
    PreconditionFailed,
    TooLarge,
    UnknownEncoding,
    UpgradeRequired,
)
from virtumancer.errors.resources import RangeNotSatisfiable, ResourceExists, ResourceNotFound
from virtumancer.errors.startup import ConfigError, UsageError
from virtumancer.errors.store import StoreUnavailable, StoreUnusable
from virtumancer.errors.vms import ActionNotFound, StateNotReached, VMNotFound, WrongPowerState

__all__ = [
    "AbilityMissing",
    "ActionNotFound",
    "AnswerNotKept",
    "AuthenticationFailed",
    "Busy",
    "CallTimeout",
    "ConfigError",
    "Conflict",
    "ConsoleBusy",
    "ConsoleClosed",
    "ConsoleNotFound",
    "ConsoleRefused",
    "CredentialsUnreadable",
    "Forbidden",
    "FunctionFailed",
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
    "OperationCancelled",
    "OperationNotFound",
    "OutcomeUnknown",
    "PartlyFailed",
    "PluginDegraded",
    "PluginFailed",
    "PluginNotFound",
    "PreconditionFailed",
    "RangeNotSatisfiable",
    "RequestInProgress",
    "ResourceExists",
    "ResourceNotFound",
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
    "UnknownEncoding",
    "UpgradeRequired",
    "UsageError",
    "VMNotFound",
    "VirtumancerError",
    "WrongPowerState",
]
