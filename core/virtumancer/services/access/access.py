"""Access: the grants of one caller, prepared so that a question costs no more than two look-ups."""

from collections.abc import Iterable

from virtumancer.errors import Forbidden, HostNotFound
from virtumancer.services.access.grants import ANY_RIGHT, Grant, rights_of

__all__ = ["EVERYTHING", "Access"]

NOTHING: frozenset[str] = frozenset()


class Access:
    """What one caller may do. Rights on everything hold on each host, those on a host on each of its VMs."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._everywhere: frozenset[str] = NOTHING
        self._hosts: dict[str, frozenset[str]] = {}
        self._vms: dict[str, dict[str, frozenset[str]]] = {}
        for grant in grants:
            rights = rights_of(grant)
            if grant.vm:
                vms = self._vms.setdefault(grant.host, {})
                vms[grant.vm] = vms.get(grant.vm, NOTHING) | rights
            elif grant.host:
                self._hosts[grant.host] = self._hosts.get(grant.host, NOTHING) | rights
            else:
                self._everywhere |= rights

    def everywhere(self, right: str) -> bool:
        """Say whether this right is given on everything."""
        return _has(self._everywhere, right)

    def on_host(self, right: str, host: str) -> bool:
        """Say whether this right is given on a host and all its VMs."""
        return _has(self._everywhere, right) or _has(self._hosts.get(host, NOTHING), right)

    def on_vm(self, right: str, host: str, uuid: str) -> bool:
        """Say whether this right is given on one VM."""
        return self.on_host(right, host) or _has(self._vms.get(host, {}).get(uuid, NOTHING), right)

    def within_host(self, right: str, host: str) -> bool:
        """Say whether this right is given on a host, or on any of its VMs."""
        return self.on_host(right, host) or any(_has(rights, right) for rights in self._vms.get(host, {}).values())

    def covers(self, grant: Grant) -> bool:
        """Say whether all that a grant gives is given here too."""
        rights = rights_of(grant)
        if grant.vm:
            return all(self.on_vm(right, grant.host, grant.vm) for right in rights)
        return all(self.on_host(right, grant.host) if grant.host else self.everywhere(right) for right in rights)

    def require(self, right: str, host: str = "") -> None:
        """Raise `HostNotFound` for a host that may not be read, else `Forbidden` when the right is missing."""
        if host and not self.on_host("read", host):
            raise HostNotFound(f"there is no host {host[:80]!r}")
        if not (self.on_host(right, host) if host else self.everywhere(right)):
            raise _forbidden(right, f"host {host!r}" if host else "everything")

    def require_vm(self, right: str, host: str, uuid: str, name: str) -> None:
        """Raise `Forbidden` when the right on a VM that may be read is missing."""
        if not self.on_vm(right, host, uuid):
            raise _forbidden(right, f"VM {name!r} of host {host!r}")


def _has(rights: frozenset[str], right: str) -> bool:
    return right in rights or ANY_RIGHT in rights


def _forbidden(right: str, what: str) -> Forbidden:
    return Forbidden(f"this needs the right {right!r} on {what}; somebody with the right 'access' can grant it")


EVERYTHING = Access([Grant(role="admin")])
"""What everybody may do while nobody has to say who they are."""
