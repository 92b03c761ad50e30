"""What the SSH configuration says about the way to a host: each hop with everything needed to open it."""

import getpass
import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from virtumancer.contracts import ConnectSettings
from virtumancer.errors import HostUnreachable
from virtumancer_libvirt.ssh.config_reader import HostConfig, port_of
from virtumancer_libvirt.ssh.config_words import printable
from virtumancer_libvirt.uri.uri import SSHTarget

__all__ = ["Hop", "resolve"]

_MOST_HOPS = 8
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk", "id_ed448")
_FLAGS: Mapping[str, bool] = {"yes": True, "true": True, "no": False, "false": False}
_FAMILIES: Mapping[str, int] = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}


class Hop(Struct, frozen=True, kw_only=True):
    """One SSH server on the way, the last one being the host itself."""

    host: str
    port: int
    user: str
    name: str
    """What known_hosts calls it, in lower case: its `HostKeyAlias` or its host name."""
    aliased: bool = False
    family: int = socket.AF_UNSPEC
    known_hosts: tuple[str, ...] = ()
    key_files: tuple[str, ...] = ()
    key_files_named: bool = False
    """Whether somebody named the key files, so that a missing one is worth a word."""
    certificate_files: tuple[str, ...] = ()
    only_these_keys: bool = False
    agent_path: str | None = None
    kex_algs: str | None = None
    ciphers: str | None = None
    macs: str | None = None
    host_key_algs: str | None = None

    @property
    def address(self) -> str:
        """Its address as in known_hosts."""
        return self.name if self.port == 22 or self.aliased else f"[{self.name}]:{self.port}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def resolve(target: SSHTarget, settings: ConnectSettings) -> tuple[Hop, ...]:
    """Return the hops to a target, the first jump host first. Reads files: call it in a thread.

    The operator's configuration decides, the URI goes first. It runs no program: `ProxyCommand` and `Match exec`
    are refused, because a client of the API chooses the host that they would be run for.
    """
    return tuple(_Resolver(settings).hops(target, depth=0))


class _Resolver:
    def __init__(self, settings: ConnectSettings) -> None:
        self._settings = settings

    def hops(self, target: SSHTarget, depth: int, *, jumps_known: bool = False) -> Sequence[Hop]:
        if depth > _MOST_HOPS:
            raise HostUnreachable(
                f"the way to {target.host} has more than {_MOST_HOPS} jumps; does ProxyJump go round?"
            )
        try:
            config = self._load(target)
            hop, jumps = self._hop(target, config), config.expanded("proxyjump") or "none"
        except (OSError, ValueError) as error:
            raise HostUnreachable(f"the SSH configuration cannot be used for {target.host}: {error}") from error
        if (config.word("proxycommand") or "none").lower() != "none":
            raise HostUnreachable(
                f"the SSH configuration has a ProxyCommand for {target.host}, which is not supported because it runs a "
                "program; use ProxyJump, or set ProxyCommand none"
            )
        before = () if jumps_known or jumps.lower() == "none" else self._jumps(jumps, depth)
        return (*before, hop)

    def _jumps(self, text: str, depth: int) -> Sequence[Hop]:
        hops: list[Hop] = []
        for index, jump in enumerate(text.split(",")):
            # As with OpenSSH, only the first one of a list may have jumps of its own.
            hops.extend(self.hops(_jump_target(jump.strip()), depth + 1, jumps_known=index > 0))
        return hops

    def _load(self, target: SSHTarget) -> HostConfig:
        config = HostConfig(target.host, _local_user(), target.user, target.port)
        path = Path(self._settings.ssh_config).expanduser() if self._settings.ssh_config else None
        if path is not None and path.exists():
            config.read(path)
        return config

    def _hop(self, target: SSHTarget, config: HostConfig) -> Hop:
        host, user = _utf8(config.hostname), _utf8(config.user)
        alias = config.word("hostkeyalias")
        hop = Hop(
            host=host,
            port=config.port,
            user=user,
            # With the dot at its end a name is the same host.
            name=(alias or host.removesuffix(".")).lower(),
            aliased=alias is not None,
            family=config.choice("addressfamily", _FAMILIES) or socket.AF_UNSPEC,
            known_hosts=self._known_hosts(target, config),
            kex_algs=config.word("kexalgorithms"),
            ciphers=config.word("ciphers"),
            macs=config.word("macs"),
            host_key_algs=config.word("hostkeyalgorithms"),
        )
        return self._with_keys(hop, target, config)

    def _with_keys(self, hop: Hop, target: SSHTarget, config: HostConfig) -> Hop:
        named = [target.keyfile] if target.keyfile else config.expanded_list("identityfile")
        files = [f"~/.ssh/{name}" for name in _DEFAULT_KEYS] if named is None else named
        return replace(
            hop,
            key_files=_expanded(files) if target.key_files else (),
            key_files_named=named is not None,
            certificate_files=_expanded(config.expanded_list("certificatefile") or []),
            only_these_keys=target.keyfile is not None or bool(config.choice("identitiesonly", _FLAGS)),
            agent_path=self._agent_path(config) if target.agent else None,
        )

    def _agent_path(self, config: HostConfig) -> str | None:
        path = config.word("identityagent") or "SSH_AUTH_SOCK"
        if not self._settings.ssh_agent or path.lower() == "none":
            return None
        variable = re.fullmatch(r"SSH_AUTH_SOCK|\$\{?(\w+)\}?", path)
        if variable:
            path = os.environ.get(variable[1] or "SSH_AUTH_SOCK", "")
        else:
            path = config.expanded("identityagent") or ""
        return str(Path(path).expanduser()) if path else None

    def _known_hosts(self, target: SSHTarget, config: HostConfig) -> tuple[str, ...]:
        if target.known_hosts:
            return (target.known_hosts,)
        users = config.expanded_list("userknownhostsfile")
        others = config.expanded_list("globalknownhostsfile")
        ours = self._settings.ssh_known_hosts
        if users is None:
            users = [path for path in ours if path.startswith("~")]
        if others is None:
            others = [path for path in ours if not path.startswith("~")]
        return _expanded([*users, *others])


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        message = "the user that runs this program has no name; set LOGNAME in its environment"
        raise HostUnreachable(message) from error


def _expanded(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(Path(path).expanduser()) for path in paths)


def _utf8(text: str) -> str:
    if printable(text) != text:
        raise ValueError(f"{printable(text)} is not written in UTF-8")
    return text


def _jump_target(text: str) -> SSHTarget:
    authority = urlsplit(text).netloc if text.startswith("ssh://") else text
    match = re.fullmatch(r"(?:(.+)@)?(?:\[([^\[\]]+)\]|([^:@\[\]]+))(?::([^:@\[\]]+))?", authority)
    if match is None:
        raise _unreadable_jump(text)
    user, bracketed, plain, port = match.groups()
    try:
        return SSHTarget(host=bracketed or plain, user=user, port=port_of(port) if port else None)
    except ValueError as error:
        raise _unreadable_jump(text, f": {error}") from error


def _unreadable_jump(text: str, reason: str = "") -> HostUnreachable:
    return HostUnreachable(f"the SSH configuration has a ProxyJump that cannot be read: {printable(text)}{reason}")
