"""Resources of plugins: one class for all types, typed by their descriptors."""

import base64
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import GenericAlias
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import Struct

from virtumancer.client.operations import AsyncOperations, succeeded
from virtumancer.client.problems import UnexpectedAnswer
from virtumancer.client.transport import RESPOND_ASYNC, Outgoing, Transport, decoded, path_of
from virtumancer.contracts import OperationInfo, ResourceType, lineage_of
from virtumancer.contracts.responses import ContentReceived, ResourceTypeInfo
from virtumancer.errors import ResourceNotFound, UsageError

__all__ = ["AsyncResource"]

I = TypeVar("I")  # noqa: E741 - an item
N = TypeVar("N")
C = TypeVar("C")
T = TypeVar("T")
ACCEPTED = 202
# How long nothing may come of content.
SILENCE = 75.0
DIGEST = re.compile(r"(?:^|[\s,])sha-256=:(?P<digest>[A-Za-z0-9+/=]{44}):")


class AsyncResource(Generic[I, N, C]):
    """The items of one type, at one place; `AsyncClient.of` makes it."""

    def __init__(self, transport: Transport, type_: ResourceType[Any, Any, Any] | str, place: tuple[str, ...]) -> None:
        self._transport = transport
        self._type = type_
        self._place = place
        self._found: str | None = None
        self._item: Any = dict[str, Any] if isinstance(type_, str) else type_.item

    async def list(self, **query: Any) -> tuple[I, ...]:
        """List the items; `query` are `filter`, `sort`, `limit` and the type's own parameters."""
        items: Any = GenericAlias(tuple, (self._item, ...))
        return cast("tuple[I, ...]", await self._transport.get(await self._path(), items, **query))

    async def get(self, key: str = "", **query: Any) -> I:
        """Return one item; the one of a singleton has no key. Raises `ResourceNotFound`."""
        return cast("I", await self._transport.get(await self._path(key), self._item, **query))

    async def create(self, spec: N, **options: Any) -> I:
        """Make an item, and return it once it is there. Raises `ResourceExists`."""
        return cast("I", await self._written("POST", await self._path(), spec, self._item, options))

    async def begin_create(self, spec: N, **options: Any) -> OperationInfo:
        """Begin to make an item, as an operation."""
        return await self._begun("POST", await self._path(), spec, options)

    async def plan(self, spec: N, **options: Any) -> Any:
        """Say what making it would do, as the `plan` of the type; nothing is done."""
        kind: Any = dict[str, Any] if isinstance(self._type, str) else self._type.plan
        query = {**options, "dry_run": True}
        return await self._transport.fetch(
            Outgoing(method="POST", path=await self._path(), query=query, body=spec), kind
        )

    async def change(self, key: str, change: C, **options: Any) -> I:
        """Change an item; what is `UNSET` stays."""
        return cast("I", await self._written("PATCH", await self._path(key), change, self._item, options))

    async def delete(self, key: str = "", **options: Any) -> None:
        """Remove an item. Raises `ResourceNotFound`."""
        await self._written("DELETE", await self._path(key), None, None, options)

    async def begin_delete(self, key: str = "", **options: Any) -> OperationInfo:
        """Begin to remove an item, as an operation."""
        return await self._begun("DELETE", await self._path(key), None, options)

    async def act(self, key: str, action: str, params: Struct | Mapping[str, Any] | None = None) -> Any:
        """Do something else with an item; returns the answer of the action, None for one without.

        Raises `UsageError` for an action that the descriptor does not have.
        """
        path = await self._path(key) + path_of(action)
        kind: Any = Any
        if not isinstance(self._type, str):
            answers = {one.name: one.answer for one in self._type.actions}
            if action not in answers:
                there = f"there are: {', '.join(answers)}" if answers else "there are none"
                raise UsageError(f"{self._type.name} have no action {action!r}; {there}; the key comes first")
            kind = answers[action] or Any
        return await self._written("POST", path, params if params is not None else {}, kind, {})

    async def read(self, key: str = "", *, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes of an item, or those from `start` up to `stop`; raises when they break off.

        Raises `UnexpectedAnswer` at the end of the whole when it is not what the server said of it (`Repr-Digest`).
        """
        headers = {"Accept": "*/*"}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        path = await self._path(key) + "/content"
        async with self._transport.stream(Outgoing(method="GET", path=path, headers=headers), SILENCE) as response:
            said = DIGEST.search(response.headers.get("Repr-Digest", "")) if "Range" not in headers else None
            digest = hashlib.sha256()
            async for chunk in response.aiter_bytes():
                if said is not None:
                    digest.update(chunk)
                yield chunk
            if said is not None and base64.b64encode(digest.digest()).decode() != said["digest"]:
                raise UnexpectedAnswer(f"what came of {path} is not what the server said of it: {said['digest']}")

    async def write(self, key: str, chunks: AsyncIterator[bytes] | bytes) -> ContentReceived:
        """Write the bytes of an item; they may be more than fit into memory."""
        path = await self._path(key) + "/content"
        return decoded(await self._transport.upload(path, chunks), ContentReceived)

    async def _written(self, method: str, path: str, body: Any, kind: Any, query: Mapping[str, Any]) -> Any:
        response = await self._transport.send(Outgoing(method=method, path=path, query=query, body=body))
        if response.status_code == ACCEPTED:  # it takes longer than a request may
            begun = decoded(response, OperationInfo)
            ended = succeeded(await AsyncOperations(self._transport).wait(begun.id))
            return None if kind is None else _converted(ended.result, kind)
        return None if kind is None or not response.content else decoded(response, kind)

    async def _begun(self, method: str, path: str, body: Any, query: Mapping[str, Any]) -> OperationInfo:
        outgoing = Outgoing(method=method, path=path, query=query, body=body, headers=RESPOND_ASYNC)
        return await self._transport.fetch(outgoing, OperationInfo)

    async def _path(self, key: str = "") -> str:
        if self._found is None:
            if isinstance(self._type, str):
                types = await self._transport.get("/resources", tuple[ResourceTypeInfo, ...])
                self._found = _filled(_template(self._type, types), self._place)
            else:
                self._found = _filled(_template_of(self._type), self._place)
        return self._found + (path_of(key) if key else "")


def _template_of(type_: ResourceType[Any, Any, Any]) -> str:
    *parents, last = lineage_of(type_)
    above = "".join(f"/{one.name}" + ("" if one.singleton else f"/{{{one.singular}}}") for one in parents)
    return f"{above}/{last.name}"


def _template(name: str, types: tuple[ResourceTypeInfo, ...]) -> str:
    for info in types:
        if info.name == name:
            return info.path
    known = ", ".join(info.name for info in types) or "none"
    raise ResourceNotFound(f"the server has no resource {name!r}; there are: {known}")


def _filled(template: str, place: tuple[str, ...]) -> str:
    parts = template.strip("/").split("/")
    names = [part.strip("{}") for part in parts if part.startswith("{")]
    if len(names) != len(place):
        wanted = ", ".join(names) or "nothing"
        raise UsageError(f"{parts[-1]} are told apart by {wanted}; given: {', '.join(place) or 'nothing'}")
    values = iter(place)
    return path_of(*(next(values) if part.startswith("{") else part for part in parts))


def _converted(result: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(result, kind)
    except msgspec.ValidationError as error:
        raise UnexpectedAnswer(f"the result of the operation is not what this version knows: {error}") from error
