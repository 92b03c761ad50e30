"""Rights, the roles that bundle them, and grants: which rights somebody has, on what."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from virtumancer.errors import InvalidValue

__all__ = ["ANY_RIGHT", "ROLES", "Grant", "Right", "check", "rights_of"]

ANY_RIGHT = "*"


class Right(StrEnum):
    """What one may be allowed to do; plugins bring rights of their own, by the same kind of word."""

    READ = "read"
    """See that it is there, its state, counters and hardware."""
    POWER = "power"
    """Start, stop, reset and suspend."""
    CONSOLE = "console"
    """Open a console and type; end the consoles of others. Holds `console-view`."""
    CONSOLE_VIEW = "console-view"
    """Open a console and look."""
    HARDWARE = "hardware"
    """Change what a VM consists of."""
    HOSTS = "hosts"
    """Add, remove, connect and disconnect hosts, and decide which host keys are trusted."""
    PLUGINS = "plugins"
    """See and manage plugins."""
    AUDIT = "audit"
    """Read the audit log."""
    ACCESS = "access"
    """Give and withdraw rights that one has oneself."""


Role = Literal["viewer", "operator", "admin"]

ROLES: Mapping[str, frozenset[str]] = {
    "viewer": frozenset({Right.READ}),
    "operator": frozenset({Right.READ, Right.POWER, Right.CONSOLE, Right.CONSOLE_VIEW}),
    "admin": frozenset({ANY_RIGHT}),
}
"""What each role may do; an administrator has every right, those of plugins included."""


class Grant(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rights on everything, on a host with all its VMs (`host`), or on one VM (`host` and `vm`, its UUID)."""

    role: Role | None = None
    """`viewer`, `operator` or `admin`."""
    rights: tuple[str, ...] = ()
    """Single rights, beside those of the role."""
    host: str = ""
    """The id of a host; empty for everything."""
    vm: str = ""
    """The UUID of a VM of that host; empty for all of them."""


def rights_of(grant: Grant) -> frozenset[str]:
    """Return all rights that a grant gives."""
    rights = frozenset(grant.rights)
    if grant.role:
        rights |= ROLES[grant.role]
    return rights | {Right.CONSOLE_VIEW} if Right.CONSOLE in rights else rights


def check(grants: tuple[Grant, ...]) -> None:
    """Raise `InvalidValue` for a grant that gives nothing, or says on what in a way that cannot be."""
    for index, grant in enumerate(grants):
        place = f"grants[{index}]"
        if not rights_of(grant):
            roles = ", ".join(ROLES)
            raise InvalidValue(f"this grant gives nothing; name a role ({roles}) or rights", field=place)
        if grant.vm and not grant.host:
            raise InvalidValue("a grant on a VM names its host too", field=f"{place}.host")
        if grant.host and not rights_of(grant) & {Right.READ, ANY_RIGHT}:
            raise InvalidValue("what one may not read one cannot use; add the right read", field=f"{place}.rights")
