"""What the SSH configuration says about the way to a host: each hop with everything needed to open it."""

import getpass
import os
import re
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from asyncssh.config import SSHClientConfig
from msgspec import Struct
from msgspec.structs import replace

from virtumancer.contracts import ConnectSettings
from virtumancer.errors import HostUnreachable
from virtumancer_libvirt.uri.uri import SSHTarget

__all__ = ["Hop", "resolve"]

_MOST_HOPS = 8
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk", "id_ed448")


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


class _Config(SSHClientConfig):
    """asyncssh's reader of ssh_config, without the condition that runs a program."""

    def _match_without_exec(self, option: str, args: list[str]) -> None:
        position = _position_of_exec(args)
        if position is None:
            super()._match(option, args)
            return
        # What comes before `exec` may already say that the block is about other hosts.
        before = args[:position] or ["all"]
        args.clear()
        super()._match(option, before)
        if self._matching:
            self._error("Match exec is not supported, because it runs a program")

    # asyncssh looks keywords up in this table and not among its methods.
    _handlers: dict[str, tuple[str, Callable[..., Any]]] = {  # noqa: RUF012
        **cast("Any", SSHClientConfig._handlers),  # noqa: SLF001
        "match": ("Match", _match_without_exec),
    }


def _position_of_exec(args: Sequence[str]) -> int | None:
    position = 0
    while position < len(args):
        condition = args[position].lower().removeprefix("!")
        if condition == "exec":
            return position
        position += 1 if condition in {"all", "canonical", "final"} else 2
    return None


class _Resolver:
    def __init__(self, settings: ConnectSettings) -> None:
        self._settings = settings

    def hops(self, target: SSHTarget, depth: int, *, jumps_known: bool = False) -> Sequence[Hop]:
        if depth > _MOST_HOPS:
            raise HostUnreachable(
                f"the way to {target.host} has more than {_MOST_HOPS} jumps; does ProxyJump go round?"
            )
        config = self._load(target)
        if config.get("ProxyCommand") and not config.get("ProxyJump"):
            raise HostUnreachable(
                f"the SSH configuration has a ProxyCommand for {target.host}, which is not supported because it runs a "
                "program; use ProxyJump, or set ProxyCommand none"
            )
        jumps = cast("str | None", config.get("ProxyJump"))
        before = self._jumps(jumps, depth) if jumps and not jumps_known else ()
        return (*before, self._hop(target, config))

    def _jumps(self, text: str, depth: int) -> Sequence[Hop]:
        hops: list[Hop] = []
        for index, jump in enumerate(text.split(",")):
            # As with OpenSSH, only the first one of a list may have jumps of its own.
            hops.extend(self.hops(_jump_target(jump.strip()), depth + 1, jumps_known=index > 0))
        return hops

    def _load(self, target: SSHTarget) -> SSHClientConfig:
        load = cast("Callable[..., SSHClientConfig]", _Config.load)
        chosen = (_local_user(), target.user or (), target.host, target.port or ())
        try:
            path = Path(self._settings.ssh_config).expanduser() if self._settings.ssh_config else None
            paths = [path] if path is not None and path.exists() else []
            config = load(None, paths, False, False, False, *chosen)
            if config.has_match_final():
                config = load(config, paths, True, False, True, *chosen)
        except (OSError, ValueError) as error:
            raise HostUnreachable(f"the SSH configuration cannot be used for {target.host}: {error}") from error
        return config

    def _hop(self, target: SSHTarget, config: SSHClientConfig) -> Hop:
        host = cast("str", config.get("Hostname", target.host))
        alias = cast("str | None", config.get("HostKeyAlias"))
        hop = Hop(
            host=host,
            port=cast("int", config.get("Port", 22)),
            user=cast("str", config.get("User") or _local_user()),
            name=(alias or host).lower(),
            aliased=alias is not None,
            family=cast("int", config.get("AddressFamily", socket.AF_UNSPEC)),
            known_hosts=self._known_hosts(target, config),
            kex_algs=cast("str | None", config.get("KexAlgorithms")),
            ciphers=cast("str | None", config.get("Ciphers")),
            macs=cast("str | None", config.get("MACs")),
            host_key_algs=cast("str | None", config.get("HostKeyAlgorithms")),
        )
        return self._with_keys(hop, target, config)

    def _with_keys(self, hop: Hop, target: SSHTarget, config: SSHClientConfig) -> Hop:
        named = [target.keyfile] if target.keyfile else cast("list[str] | None", config.get("IdentityFile"))
        files = [f"~/.ssh/{name}" for name in _DEFAULT_KEYS] if named is None else named
        return replace(
            hop,
            key_files=_expanded(files) if target.key_files else (),
            key_files_named=named is not None,
            certificate_files=_expanded(cast("list[str]", config.get("CertificateFile", []))),
            only_these_keys=target.keyfile is not None or bool(config.get("IdentitiesOnly")),
            agent_path=self._agent_path(config) if target.agent else None,
        )

    def _agent_path(self, config: SSHClientConfig) -> str | None:
        if not self._settings.ssh_agent:
            return None
        path = cast("str | None", config.get("IdentityAgent", "SSH_AUTH_SOCK"))
        if path == "SSH_AUTH_SOCK":
            path = os.environ.get("SSH_AUTH_SOCK")
        elif path and path.startswith("$"):
            path = os.environ.get(path[1:].strip("{}"))
        return str(Path(path).expanduser()) if path else None

    def _known_hosts(self, target: SSHTarget, config: SSHClientConfig) -> tuple[str, ...]:
        if target.known_hosts:
            return (target.known_hosts,)
        ours = self._settings.ssh_known_hosts
        users = cast("list[str]", config.get("UserKnownHostsFile", [path for path in ours if path.startswith("~")]))
        others = [path for path in ours if not path.startswith("~")]
        return _expanded([*users, *cast("list[str]", config.get("GlobalKnownHostsFile", others))])


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        message = "the user that runs this program has no name; set LOGNAME in its environment"
        raise HostUnreachable(message) from error


def _expanded(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(Path(path).expanduser()) for path in paths)


def _jump_target(text: str) -> SSHTarget:
    authority = urlsplit(text).netloc if text.startswith("ssh://") else text
    match = re.fullmatch(r"(?:(.+)@)?(?:\[([^\[\]]+)\]|([^:@\[\]]+))(?::([0-9]{1,5}))?", authority)
    if match is None:
        raise HostUnreachable(f"the SSH configuration has a ProxyJump that cannot be read: {text}")
    user, bracketed, plain, port = match.groups()
    return SSHTarget(host=bracketed or plain, user=user, port=int(port) if port else None)
