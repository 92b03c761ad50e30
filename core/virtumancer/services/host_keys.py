"""The SSH host keys that are pinned for a host: which, giving one up, and following a host that has a new one."""

from virtumancer.contracts import HostDetail, HostKey
from virtumancer.errors import HostKeyChanged, NotFound
from virtumancer.services.hosts import HostsService
from virtumancer.store import HostsRepository

__all__ = ["HostKeysService"]


class HostKeysService:
    """Changes what is trusted, always by a person's word; a host that shows another key is refused until then."""

    def __init__(self, hosts: HostsService, store: HostsRepository) -> None:
        self._hosts = hosts
        self._store = store

    async def list(self, host_id: str) -> tuple[HostKey, ...]:
        """Return the keys pinned for a host, oldest first. Raises `HostNotFound`."""
        self._hosts.session(host_id)
        return await self._store.keys(host_id)

    async def remove(self, host_id: str, fingerprint: str) -> None:
        """Trust a key no more, from the next connection on. Raises `HostNotFound`, `NotFound`."""
        self._hosts.session(host_id)
        await self._store.remove_keys(host_id, await self._pinned(host_id, fingerprint))

    async def rotate(self, host_id: str, old: str, new: str) -> HostDetail:
        """Connect anew, with the new key in place of the old one; if that fails the old one stays.

        Raises `HostNotFound`, `NotFound` for an old key that is not pinned, and what connecting raises: a host that
        shows neither key is refused.
        """
        self._hosts.session(host_id)
        before, given_up = await self._store.keys(host_id), await self._pinned(host_id, old)
        session = self._hosts.session(host_id)
        await session.stop("its host key is rotated")
        await self._store.remove_keys(host_id, given_up)
        try:
            connected = await self._hosts.connect(host_id, {new})
            await self._require_no_other(host_id, before, new)
        except BaseException:
            await self._store.add_keys(host_id, given_up)
            raise
        return connected

    async def _require_no_other(self, host_id: str, before: tuple[HostKey, ...], new: str) -> None:
        """Take back a key that `accept-new` pinned although another one was approved."""
        others = [key for key in await self._store.keys(host_id) if key not in before and key.fingerprint != new]
        if others:
            await self._hosts.session(host_id).stop("it showed another host key than the approved one")
            await self._store.remove_keys(host_id, others)
            raise HostKeyChanged(
                f"host {host_id!r} showed the key {others[0].fingerprint}, and {new} was approved; find out why",
                host_key=others[0],
                trusted_host_keys=before,
            )

    async def _pinned(self, host_id: str, fingerprint: str) -> tuple[HostKey, ...]:
        found = tuple(key for key in await self._store.keys(host_id) if key.fingerprint == fingerprint)
        if not found:
            raise NotFound(f"no key {fingerprint[:80]!r} is pinned for host {host_id!r}; its host-keys list has those")
        return found
