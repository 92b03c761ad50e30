"""The table of error codes, from the error classes and the one table that maps them to HTTP."""

from collections.abc import Iterator
from http import HTTPStatus

from virtumancer import errors
from virtumancer.errors import UsageError, VirtumancerError
from virtumancer.http.problems import STATUS
from virtumancer_reference.markdown import docstring, table

__all__ = ["error_codes", "problems", "start_up_errors"]


def problems() -> Iterator[tuple[type[VirtumancerError], HTTPStatus]]:
    """Yield every error that can become an answer, with its status, in the order of the class tree."""
    kinds = [getattr(errors, name) for name in errors.__all__]
    for kind in sorted(kinds, key=lambda kind: (_status(kind) or 0, kind.code)):
        status = _status(kind)
        if status:
            yield kind, status


def error_codes() -> str:
    """Write the table of answers."""
    rows = [_answer(kind, status) for kind, status in problems() if not issubclass(kind, UsageError)]
    return table(("Code", "Status", "Meaning", "Class"), rows)


def start_up_errors() -> str:
    """Write the table of mistakes at start-up."""
    kinds = [kind for kind, _ in problems() if issubclass(kind, UsageError)]
    return table(("Code", "Meaning", "Class"), [(f"`{k.code}`", docstring(k), f"`{k.__name__}`") for k in kinds])


def _answer(kind: type[VirtumancerError], status: HTTPStatus) -> tuple[str, ...]:
    return f"`{kind.code}`", f"{int(status)} {status.phrase}", docstring(kind), f"`{kind.__name__}`"


def _status(kind: type[VirtumancerError]) -> HTTPStatus | None:
    return next((STATUS[base] for base in kind.__mro__ if base in STATUS), None)
