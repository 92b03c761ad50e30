"""The hosts, and which of their SSH host keys are trusted."""

from collections.abc import Mapping, Sequence
from typing import Any

from virtumancer.client import metadata
from virtumancer.client.transport import RESPOND_ASYNC, Outgoing, Transport, path_of
from virtumancer.contracts import (
    ActionOffer,
    Host,
    HostDetail,
    HostInfo,
    HostKey,
    Metadata,
    OperationInfo,
    ShownHostKey,
)
from virtumancer.contracts.responses import HostSamples

__all__ = ["AsyncHosts"]


class AsyncHosts:
    """`/hosts`; `host` is the id of one."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> tuple[Host, ...]:
        """List the hosts that the caller may read, in the order in which they were added."""
        return await self._transport.get("/hosts", tuple[Host, ...])

    async def get(self, host: str) -> HostDetail:
        """Describe a host and the session with it, without asking the host."""
        return await self._transport.get(path_of("hosts", host), HostDetail)

    async def add(
        self, host: str, uri: str, *, host_keys: Sequence[str] = (), credentials: Mapping[str, str] | None = None
    ) -> Host:
        """Connect to a host and store it; `host_keys` approves SSH host keys by fingerprint.

        `credentials` are what its driver needs to be let in, by name; they can be set and removed, and never be read.

        Raises `HostKeyUnknown`, whose `extra["host_key"]` a person has to compare, `HostKeyChanged`, `HostExists` …
        """
        return await self._transport.fetch(_adding(host, uri, host_keys, credentials), Host)

    async def begin_add(
        self, host: str, uri: str, *, host_keys: Sequence[str] = (), credentials: Mapping[str, str] | None = None
    ) -> OperationInfo:
        """Begin to add a host, as an operation."""
        return await self._transport.fetch(_adding(host, uri, host_keys, credentials, RESPOND_ASYNC), OperationInfo)

    async def change_credentials(self, host: str, credentials: Mapping[str, str | None]) -> HostDetail:
        """Set credentials of a host by name, and remove those that are None; it is connected anew with them.

        The others stay. The answer shows whether the host lets the server in.
        """
        body = {"credentials": dict(credentials)}
        return await self._transport.fetch(Outgoing(method="PATCH", path=path_of("hosts", host), body=body), HostDetail)

    async def remove(self, host: str) -> None:
        """Disconnect a host and forget it; its VMs are not touched."""
        await self._transport.send(Outgoing(method="DELETE", path=path_of("hosts", host)))

    async def info(self, host: str) -> HostInfo:
        """Ask a host for its name, CPUs and memory."""
        return await self._transport.get(path_of("hosts", host, "info"), HostInfo)

    async def samples(self, host: str) -> tuple[HostSamples, ...]:
        """List what the statistics collectors of plugins last said about a host."""
        return await self._transport.get(path_of("hosts", host, "samples"), tuple[HostSamples, ...])

    async def connect(self, host: str, *, host_keys: Sequence[str] = ()) -> HostDetail:
        """Connect a host now, wait for the outcome, and keep it connected from now on."""
        return await self._transport.fetch(_connecting(host, host_keys), HostDetail)

    async def begin_connect(self, host: str, *, host_keys: Sequence[str] = ()) -> OperationInfo:
        """Begin to connect a host, as an operation."""
        return await self._transport.fetch(_connecting(host, host_keys, RESPOND_ASYNC), OperationInfo)

    async def actions(self, host: str) -> tuple[ActionOffer, ...]:
        """List what the caller can do with a host itself."""
        return await self._transport.get(path_of("hosts", host, "actions"), tuple[ActionOffer, ...])

    async def begin(self, host: str, action: str, params: Mapping[str, Any] | None = None) -> OperationInfo:
        """Begin to do something with a host, as an operation; what the action answers is its `result`."""
        path, body = path_of("hosts", host, action), dict(params or {})
        asked = Outgoing(method="POST", path=path, body=body, headers=RESPOND_ASYNC)
        return await self._transport.fetch(asked, OperationInfo)

    async def disconnect(self, host: str) -> HostDetail:
        """Disconnect a host until somebody connects it again."""
        return await self._transport.fetch(
            Outgoing(method="POST", path=path_of("hosts", host, "disconnect")), HostDetail
        )

    async def host_keys(self, host: str) -> tuple[HostKey, ...]:
        """List the SSH host keys that are pinned for a host."""
        return await self._transport.get(path_of("hosts", host, "host-keys"), tuple[HostKey, ...])

    async def remove_host_key(self, host: str, fingerprint: str) -> None:
        """Trust a host key no longer: the next connection needs an approval."""
        path = path_of("hosts", host, "host-keys", fingerprint)
        await self._transport.send(Outgoing(method="DELETE", path=path))

    async def rotate_host_key(self, host: str, *, old: str, new: str) -> HostDetail:
        """Trust a new host key in place of an old one, once the host has shown that it has it."""
        path, body = path_of("hosts", host, "host-keys", "rotate"), {"old": old, "new": new}
        return await self._transport.fetch(Outgoing(method="POST", path=path, body=body), HostDetail)

    async def scan(self, host: str) -> tuple[ShownHostKey, ...]:
        """Ask a host which SSH host keys it has now, without a login, and what vouches for each."""
        path = path_of("hosts", host, "host-keys", "scan")
        return await self._transport.fetch(Outgoing(method="POST", path=path), tuple[ShownHostKey, ...])

    async def scan_new(self, uri: str) -> tuple[ShownHostKey, ...]:
        """Do the same with a host that is not added yet."""
        scanning = Outgoing(method="POST", path="/host-keys/scan", body={"uri": uri})
        return await self._transport.fetch(scanning, tuple[ShownHostKey, ...])

    async def approve_host_key(self, host: str, fingerprint: str) -> HostKey:
        """Trust an SSH host key that the host shows now, and nobody vouches for."""
        path, body = path_of("hosts", host, "host-keys"), {"fingerprint": fingerprint}
        return await self._transport.fetch(Outgoing(method="POST", path=path, body=body), HostKey)

    async def metadata(self, host: str) -> Metadata:
        """Read the title, notes and tags that people gave a host."""
        return await self._transport.get(path_of("hosts", host, "metadata"), Metadata)

    async def set_metadata(
        self, host: str, *, title: str = "", notes: str = "", tags: Sequence[str] = (), seen: Metadata | None = None
    ) -> Metadata:
        """Write title, notes and tags of a host in place of what there was; what is left out becomes empty.

        With `seen`, which was read before, only if nobody changed them since; else raises `PreconditionFailed`.
        """
        path = path_of("hosts", host, "metadata")
        return await metadata.write(self._transport, path, title, notes, tags, seen)

    async def change_metadata(
        self,
        host: str,
        *,
        title: str | None = None,
        notes: str | None = None,
        tags: Sequence[str] | None = None,
        seen: Metadata | None = None,
    ) -> Metadata:
        """Change title, notes or all tags of a host; what is left out stays. With `seen` as `set_metadata`."""
        path = path_of("hosts", host, "metadata")
        return await metadata.change(self._transport, path, title, notes, tags, seen)


def _adding(
    host: str,
    uri: str,
    keys: Sequence[str],
    credentials: Mapping[str, str] | None,
    headers: dict[str, str] | None = None,
) -> Outgoing:
    body: dict[str, object] = {"id": host, "uri": uri, "host_key": tuple(keys)}
    if credentials:
        body["credentials"] = dict(credentials)
    return Outgoing(method="POST", path="/hosts", body=body, headers=headers or {})


def _connecting(host: str, keys: Sequence[str], headers: dict[str, str] | None = None) -> Outgoing:
    body, path = {"host_key": tuple(keys)}, path_of("hosts", host, "connect")
    return Outgoing(method="POST", path=path, body=body, headers=headers or {})
