"""The SSH host keys that are pinned for a host: which, giving one up, and following a host that has a new one."""

from contextlib import suppress

from virtumancer.contracts import Host, HostDetail, HostKey, HostKeyTrust, HostState, ShownHostKey
from virtumancer.errors import Conflict, HostKeyChanged, NotFound, VirtumancerError
from virtumancer.services.hosts.connector import HostConnector
from virtumancer.services.hosts.host_checks import check_uri
from virtumancer.services.hosts.service import HostsService
from virtumancer.store import HostsRepository

__all__ = ["HostKeysService"]


class HostKeysService:
    """Changes what is trusted, always by a person's word; a host that shows another key is refused until then."""

    def __init__(self, hosts: HostsService, dialler: HostConnector, store: HostsRepository) -> None:
        self._hosts = hosts
        self._dialler = dialler
        self._store = store

    async def list(self, host_id: str) -> tuple[HostKey, ...]:
        """Return the keys pinned for a host, oldest first. Raises `HostNotFound`."""
        self._hosts.session(host_id)
        return await self._store.keys(host_id)

    async def scan(self, host_id: str) -> tuple[ShownHostKey, ...]:
        """Return the keys that a host shows now, without logging in. Raises `HostNotFound` and what connecting does."""
        host = self._hosts.session(host_id).host
        return await self._dialler.scan(host, await self._store.keys(host_id))

    async def scan_uri(self, uri: str) -> tuple[ShownHostKey, ...]:
        """Do the same for a host that is not added."""
        check_uri(uri)
        return await self._dialler.scan(Host("not added", uri), ())

    async def approve(self, host_id: str, fingerprint: str) -> HostKey:
        """Pin a key that the host shows now, without connecting to it; one that is pinned already stays so.

        Raises `HostKeyChanged` for a key in the place of a trusted one, `Conflict` when the host shows no such key.
        """
        host = (await self._hosts.confirmed(host_id)).host
        pinned = await self._store.keys(host_id)
        shown = await self._dialler.scan(host, pinned)
        found = next((key for key in shown if key.fingerprint == fingerprint), None)
        if found is None:
            others = ", ".join(f"{key.type} {key.fingerprint} ({key.address})" for key in shown) or "none"
            raise Conflict(f"host {host_id!r} does not show the key {fingerprint}; it shows {others}")
        key = HostKey(found.address, found.type, found.fingerprint, found.public)
        if found.trust not in {HostKeyTrust.UNKNOWN, HostKeyTrust.KNOWN_HOSTS, HostKeyTrust.PINNED}:
            raise await self._not_approvable(host_id, found)
        if found.trust is not HostKeyTrust.PINNED:
            await self._store.add_keys(host_id, (key,), pinned)
        return key

    async def remove(self, host_id: str, fingerprint: str) -> None:
        """Trust a key no more, from the next connection on. Raises `HostNotFound`, `NotFound`."""
        await self._hosts.confirmed(host_id)
        if not await self._store.replace_keys(host_id, fingerprint, ()):
            raise _not_pinned(host_id, fingerprint)

    async def rotate(self, host_id: str, old: str, new: str) -> HostDetail:
        """Try a connection with the new key in place of the old one, and pin it when the host shows it.

        Until then nothing is changed, and a connection that stands goes on. Raises `HostNotFound`, `NotFound` for an
        old key that is not pinned, `Conflict` when the host never showed the new one, and what connecting raises.
        """
        session = await self._hosts.confirmed(host_id)
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
            await session.connect({new})
        return await self._hosts.detail(host_id)

    async def _not_approvable(self, host_id: str, key: ShownHostKey) -> VirtumancerError:
        if key.trust is HostKeyTrust.AUTHORITY:
            return Conflict(f"an authority of known_hosts vouches for {key.fingerprint}: there is nothing to approve")
        trusted = [pinned for pinned in await self._store.keys(host_id) if pinned.address == key.address]
        return HostKeyChanged(
            f"the key {key.fingerprint} of {key.address} is not approved, it is {key.trust.value}: rotate a pinned key "
            "that was changed on purpose (POST …/host-keys/rotate), and give the host a new one for what is revoked",
            host_key=_facts(key),
            trusted_host_keys=[_facts(one) for one in trusted],
        )


def _facts(key: HostKey | ShownHostKey) -> dict[str, str]:
    return {"address": key.address, "type": key.type, "fingerprint": key.fingerprint}


def _not_pinned(host_id: str, fingerprint: str) -> NotFound:
    return NotFound(f"no key {fingerprint[:80]!r} is pinned for host {host_id!r}; GET its host-keys for those that are")
