"""What a responder is, in the words of the OpenAPI document: attached to it where it is written."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from virtumancer import errors
from virtumancer.errors import VirtumancerError

__all__ = [
    "ASKS_HOST",
    "ASKS_VM",
    "CONNECTS",
    "PUBLIC",
    "SIGNED_IN",
    "Errors",
    "Header",
    "Operation",
    "Query",
    "operation",
    "operation_of",
    "texts_of",
]

F = TypeVar("F", bound=Callable[..., Any])
Errors = tuple[type[VirtumancerError], ...]

ASKS_HOST: Errors = (
    errors.HostNotFound,
    errors.HostUnavailable,
    errors.HostLost,
    errors.HypervisorError,
    errors.AbilityMissing,
    errors.CallTimeout,
    errors.PluginFailed,
)
"""What may become of a request that needs the connection to a host."""

ASKS_VM: Errors = (*ASKS_HOST, errors.VMNotFound)
"""The same for one of its VMs."""

CONNECTS: Errors = (
    errors.HostKeyUnknown,
    errors.HostKeyChanged,
    errors.HostUnreachable,
    errors.AuthenticationFailed,
    errors.HostUnavailable,
    errors.HypervisorError,
    errors.CallTimeout,
    errors.PluginFailed,
)
"""What an attempt to connect to a host may fail with."""


PUBLIC = "(public)"
"""The right that everybody has, also without a token."""
SIGNED_IN = "(signed in)"
"""The right that every caller has who has a token; the responder asks for more where it is needed."""


class Query(Struct, frozen=True):
    """A parameter of the query; none is required."""

    name: str
    kind: Any
    description: str


class Header(Struct, frozen=True):
    """A header of a successful answer."""

    name: str
    description: str


class Operation(Struct, frozen=True, kw_only=True):
    """What is known of an operation beside its path and the docstring of its responder.

    `id` names it for generators of clients: a verb, then what it is about. `answer` is the type of the JSON answer,
    None for an answer without body; `media` says what is answered if it is not JSON. `also` are the forms that the same
    answer has for who asks for them in `Accept`, by media type, and what they hold. `body` is what the client sends.
    `cached` says that the answer has an `ETag`, and `expanded` that plugins decide what the responder stands for, so
    that each of those has its own place in the document. `right` is what it needs on the object of its path; None
    leaves the answer to `right_for` of the resource. With `filters`, one object below that of the path is enough, and
    the answer holds those that may be read. `others` are further successes, as status and type of the answer; with 202
    among them, `Prefer: respond-async` makes an operation of it. `offline` says that the host need not be connected.
    """

    id: str
    tag: str
    status: int = 200
    answer: Any = None
    media: str = "application/json"
    also: Mapping[str, str] = {}
    body: type[Struct] | None = None
    query: tuple[Query, ...] = ()
    headers: tuple[Header, ...] = ()
    errors: Errors = ()
    example: Any = None
    body_example: Any = None
    cached: bool = False
    expanded: bool = False
    right: str | None = None
    filters: bool = False
    extensions: Mapping[str, Any] = {}
    others: tuple[tuple[int, Any], ...] = ()
    offline: bool = False


def operation(
    operation_id: str,
    tag: str,
    *,
    status: int = 200,
    answer: Any = None,
    media: str = "application/json",
    also: Mapping[str, str] | None = None,
    body: type[Struct] | None = None,
    query: tuple[Query, ...] = (),
    headers: tuple[Header, ...] = (),
    errors: Errors = (),
    example: Any = None,
    body_example: Any = None,
    cached: bool = False,
    expanded: bool = False,
    right: str | None = None,
    filters: bool = False,
    extensions: Mapping[str, Any] | None = None,
    others: tuple[tuple[int, Any], ...] = (),
    offline: bool = False,
) -> Callable[[F], F]:
    """Describe a responder; the first paragraph of its docstring is the summary, the others are the description."""
    made = Operation(
        id=operation_id,
        tag=tag,
        status=status,
        answer=answer,
        media=media,
        also=also or {},
        body=body,
        query=query,
        headers=headers,
        errors=errors,
        example=example,
        body_example=body_example,
        cached=cached,
        expanded=expanded,
        right=right,
        filters=filters,
        extensions=extensions or {},
        others=others,
        offline=offline,
    )

    def attach(responder: F) -> F:
        vars(responder)["__operation__"] = made
        return responder

    return attach


def operation_of(responder: Any) -> Operation | None:
    """Return what was attached to a responder."""
    found: Operation | None = getattr(responder, "__operation__", None)
    return found


def texts_of(responder: Any) -> tuple[str, str]:
    """Return summary and description, as the responder's docstring has them."""
    summary, _, description = inspect.cleandoc(responder.__doc__ or "").partition("\n\n")
    return " ".join(summary.split()).removesuffix("."), description.strip()
