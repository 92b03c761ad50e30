"""The SSH host keys that are pinned for a host: which, giving one up, and following a host that has a new one."""

from contextlib import suppress

from virtumancer.contracts import HostDetail, HostKey, HostState
from virtumancer.errors import Conflict, NotFound, VirtumancerError
from virtumancer.services.dialling import Dialler
from virtumancer.services.hosts import HostsService
from virtumancer.store import HostsRepository

__all__ = ["HostKeysService"]


class HostKeysService:
    """Changes what is trusted, always by a person's word; a host that shows another key is refused until then."""

    def __init__(self, hosts: HostsService, dialler: Dialler, store: HostsRepository) -> None:
        self._hosts = hosts
        self._dialler = dialler
        self._store = store

    async def list(self, host_id: str) -> tuple[HostKey, ...]:
        """Return the keys pinned for a host, oldest first. Raises `HostNotFound`."""
        self._hosts.session(host_id)
        return await self._store.keys(host_id)

    async def remove(self, host_id: str, fingerprint: str) -> None:
        """Trust a key no more, from the next connection on. Raises `HostNotFound`, `NotFound`."""
        self._hosts.session(host_id)
        if not await self._store.replace_keys(host_id, fingerprint, ()):
            raise _not_pinned(host_id, fingerprint)

    async def rotate(self, host_id: str, old: str, new: str) -> HostDetail:
        """Try a connection with the new key in place of the old one, and pin it when the host shows it.

        Until then nothing is changed, and a connection that stands goes on. Raises `HostNotFound`, `NotFound` for an
        old key that is not pinned, `Conflict` when the host never showed the new one, and what connecting raises.
        """
        session = self._hosts.session(host_id)
        pinned = await self._store.keys(host_id)
        addresses = {key.address for key in pinned if key.fingerprint == old}
        if not addresses:
            raise _not_pinned(host_id, old)
        others = tuple(key for key in pinned if key.address not in addresses)
        dialling = await self._dialler.trial(session.host, others, {new})
        with suppress(VirtumancerError):
            await dialling.connection.aclose()
        if new not in {key.fingerprint for key in dialling.accepted}:
            raise Conflict(
                f"host {host_id!r} did not show the key {new}: another one vouched for it, in a known_hosts file; "
                "remove the old one if it is not needed"
            )
        if not await self._store.replace_keys(host_id, old, dialling.accepted):
            raise _not_pinned(host_id, old)
        if session.state is not HostState.STOPPED:
            await session.connect()
        return await self._hosts.detail(host_id)


def _not_pinned(host_id: str, fingerprint: str) -> NotFound:
    return NotFound(f"no key {fingerprint[:80]!r} is pinned for host {host_id!r}; GET its host-keys for those that are")
