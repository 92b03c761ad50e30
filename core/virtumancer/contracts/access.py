"""Who may do what, as the API shows it: grants, tokens, users and the caller."""

from enum import StrEnum
from typing import Literal

from msgspec import Struct

from virtumancer.contracts.status import Timestamp

__all__ = ["Grant", "Me", "NewLink", "NewToken", "Right", "Role", "TokenInfo", "UserInfo", "WebSessionInfo"]

Role = Literal["viewer", "operator", "admin"]


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
    METADATA = "metadata"
    """Write titles and notes; tags, with which rights are given and withdrawn, need `access` too."""
    AUDIT = "audit"
    """Read the audit log."""
    ACCESS = "access"
    """Give and withdraw rights that one has oneself."""


class Grant(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rights on everything, on a host with all its VMs (`host`), on one VM (`host` and `vm`, its UUID), or by `tag`."""

    role: Role | None = None
    """`viewer`, `operator` or `admin`."""
    rights: tuple[str, ...] = ()
    """Single rights, beside those of the role."""
    host: str = ""
    """The id of a host; empty for everything."""
    vm: str = ""
    """The UUID of a VM of that host; empty for all of them."""
    tag: str = ""
    """On what has this tag now: VMs, and hosts with all their VMs; with `host`, there alone."""


class Me(Struct, frozen=True):
    """Who the caller is, and what they may do."""

    actor: str
    """As the audit log names them."""
    grants: tuple[Grant, ...]
    expires_at: Timestamp | None


class TokenInfo(Struct, frozen=True, kw_only=True):
    """A token as the API shows it: everything but the token."""

    id: str
    """How the token begins, behind `vmt_`; the logs name it so."""
    name: str
    grants: tuple[Grant, ...]
    created_at: Timestamp
    created_by: str
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    """To within a minute; null when it was never used."""
    parent: str = ""
    """The id of the token that it was made with, and ends with at the latest; empty when it was made otherwise."""


class NewToken(Struct, frozen=True):
    """A token that was just made: the only time that it is shown."""

    token: str
    info: TokenInfo


class UserInfo(Struct, frozen=True, kw_only=True):
    """A user as the API shows it: everything but the password."""

    name: str
    grants: tuple[Grant, ...]
    created_at: Timestamp
    created_by: str
    password_at: Timestamp
    """When the password was set."""


class NewLink(Struct, frozen=True):
    """A link that signs a browser in, once."""

    path: str
    """Below the address of this server; its secret stands behind the #, which browsers send to nobody."""
    expires_at: Timestamp


class WebSessionInfo(Struct, frozen=True):
    """A browser that is signed in, as the API shows it: everything but its secret."""

    id: str
    actor: str
    """As the audit log names them."""
    created_at: Timestamp
    expires_at: Timestamp
