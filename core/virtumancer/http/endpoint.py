"""One record per route: the router, the gate, the audit log and the OpenAPI document read what it is from there."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from virtumancer import errors
from virtumancer.errors import VirtumancerError
from virtumancer.http.api_paths import Path

__all__ = [
    "ASKS_HOST",
    "ASKS_VM",
    "CONNECTS",
    "PUBLIC",
    "SIGNED_IN",
    "WEBSOCKET",
    "Endpoint",
    "Errors",
    "Header",
    "Query",
    "endpoint",
    "endpoint_of",
    "endpoints_of",
]

F = TypeVar("F", bound=Callable[..., Any])
RESPONDER = "on_"
WEBSOCKET = "WEBSOCKET"
"""The method of an endpoint that is a WebSocket, as Falcon calls it."""
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
    errors.CredentialsUnreadable,
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


class Endpoint(Struct, frozen=True, kw_only=True):
    """What is known of one method of one path.

    `method` is as Falcon has it, so that a WebSocket has its own; `also_at` are further places of the same. `id` names
    it for generators of clients: a verb, then what it is about; `summary` and `description` say it to people. `answer`
    is the type of the JSON answer, None for an answer without body; `media` says what is answered if it is not JSON.
    `also` are the forms that the same answer has for who asks for them in `Accept`, by media type, and what they hold.
    `body` is what the client sends; with `secret_body` it may hold a secret that people can guess, so that no plain
    digest of it is kept. `body_media` says what the body is if it is bytes and no JSON.
    `cached` says that the answer has an `ETag`, and `expanded` that plugins decide
    what it stands for, so that each of those has its own place in the document. `right` is what it needs on the object
    of its path; None leaves the answer to `right_for` of the resource, which knows more of a request. With `filters`,
    one object below that of the path is enough, and the answer holds those that may be read. `others` are further
    successes, as status and type of the answer; with 202 among them, `Prefer: respond-async` makes an operation of it.
    `offline` says that the host need not be connected.
    """

    path: Path
    method: str
    also_at: tuple[Path, ...] = ()
    id: str = ""
    tag: str = ""
    summary: str = ""
    description: str = ""
    status: int = 200
    answer: Any = None
    media: str = "application/json"
    also: Mapping[str, str] = {}
    body: type[Struct] | None = None
    secret_body: bool = False
    body_media: str = ""
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

    @property
    def verb(self) -> str:
        """Return the method of HTTP: a WebSocket begins with a GET."""
        return "GET" if self.method == WEBSOCKET else self.method

    @property
    def name(self) -> str:
        """Return what the audit log calls it."""
        return f"{self.verb} {self.path}"


def endpoint(
    endpoint_id: str,
    tag: str,
    *,
    path: Path,
    also_at: tuple[Path, ...] = (),
    status: int = 200,
    answer: Any = None,
    media: str = "application/json",
    also: Mapping[str, str] | None = None,
    body: type[Struct] | None = None,
    secret_body: bool = False,
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
    """Record what a responder is: its name says the method.

    The first paragraph of its docstring is the summary, the others are the description.
    """

    def attach(responder: F) -> F:
        summary, text = _texts_of(responder)
        vars(responder)["__endpoint__"] = Endpoint(
            path=path,
            method=responder.__name__.removeprefix(RESPONDER).upper(),
            also_at=also_at,
            id=endpoint_id,
            tag=tag,
            summary=summary,
            description=text,
            status=status,
            answer=answer,
            media=media,
            also=also or {},
            body=body,
            secret_body=secret_body,
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
        return responder

    return attach


def endpoint_of(responder: Any) -> Endpoint | None:
    """Return the record of a responder."""
    found: Endpoint | None = getattr(responder, "__endpoint__", None)
    return found


def endpoints_of(resource: object) -> Mapping[str, Endpoint]:
    """Return the records of a resource, or of a class of them, by method.

    Those of its responders, unless it has `endpoints` of its own: what it is mounted for is not known to its class.
    """
    own: Mapping[str, Endpoint] | None = getattr(resource, "endpoints", None)
    if own is not None:
        return own
    return _declared(resource if isinstance(resource, type) else type(resource))


@functools.cache
def _declared(kind: type) -> Mapping[str, Endpoint]:
    members = {name: member for base in reversed(kind.__mro__) for name, member in vars(base).items()}
    responders = (member for name, member in members.items() if name.startswith(RESPONDER))
    return {found.method: found for found in map(endpoint_of, responders) if found is not None}


def _texts_of(responder: Any) -> tuple[str, str]:
    summary, _, description = inspect.cleandoc(responder.__doc__ or "").partition("\n\n")
    return " ".join(summary.split()).removesuffix("."), description.strip()
