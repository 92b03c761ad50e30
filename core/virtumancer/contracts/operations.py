"""Operations: work that goes on after the request that asked for it was answered, as the API shows it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct

from virtumancer.contracts.status import Timestamp

__all__ = [
    "OperationError",
    "OperationInfo",
    "OperationOutcome",
    "OperationProgress",
    "OperationState",
    "OperationTarget",
]


class OperationState(StrEnum):
    """Where an operation stands; the last four are final."""

    QUEUED = "queued"
    """Nothing was done yet."""
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """`error` says why."""
    CANCELLED = "cancelled"
    """Somebody gave it up before its end; `step` says how far it was."""
    INTERRUPTED = "interrupted"
    """The server ended meanwhile; whether the last `step` had an effect is not known."""


class OperationTarget(Struct, frozen=True):
    """What an operation is about: everything, a host, a VM by host and UUID, or a resource of one of these."""

    host: str = ""
    vm: str = ""
    """The VM's UUID."""
    name: str = ""
    """The VM's name when the operation began."""
    resource: str = ""
    """The type of a resource, as `snapshots`; empty when it is about no resource."""
    key: str = ""
    """Which one of them it is; empty while nobody knows yet."""


class OperationError(Struct, frozen=True):
    """Why an operation did not succeed: `code` and further `facts` as in problem documents, `detail` for people."""

    code: str
    detail: str
    facts: Mapping[str, Any] = {}


class OperationProgress(Struct, frozen=True):
    """How far an operation is: `done` of `total`, counted in `unit`; it never falls while these two stay the same."""

    total: int
    """How much there is to do; 0 when nobody knows."""
    done: int = 0
    failed: int = 0
    """How many of those that are done did not succeed, in an operation over many VMs."""
    unit: str = ""
    """What is counted, as `bytes`, `VMs` or `%`."""


class OperationOutcome(Struct, frozen=True, kw_only=True):
    """What became of one VM in an operation over many; for what was not found, what was asked for."""

    host: str
    vm: str
    """The VM's UUID."""
    name: str
    outcome: str
    """`ok`, `already`, the code of an error, `not-begun`, or `running` while it is not known yet."""
    detail: str = ""


class OperationInfo(Struct, frozen=True, kw_only=True):
    """An operation; times are UTC, null for what has not happened yet."""

    id: str
    action: str
    """What it does: the name of an action, `connect-host` or `add-host`."""
    target: OperationTarget
    state: OperationState
    step: str
    """What it was doing last."""
    progress: OperationProgress | None = None
    """How far it is, where the work says so."""
    result: Any = None
    """What the request would have been answered with, had it waited; null for nothing."""
    error: OperationError | None = None
    actor: str
    """Who started it, as in the audit log."""
    request_id: str
    """The `X-Request-Id` of the answer to the request that started it."""
    cancellable: bool
    """Whether `DELETE` can end it just now."""
    exclusive: bool = False
    """Until its end, others who want to change the same VM are refused with 409 `busy`."""
    created_at: Timestamp
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    outcomes: tuple[OperationOutcome, ...] = ()
    """For operations over many VMs, what became of each; left empty in lists."""
