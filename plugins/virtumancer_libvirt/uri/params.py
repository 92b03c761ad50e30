"""The parameters of a libvirt URI: which are honoured, which are harmless, which are refused and why."""

import difflib
import re
from collections.abc import Mapping
from urllib.parse import unquote

from virtumancer.errors import InvalidValue

__all__ = ["KEPT_FOR_LIBVIRT", "check_params", "parse_params"]

KEPT_FOR_LIBVIRT = frozenset({"name"})
"""What a URI through a forwarded socket still tells libvirt; everything else is about the way there."""

_FOR_SSH = ("socket", "mode", "name", "keyfile", "known_hosts", "known_hosts_verify", "sshauth", "proxy", "no_tty")
_PROGRAMS = ("command", "netcat")
_WEAKENING: Mapping[str, str] = {
    "no_sanity": "certificates are always checked; remove it",
    "tls_priority": "it could weaken TLS; set it in libvirt.conf of the manager",
    "authfile": "it names a file of the manager that would be read; use auth.conf of libvirt",
}
_VALUES: Mapping[str, tuple[frozenset[str], str]] = {
    "mode": (frozenset({"auto", "legacy", "direct"}), "use auto, legacy or direct"),
    "known_hosts_verify": (
        frozenset({"normal"}),
        "host keys are always verified; leave it out and approve the host's key instead",
    ),
    "proxy": (
        frozenset({"auto", "native"}),
        "the socket is forwarded by sshd, and a helper on the host is used only where that is forbidden; leave it out",
    ),
}


def _refuse(name: str, reason: str) -> InvalidValue:
    return InvalidValue(f"parameter {name} of uri is refused: {reason}", field="uri")


def parse_params(query: str) -> dict[str, str]:
    """Split a query as libvirt does: at `&` and `;`, names in any case, no `+` for a space. Raises `InvalidValue`."""
    params: dict[str, str] = {}
    for piece in filter(None, re.split("[&;]", query)):
        name, separator, value = piece.partition("=")
        name = unquote(name).lower()
        # An unreadable name is not repeated: it may be a piece of a password with a ? in it.
        if not separator or not re.fullmatch(r"[a-z][a-z0-9_.-]*", name):
            raise InvalidValue("a parameter of uri cannot be read; write ?name=value&name=value", field="uri")
        if name in params:
            raise _refuse(name, "it is there twice; keep one")
        params[name] = unquote(value)
        if "\ufffd" in params[name]:
            raise _refuse(name, "its %-escapes are not UTF-8")
    return params


def check_params(params: Mapping[str, str], *, ssh: bool) -> None:
    """Raise `InvalidValue` for a parameter that runs a program, weakens verification or means nothing."""
    for name in _PROGRAMS:
        if name in params:
            raise _refuse(name, "it would run a program of the URI's choice; remove it")
    if params.get("no_verify", "0") != "0":
        raise _refuse("no_verify", "the other end is always verified; remove it")
    if params.get("transport", "https") != "https":
        raise _refuse("transport", "without TLS nobody knows who answers, and anybody reads the password; remove it")
    for name, cure in _WEAKENING.items():
        if name in params:
            raise _refuse(name, cure)
    if params.get("known_hosts_verify", "normal") != "normal":
        raise _refuse("known_hosts_verify", _VALUES["known_hosts_verify"][1])
    if ssh:
        _check_ssh(params)


def _check_ssh(params: Mapping[str, str]) -> None:
    for name, value in params.items():
        if name == "no_verify":
            continue
        if name not in _FOR_SSH:
            nearest = difflib.get_close_matches(name, _FOR_SSH, n=1)
            cure = f"did you mean {nearest[0]}?" if nearest else f"+ssh knows {', '.join(_FOR_SSH)}"
            raise _refuse(name, f"it is unknown; {cure}")
        allowed, cure = _VALUES.get(name, (None, ""))
        if allowed is not None and value not in allowed:
            raise _refuse(name, cure)
        if name in {"socket", "keyfile", "known_hosts"} and not value.startswith("/"):
            raise _refuse(name, "it must be an absolute path, beginning with /")
    _check_methods(params.get("sshauth", "agent"))


def _check_methods(text: str) -> None:
    if not set(text.split(",")) <= {"agent", "privkey"}:
        raise _refuse("sshauth", "only agent and privkey can work, because nobody is there to type a password")
