"""Access: the grants of one caller, prepared so that a question costs no more than a few look-ups."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from virtumancer.errors import Forbidden, HostNotFound
from virtumancer.services.auth.permissions import ANY_RIGHT, Grant, rights_of
from virtumancer.services.auth.tag_index import TagIndex

__all__ = ["EVERYTHING", "Permissions"]

NOTHING: frozenset[str] = frozenset()


class Permissions:
    """What one caller may do. Rights on everything hold on each host, those on a host on each of its VMs.

    A grant by tag holds on what has this tag in `tags` when it is asked for.
    """

    def __init__(self, grants: Iterable[Grant], tags: TagIndex) -> None:
        self._tags = tags
        # Rights on everything stand under "", those on a host and on a VM under what they are on.
        self._hosts: dict[str, frozenset[str]] = {}
        self._vms: dict[str, dict[str, frozenset[str]]] = {}
        self._by_tag: dict[tuple[str, str], frozenset[str]] = {}
        for grant in grants:
            rights = rights_of(grant, tags.roles)
            if grant.tag:
                place = (grant.host, grant.tag)
                self._by_tag[place] = self._by_tag.get(place, NOTHING) | rights
            elif grant.vm:
                vms = self._vms.setdefault(grant.host, {})
                vms[grant.vm] = vms.get(grant.vm, NOTHING) | rights
            else:
                self._hosts[grant.host] = self._hosts.get(grant.host, NOTHING) | rights
        self._granted_tags = frozenset(tag for _, tag in self._by_tag)

    def everywhere(self, right: str) -> bool:
        """Say whether this right is given on everything."""
        return _has(self._hosts.get("", NOTHING), right)

    def on_host(self, right: str, host: str) -> bool:
        """Say whether this right is given on a host and all its VMs."""
        return self._fixed(right, host) or self._tagged(right, host, "")

    def on_vm(self, right: str, host: str, uuid: str) -> bool:
        """Say whether this right is given on one VM."""
        return self._fixed(right, host, uuid) or self._tagged(right, host, "") or self._tagged(right, host, uuid)

    def on(self, right: str, host: str = "", vm: str = "") -> bool:
        """Say whether this right is given on a VM of a host, on a host, or on everything: on what is named."""
        if vm:
            return self.on_vm(right, host, vm)
        return self.on_host(right, host) if host else self.everywhere(right)

    def rights(self) -> frozenset[str]:
        """Return every right that is given on anything at all; `*` among them is all there are."""
        given = [*self._hosts.values(), *self._by_tag.values()]
        given += [rights for vms in self._vms.values() for rights in vms.values()]
        return NOTHING.union(*given)

    def within_host(self, right: str, host: str) -> bool:
        """Say whether this right is given on a host, or on any of its VMs."""
        if self.on_host(right, host) or any(_has(rights, right) for rights in self._vms.get(host, {}).values()):
            return True
        return self._by_any(self._tags.on_vms(host), right, host)

    def vms_with(self, right: str, host: str) -> frozenset[str] | None:
        """Return the UUIDs of a host's VMs on which this right is given; None when it is given on all of them."""
        if self.on_host(right, host):
            return None
        named = [uuid for uuid, rights in self._vms.get(host, {}).items() if _has(rights, right)]
        tags = {tag for (scope, tag), rights in self._by_tag.items() if scope in {"", host} and _has(rights, right)}
        return frozenset(named).union(*(self._tags.vms_with(host, tag) for tag in tags))

    def covers(self, grant: Grant) -> bool:
        """Say whether all that a grant gives is given here too, for as long as these grants last.

        What hangs on a tag here ends with the tag: it can be passed on by the same tag only.
        """
        return all(
            self._fixed(right, grant.host, grant.vm) or self._by_any({grant.tag}, right, grant.host)
            for right in rights_of(grant, self._tags.roles)
        )

    def withdrawals(self) -> int:
        """Return a number that is another one once a tag was removed on which rights hang here."""
        return sum(self._tags.removals(tag) for tag in self._granted_tags)

    def require(self, right: str, host: str = "") -> None:
        """Raise `HostNotFound` for a host that may not be read, else `Forbidden` when the right is missing."""
        if host and not self.on_host("read", host):
            raise HostNotFound(f"there is no host {host[:80]!r}")
        if not self.on(right, host):
            raise _forbidden(right, f"host {host!r}" if host else "everything")

    def require_vm(self, right: str, host: str, uuid: str, name: str) -> None:
        """Raise `Forbidden` when the right on a VM that may be read is missing."""
        if not self.on_vm(right, host, uuid):
            raise _forbidden(right, f"VM {name!r} of host {host!r}")

    def _fixed(self, right: str, host: str, uuid: str = "") -> bool:
        """Say whether a right is given on everything, the host, or the VM, whatever tags these have."""
        for place in ("", host):
            given = self._hosts.get(place, NOTHING)
            if right in given or ANY_RIGHT in given:
                return True
        return bool(uuid) and _has(self._vms.get(host, {}).get(uuid, NOTHING), right)

    def _tagged(self, right: str, host: str, uuid: str) -> bool:
        """Say whether a right is given by one of the tags that a VM, or the host itself, has now."""
        return bool(self._by_tag) and self._by_any(self._tags.of(host, uuid), right, host)

    def _by_any(self, tags: AbstractSet[str], right: str, host: str) -> bool:
        """Say whether a right is given on a host by one of these tags."""
        by_tag = self._by_tag
        for tag in self._granted_tags & tags:
            if _has(by_tag.get(("", tag), NOTHING), right) or _has(by_tag.get((host, tag), NOTHING), right):
                return True
        return False


def _has(rights: frozenset[str], right: str) -> bool:
    return right in rights or ANY_RIGHT in rights


def _forbidden(right: str, what: str) -> Forbidden:
    word = str.__str__(right)  # a plugin may have its rights in an enum, whose members print as `Rights.SHELVE`
    return Forbidden(f"this needs the right '{word}' on {what}; somebody with the right 'access' can grant it")


EVERYTHING = Permissions([Grant(role="admin")], TagIndex())
"""What everybody may do while nobody has to say who they are."""
