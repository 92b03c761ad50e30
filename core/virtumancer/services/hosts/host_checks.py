"""What a host may be called, and where it may be, whichever driver it is for."""

import re

from virtumancer.contracts import Host
from virtumancer.errors import InvalidValue
from virtumancer.masking import holds_secret

__all__ = ["check_host", "check_uri"]

HOST_ID = re.compile(r"[A-Za-z0-9._-]{1,63}")
URI_LENGTH = 2048


def check_host(host: Host) -> None:
    """Refuse what can never work, naming the field and the cure. Raises `InvalidValue`."""
    if not HOST_ID.fullmatch(host.id) or host.id in {".", ".."}:
        raise InvalidValue(
            f"host id {host.id[:80]!r} is not usable: 1 to 63 of the characters A-Z a-z 0-9 . _ - are", field="id"
        )
    check_uri(host.uri)


def check_uri(uri: str) -> None:
    """Refuse a URI that is none, whichever driver it is for. Raises `InvalidValue`."""
    if not uri or len(uri) > URI_LENGTH:
        raise InvalidValue(
            f"the URI is empty or longer than {URI_LENGTH} characters; give one such as "
            "qemu+ssh://root@kvm1.example.org/system",
            field="uri",
        )
    # It would stand in the database and in answers, whatever the driver thinks of it.
    if holds_secret(uri):
        raise InvalidValue("the URI holds a password, which is refused; use a key or an agent", field="uri")
