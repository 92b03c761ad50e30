"""What the program ends with: an exit code for programs, a sentence for people, never a traceback for a mistake."""

import sys
from enum import IntEnum
from typing import NoReturn

from virtumancer import errors
from virtumancer.cli.tables import clean
from virtumancer.errors import VirtumancerError

__all__ = ["Exit", "end_with", "exit_of"]


class Exit(IntEnum):
    """The exit codes of the program."""

    OK = 0
    """What was asked for is done."""
    FAILED = 1
    """It was tried and did not succeed: the hypervisor refused, an operation failed, no answer came in time."""
    USAGE = 2
    """The command line or the configuration is wrong, and nothing was tried."""
    NOT_FOUND = 3
    """There is no such host, VM, operation …, or the caller may not see it."""
    REFUSED = 4
    """Who calls may not do it, or its object is in a state that does not allow it."""
    UNREACHABLE = 5
    """The server, or the host that it would need, cannot be reached just now; trying again later may help."""
    HOST_KEY = 6
    """An SSH host key needs the approval of a person."""
    TEMPORARY = 75
    """The database does not do its work just now; trying again later may help (`EX_TEMPFAIL` of sysexits.h)."""
    INTERRUPTED = 130
    """Ctrl-C."""


# The first that fits counts.
EXITS: tuple[tuple[type[VirtumancerError], Exit], ...] = (
    (errors.UsageError, Exit.USAGE),
    (errors.StoreUnavailable, Exit.TEMPORARY),
    (errors.HostKeyUnknown, Exit.HOST_KEY),
    (errors.HostKeyChanged, Exit.HOST_KEY),
    (errors.PartlyFailed, Exit.FAILED),
    (errors.NotFound, Exit.NOT_FOUND),
    (errors.InvalidValue, Exit.USAGE),
    (errors.InvalidRequest, Exit.USAGE),
    (errors.Unauthenticated, Exit.REFUSED),
    (errors.Forbidden, Exit.REFUSED),
    (errors.MisdirectedRequest, Exit.REFUSED),
    (errors.Conflict, Exit.REFUSED),
    (errors.HostUnreachable, Exit.UNREACHABLE),
    (errors.HostUnavailable, Exit.UNREACHABLE),
)
HINTS: tuple[tuple[type[VirtumancerError], str], ...] = (
    (errors.Unauthenticated, "Name a file with a token by --token-file, or set VIRTUMANCER_TOKEN."),
)


def exit_of(error: VirtumancerError) -> Exit:
    """Return the exit code for an error."""
    if error.code == "server-unreachable":
        return Exit.UNREACHABLE
    return next((code for kind, code in EXITS if isinstance(error, kind)), Exit.FAILED)


def end_with(error: VirtumancerError) -> NoReturn:
    """Say what went wrong, and end the program."""
    lines = [
        *map(clean, f"virtumancer: {error.message}".splitlines()),
        *(hint for kind, hint in HINTS if isinstance(error, kind)),
    ]
    request_id = getattr(error, "request_id", "")
    if request_id and getattr(error, "status", 0) >= 500:
        lines.append(f"The server's log has more about request {request_id}.")
    sys.stderr.write("\n".join(lines) + "\n")
    raise SystemExit(exit_of(error))
