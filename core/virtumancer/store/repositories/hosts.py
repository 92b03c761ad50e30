"""The hosts that people added or declared, and the SSH keys pinned for them."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

import msgspec
from msgspec import Struct
from tortoise.exceptions import IntegrityError
from tortoise.transactions import in_transaction

from virtumancer.contracts import Host, HostKey
from virtumancer.errors import Conflict, HostExists, HostNotFound
from virtumancer.store.engine.database import Database
from virtumancer.store.models import HostKeyModel, HostModel
from virtumancer.store.repositories.keys import may_be_key

__all__ = ["HostsRepository", "StoredHost"]

P = ParamSpec("P")
T = TypeVar("T")


class StoredHost(Struct, frozen=True):
    """A host as stored: `disconnected` is the user's choice, `declared` that the configuration file has it.

    `number` is the order of adding, `credentials` are the sealed ones by name.
    """

    number: int
    host: Host
    disconnected: bool
    declared: bool
    created_at: datetime
    credentials: Mapping[str, str] = {}


class HostsRepository:
    """Keeps hosts in the order in which they were added."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def revision(self) -> int | None:
        """Another number after each change of a host; None when that is not known."""
        return self._database.hosts.now

    async def list(self) -> tuple[StoredHost, ...]:
        """Return all hosts in the order added."""
        return await self._database.unit(_list())

    async def get(self, id: str) -> StoredHost | None:  # noqa: A002 - the host's key has this name everywhere
        """Return one host, None if it is not there."""
        return await self._database.unit(_get(id))

    async def add(self, host: Host, keys: Sequence[HostKey] = (), credentials: Mapping[str, str] | None = None) -> None:
        """Store a new host, its pinned keys and its sealed credentials, or nothing. Raises `HostExists`."""
        await self._change(_add, host, keys, credentials or {})

    async def change_credentials(
        self,
        id: str,  # noqa: A002
        sealed: Mapping[str, str],
        removed: Collection[str],
    ) -> Mapping[str, str]:
        """Store sealed credentials in place of those of their names, and remove others; returns all that are stored.

        Raises `HostNotFound`.
        """
        return await self._change(_change_credentials, id, sealed, removed)

    async def renew_credential(self, id: str, name: str, old: str, new: str) -> bool:  # noqa: A002
        """Store a credential that was sealed anew, unless it was changed or removed since; says whether."""
        return await self._change(_renew_credential, id, name, old, new)

    async def any_credential(self) -> str | None:
        """Return any credential of any host as it is sealed, None when there is none."""
        return await self._database.unit(_any_credential())

    async def upsert_declared(self, hosts: Sequence[Host]) -> None:
        """Store the hosts of the configuration file: new ones and changed URIs; all else about a host stays.

        A host that has left the file stays too, and is no longer marked as declared.
        """
        await self._change(_upsert_declared, {host.id: host for host in hosts})

    async def set_disconnected(self, id: str, disconnected: bool) -> None:  # noqa: A002
        """Remember whether the user wants the host disconnected. Raises `HostNotFound`."""
        await self._change(_set_disconnected, id, disconnected)

    async def remove(self, id: str) -> bool:  # noqa: A002
        """Delete the host, its keys and its VMs; says whether it was there."""
        return await self._change(self._database.vms.change, _remove, id)

    async def keys(self, id: str) -> tuple[HostKey, ...]:  # noqa: A002
        """Return the keys pinned for the host, oldest first."""
        return await self._database.unit(_keys(id))

    async def add_keys(self, id: str, keys: Sequence[HostKey], known: Sequence[HostKey]) -> None:  # noqa: A002
        """Pin keys for a host; one that is pinned already stays as it is.

        `known` are the keys that were pinned when these were found good. Raises `HostNotFound`, and `Conflict` when
        another one was pinned for one of their addresses since: nobody has looked at both.
        """
        if keys:
            await self._database.unit(_add_keys(id, keys, known))

    async def replace_keys(self, id: str, fingerprint: str, keys: Sequence[HostKey]) -> bool:  # noqa: A002
        """Pin keys in place of the one of this fingerprint, or do nothing; says whether that one was there."""
        return await self._database.unit(_replace_keys(id, fingerprint, keys))

    async def _change(self, write: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._database.unit(self._database.hosts.change(write, *args, **kwargs))


async def _list() -> tuple[StoredHost, ...]:
    return tuple([_stored(row) for row in await HostModel.all().order_by("number")])


async def _get(host_id: str) -> StoredHost | None:
    row = await HostModel.get_or_none(id=host_id) if may_be_key(host_id, 63) else None
    return None if row is None else _stored(row)


async def _add(host: Host, keys: Sequence[HostKey], credentials: Mapping[str, str]) -> None:
    now = datetime.now(UTC)
    try:
        async with in_transaction():
            text = _credentials_text(credentials)
            await HostModel.create(id=host.id, uri=host.uri, created_at=now, updated_at=now, credentials=text)
            await _insert_keys(host.id, keys)
    except IntegrityError as error:
        # Keys that are there already are skipped, so this is the host's own id.
        raise HostExists(f"Host {host.id!r} is already there; choose another id or remove that host first.") from error


async def _change_credentials(host_id: str, sealed: Mapping[str, str], removed: Collection[str]) -> Mapping[str, str]:
    async with in_transaction():
        row = await _locked(host_id)
        kept = {name: text for name, text in _credentials_of(row).items() if name not in removed}
        changed = {**kept, **sealed}
        await _write_credentials(host_id, changed)
    return changed


async def _renew_credential(host_id: str, name: str, old: str, new: str) -> bool:
    async with in_transaction():
        row = await HostModel.filter(id=host_id).select_for_update(no_key=True).first()
        stored = _credentials_of(row) if row else {}
        if stored.get(name) != old:
            return False
        await _write_credentials(host_id, {**stored, name: new})
    return True


async def _any_credential() -> str | None:
    row = await HostModel.exclude(credentials="").order_by("number").first()
    return next(iter(_credentials_of(row).values()), None) if row else None


async def _locked(host_id: str) -> HostModel:
    """Return the row of a host; in PostgreSQL nobody else changes it until the end of the transaction."""
    row = await HostModel.filter(id=host_id).select_for_update(no_key=True).first()
    if row is None:
        raise HostNotFound(f"Host {host_id!r} is not there.")
    return row


async def _write_credentials(host_id: str, credentials: Mapping[str, str]) -> None:
    text = _credentials_text(credentials)
    await HostModel.filter(id=host_id).update(credentials=text, updated_at=datetime.now(UTC))


def _credentials_text(credentials: Mapping[str, str]) -> str:
    return msgspec.json.encode(credentials).decode() if credentials else ""


def _credentials_of(row: HostModel) -> dict[str, str]:
    return msgspec.json.decode(row.credentials, type=dict[str, str]) if row.credentials else {}


async def _upsert_declared(hosts: dict[str, Host]) -> None:
    now = datetime.now(UTC)
    async with in_transaction():
        await HostModel.filter(declared=True, id__not_in=list(hosts)).update(declared=False, updated_at=now)
        stored = {row.id: row.uri for row in await HostModel.filter(declared=True)}
        rows = [
            HostModel(id=host.id, uri=host.uri, declared=True, created_at=now, updated_at=now)
            for host in hosts.values()
            if stored.get(host.id) != host.uri
        ]
        if rows:
            await HostModel.bulk_create(rows, on_conflict=["id"], update_fields=["uri", "declared", "updated_at"])


async def _set_disconnected(host_id: str, disconnected: bool) -> None:
    found = await HostModel.filter(id=host_id).update(disconnected=disconnected, updated_at=datetime.now(UTC))
    if not found:
        raise HostNotFound(f"Host {host_id!r} is not there.")


async def _remove(host_id: str) -> bool:
    return await HostModel.filter(id=host_id).delete() > 0


async def _keys(host_id: str) -> tuple[HostKey, ...]:
    rows = await HostKeyModel.filter(host_id=host_id).order_by("number")
    return tuple([HostKey(row.address, row.type, row.fingerprint, row.public) for row in rows])


async def _add_keys(host_id: str, keys: Sequence[HostKey], known: Sequence[HostKey]) -> None:
    async with in_transaction():
        await _locked(host_id)
        addresses, expected = {key.address for key in keys}, {key.fingerprint for key in (*keys, *known)}
        for pinned in await _keys(host_id):
            if pinned.address in addresses and pinned.fingerprint not in expected:
                raise Conflict(
                    f"The key {pinned.fingerprint} was pinned for {pinned.address} meanwhile; look at the keys of host "
                    f"{host_id!r} again."
                )
        await _insert_keys(host_id, keys)


async def _replace_keys(host_id: str, fingerprint: str, keys: Sequence[HostKey]) -> bool:
    async with in_transaction():
        if not await HostKeyModel.filter(host_id=host_id, fingerprint=fingerprint).delete():
            return False
        await _insert_keys(host_id, keys)
    return True


async def _insert_keys(host_id: str, keys: Sequence[HostKey]) -> None:
    now = datetime.now(UTC)
    rows = [
        HostKeyModel(
            host_id=host_id,
            address=key.address,
            type=key.type,
            fingerprint=key.fingerprint,
            public=key.public,
            created_at=now,
        )
        for key in keys
    ]
    if rows:
        await HostKeyModel.bulk_create(rows, ignore_conflicts=True)


def _stored(row: HostModel) -> StoredHost:
    host, credentials = Host(row.id, row.uri), _credentials_of(row)
    return StoredHost(row.number, host, row.disconnected, row.declared, row.created_at, credentials)
