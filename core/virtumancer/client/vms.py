"""The VMs: what they are, how they do, and what can be done with them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from virtumancer.client import metadata
from virtumancer.client.transport import RESPOND_ASYNC, Outgoing, Transport, decoded, path_of
from virtumancer.contracts import VM, ActionOffer, HardwareInfo, Metadata, OperationInfo, VMRow, VMStats
from virtumancer.contracts.listings import VMPage
from virtumancer.contracts.responses import ActionResult, VMDetail, VMPart

__all__ = ["AsyncVMs", "IfAlready", "WaitFor"]

IfAlready = Literal["refuse", "ok"]
WaitFor = Literal["running", "shutoff"]


class AsyncVMs:
    """`/hosts/{host}/vms` and `/vms`; `vm` is a VM's UUID, which goes first, or its name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self, host: str) -> tuple[VM, ...]:
        """Look at a host and list its VMs."""
        return await self._transport.get(path_of("hosts", host, "vms"), tuple[VM, ...])

    async def find(
        self,
        *,
        filter: str | None = None,  # noqa: A002 - as the API calls it
        sort: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        fresh: bool = False,
    ) -> VMPage:
        """List the VMs of all hosts that fit a filter, as `state = "running" and name prefix "web"`.

        They are as last seen, and say so; with `fresh` each host is asked. With `limit`, the answer's `next_cursor` is
        the `cursor` of the next page, to be asked for with the same `sort`.
        """
        return await self._transport.get(
            "/vms", VMPage, filter=filter, sort=sort, limit=limit, cursor=cursor, fresh=fresh or None
        )

    async def get(self, host: str, vm: str, *, include: Sequence[VMPart] = (), fresh: bool = False) -> VMDetail:
        """Describe a VM: as last seen, unless its host has told of a change since, or with `fresh`.

        What `include` names, as `hardware` and `stats`, is asked of the host now, and `UNSET` otherwise. A VM that is
        named `db` is reached by its UUID alone.
        """
        path = path_of("hosts", host, "vms", vm)
        return await self._transport.get(path, VMDetail, include=",".join(include) or None, fresh=fresh or None)

    async def rows(self, host: str) -> tuple[VMRow, ...]:
        """List the VMs of a host as they are stored, without asking the host."""
        return await self._transport.get(path_of("hosts", host, "vms", "db"), tuple[VMRow, ...])

    async def stats(self, host: str, vm: str) -> VMStats:
        """Read the counters of a VM."""
        return await self._transport.get(path_of("hosts", host, "vms", vm, "stats"), VMStats)

    async def hardware(self, host: str, vm: str) -> HardwareInfo:
        """Describe the disks and NICs of a VM."""
        return await self._transport.get(path_of("hosts", host, "vms", vm, "hardware"), HardwareInfo)

    async def screenshot(self, host: str, vm: str) -> bytes:
        """Take a picture of a VM's first screen, as PNG."""
        path, accept = path_of("hosts", host, "vms", vm, "screenshot"), {"Accept": "image/png, application/json"}
        return (await self._transport.send(Outgoing(method="GET", path=path, headers=accept))).content

    async def actions(self, host: str, vm: str) -> tuple[ActionOffer, ...]:
        """List what the caller can do with a VM in its present state."""
        return await self._transport.get(path_of("hosts", host, "vms", vm, "actions"), tuple[ActionOffer, ...])

    async def metadata(self, host: str, vm: str) -> Metadata:
        """Read the title, notes and tags that people gave a VM."""
        return await self._transport.get(path_of("hosts", host, "vms", vm, "metadata"), Metadata)

    async def set_metadata(
        self,
        host: str,
        vm: str,
        *,
        title: str = "",
        notes: str = "",
        tags: Sequence[str] = (),
        seen: Metadata | None = None,
    ) -> Metadata:
        """Write title, notes and tags of a VM in place of what there was; what is left out becomes empty.

        With `seen`, which was read before, only if nobody changed them since; else raises `PreconditionFailed`.
        """
        path = path_of("hosts", host, "vms", vm, "metadata")
        return await metadata.write(self._transport, path, title, notes, tags, seen)

    async def change_metadata(
        self,
        host: str,
        vm: str,
        *,
        title: str | None = None,
        notes: str | None = None,
        tags: Sequence[str] | None = None,
        seen: Metadata | None = None,
    ) -> Metadata:
        """Change title, notes or all tags of a VM; what is left out stays. With `seen` as `set_metadata`."""
        path = path_of("hosts", host, "vms", vm, "metadata")
        return await metadata.change(self._transport, path, title, notes, tags, seen)

    async def act(
        self,
        host: str,
        vm: str,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        wait_for: WaitFor | None = None,
        timeout: float = 60.0,
        if_already: IfAlready = "refuse",
    ) -> ActionResult | None:
        """Do something with a VM; done once the hypervisor accepted it, with `wait_for` once the VM is in that state.

        With `if_already="ok"`, a VM that is already as wanted is a success, and the result says so; there is no other
        result. Raises `WrongPowerState`, `StateNotReached`, `ActionNotFound` …
        """
        sent = await self._transport.send(_acting(host, vm, action, params, wait_for, timeout, if_already))
        return decoded(sent, ActionResult) if sent.content else None

    async def begin(
        self,
        host: str,
        vm: str,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        wait_for: WaitFor | None = None,
        timeout: float = 60.0,
        if_already: IfAlready = "refuse",
    ) -> OperationInfo:
        """Begin to do something with a VM, as an operation."""
        acting = _acting(host, vm, action, params, wait_for, timeout, if_already, RESPOND_ASYNC)
        return await self._transport.fetch(acting, OperationInfo)

    async def begin_on_many(
        self,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        hosts: Sequence[str] = (),
        names: Sequence[str] = (),
        uuids: Sequence[str] = (),
        tags: Sequence[str] = (),
        filter: str | None = None,  # noqa: A002 - as the API calls it
        if_already: IfAlready = "refuse",
        on_error: Literal["continue", "stop"] = "continue",
        max_parallel: int = 8,
    ) -> OperationInfo:
        """Begin to do something with all VMs that fit everything that is given, as one operation."""
        given = {
            "hosts": tuple(hosts),
            "names": tuple(names),
            "uuids": tuple(uuids),
            "tags": tuple(tags),
            "filter": filter,
        }
        body = {
            "action": action,
            "selector": {name: values for name, values in given.items() if values},
            "params": dict(params or {}),
            "if_already": if_already,
            "on_error": on_error,
            "max_parallel": max_parallel,
        }
        return await self._transport.fetch(Outgoing(method="POST", path="/vms/actions", body=body), OperationInfo)


def _acting(
    host: str,
    vm: str,
    action: str,
    params: Mapping[str, Any] | None,
    wait_for: WaitFor | None,
    timeout: float,
    if_already: IfAlready,
    headers: Mapping[str, str] | None = None,
) -> Outgoing:
    return Outgoing(
        method="POST",
        path=path_of("hosts", host, "vms", vm, action),
        query={"wait_for": wait_for, "timeout": timeout if wait_for else None},
        body={**(params or {}), "if_already": if_already},
        headers=headers or {},
        wait=timeout if wait_for else 0.0,
    )
