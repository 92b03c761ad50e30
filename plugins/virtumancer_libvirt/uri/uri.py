"""A libvirt URI, parsed and checked: `driver[+transport]://[user@]host[:port]/path?parameters`."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast, get_args
from urllib.parse import quote, unquote

from msgspec import Struct

from virtumancer.errors import InvalidValue
from virtumancer_libvirt.uri.daemon_sockets import Mode, daemon_sockets
from virtumancer_libvirt.uri.hypervisors import WEB_SERVICES, check_path
from virtumancer_libvirt.uri.params import KEPT_FOR_LIBVIRT, check_params, parse_params

__all__ = ["LibvirtURI", "SSHTarget", "Transport", "parse"]

Transport = Literal["", "unix", "tcp", "tls", "ssh"]
"""How to reach the daemon; `""` leaves the choice between local and TLS to libvirt."""

_SSH_SPELLINGS = frozenset({"ssh", "libssh", "libssh2"})
"""libvirt's three SSH clients; all of them mean our own SSH connection here."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9.-]*(\+[A-Za-z0-9]+)?")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?\.?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+\\-]{0,254}\$?")
_PATH = re.compile(r"/?|/[A-Za-z0-9._~/%+,:=-]+")
_ZONE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,14}")
"""An interface's name; anything else in an address would be written out into the rest of the URI."""
_BARE_ZONE = re.compile(r"([^/?\[]*\[[0-9A-Fa-f:.]+)%(?!25)")
"""The zone of an address as everybody writes it, with a `%` that a URI would have as `%25`."""
_LONGEST = 2048


def _refuse(message: str) -> InvalidValue:
    return InvalidValue(message, field="uri")


class SSHTarget(Struct, frozen=True):
    """Where SSH goes to and what the URI says about getting in; None leaves it to the SSH configuration."""

    host: str
    user: str | None = None
    port: int | None = None
    keyfile: str | None = None
    known_hosts: str | None = None
    key_files: bool = True
    agent: bool = True


class LibvirtURI(Struct, frozen=True):
    """A URI that passed every check; `str()` of it is the URI in canonical form and holds no secret.

    Every part is held decoded, once, as libvirt decodes it: what was checked is what libvirt opens.
    """

    driver: str
    transport: Transport = ""
    user: str | None = None
    host: str = ""
    port: int | None = None
    path: str = ""
    params: Mapping[str, str] = {}

    @property
    def is_ssh(self) -> bool:
        """Whether the daemon is reached through our SSH connection."""
        return self.transport == "ssh"

    @property
    def inner(self) -> "LibvirtURI | None":
        """The URI that the daemon is told to open (`name`), if it is another one."""
        return parse(self.params["name"]) if "name" in self.params else None

    @property
    def is_session(self) -> bool:
        """Whether it names a user's own daemon instead of the system's."""
        return self.path == "/session"

    @property
    def ssh_target(self) -> SSHTarget:
        """What SSH has to know."""
        methods = self.params.get("sshauth", "agent,privkey").split(",")
        return SSHTarget(
            host=self.host,
            user=self.user,
            port=self.port,
            keyfile=self.params.get("keyfile"),
            known_hosts=self.params.get("known_hosts"),
            key_files="privkey" in methods or "keyfile" in self.params,
            agent="agent" in methods,
        )

    def local_uri(self, socket: str) -> str:
        """Return the URI to open when the daemon's socket is forwarded to this local one."""
        kept = {name: value for name, value in self.params.items() if name in KEPT_FOR_LIBVIRT}
        return f"{self.driver}+unix://{_path(self.path)}?{_query({'socket': socket} | kept)}"

    @property
    def at_the_daemon(self) -> str:
        """The URI as the daemon knows it: without the way to it."""
        return self.params.get("name") or f"{self.driver}://{_path(self.path or '/')}"

    def socket_candidates(self, runtime_dirs: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the sockets its daemon may listen on, likeliest first.

        `runtime_dirs` are the folders of a session's sockets on that host; a system URI needs none.
        """
        if "socket" in self.params:
            return (self.params["socket"],)
        mode = cast("Mode", self.params.get("mode", "auto"))
        return daemon_sockets(self.driver, mode, runtime_dirs if self.is_session else None)

    def __str__(self) -> str:
        scheme = f"{self.driver}+{self.transport}" if self.transport else self.driver
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        query = f"?{_query(self.params)}" if self.params else ""
        return f"{scheme}://{user}{host}{port}{_path(self.path)}{query}"


def _query(params: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='/:,')}" for name, value in params.items())


def _path(path: str) -> str:
    return quote(path, safe="/+,:=")


def parse(text: str) -> LibvirtURI:
    """Parse and check a URI. Raises `InvalidValue` for `uri`, with the cure; no message repeats a password."""
    text = _BARE_ZONE.sub(r"\1%25", text, count=1)
    _check_characters(text)
    scheme, separator, rest = text.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise _refuse("uri must start with a hypervisor and ://, as in qemu+ssh://root@kvm1/system or qemu:///system")
    driver, _, spelling = scheme.lower().partition("+")
    transport = _transport(driver, spelling)
    place, _, query = rest.partition("?")
    authority, slash, path = place.partition("/")
    user, host, port = _authority(authority)
    params = parse_params(query)
    uri = LibvirtURI(driver, transport, user, host, port, _decoded_path(slash + path), params)
    _check_place(uri)
    check_params(params, ssh=uri.is_ssh)
    _check_inner(uri)
    return uri


def _check_inner(uri: LibvirtURI) -> None:
    """Hold the URI that the daemon opens to what the one around it says."""
    inner = uri.inner
    if inner is None:
        return
    if inner.driver != uri.driver or inner.transport or inner.host or inner.user or inner.params:
        raise _refuse(
            "parameter name of uri is what the daemon opens, and has to be a plain URI of the same hypervisor, as "
            f"{uri.driver}:///system"
        )


def _check_characters(text: str) -> None:
    if not text:
        raise _refuse("uri is empty; give one such as qemu+ssh://root@kvm1/system")
    if len(text) > _LONGEST:
        raise _refuse(f"uri is longer than {_LONGEST} characters; shorten it")
    if not text.isascii() or not text.isprintable() or any(character in text for character in ' "<>\\^`{|}#'):
        raise _refuse("uri holds a character that no URI may hold (space, control, non-ASCII …); write it as %XX")
    if re.search(r"%(?![0-9A-Fa-f]{2})|%[01][0-9A-Fa-f]|%7[Ff]", text):
        raise _refuse("uri holds a bad %-escape; write % itself as %25, and leave control characters out")


def _transport(driver: str, spelling: str) -> Transport:
    if spelling in _SSH_SPELLINGS:
        return "ssh"
    if spelling == "ext":
        raise _refuse("transport +ext runs a program of the URI's choice and is refused; use +ssh")
    if spelling not in get_args(Transport):
        raise _refuse(f"transport +{spelling} is unknown; use {driver}+ssh, +tls, +tcp or +unix, or none")
    return cast("Transport", spelling)


def _authority(netloc: str) -> tuple[str | None, str, int | None]:
    userinfo, _, place = netloc.rpartition("@")
    if ":" in userinfo:
        raise _refuse("uri holds a password, which is refused; use an SSH key (keyfile=, ~/.ssh) or an SSH agent")
    user = unquote(userinfo)
    if user and not _USER.fullmatch(user):
        raise _refuse("the user in uri is not a user name; write it as name@, without spaces or quotes")
    host, port = _split_port(place)
    return user or None, _host(host), port


def _split_port(place: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([^:]*))?", place)
    if match is None:
        raise _refuse("the host in uri cannot be read; write an IPv6 address in brackets, as in [2001:db8::1]:22")
    host, port = match.groups()
    if port is None:
        return host, None
    # The text of a bad port is not repeated: it may be a piece of a password.
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise _refuse("the port in uri must be a number from 1 to 65535, as in root@kvm1:22")
    if not host:
        raise _refuse("uri has a port and no host; write the host before the port")
    return host, int(port)


def _host(text: str) -> str:
    if text.startswith("["):
        address, percent, zone = unquote(text[1:-1]).partition("%")
        try:
            plain = str(ipaddress.IPv6Address(address))
        except ValueError as error:
            raise _refuse("the address in brackets in uri is not an IPv6 address") from error
        if percent and not _ZONE.fullmatch(zone):
            raise _refuse("the zone of the IPv6 address in uri is no interface; write it as in [fe80::1%25eth0]")
        return plain + percent + zone
    host = unquote(text)
    if host and not _HOST.fullmatch(host):
        raise _refuse("the host in uri is neither a host name nor an IP address; write an IDN in its xn-- form")
    return host


def _decoded_path(text: str) -> str:
    path = unquote(text)
    if not _PATH.fullmatch(text) or not path.isprintable() or "\ufffd" in path:
        raise _refuse("the path in uri cannot be read; it is /system or /session for most hypervisors")
    return path


def _check_place(uri: LibvirtURI) -> None:
    check_path(uri.driver, uri.path)
    if uri.driver in WEB_SERVICES and not uri.host:
        raise _refuse(f"{uri.driver} needs a host, as in {uri.driver}://esx1/")
    if uri.transport in {"ssh", "tcp", "tls"} and not uri.host:
        raise _refuse(f"+{uri.transport} needs a host, as in {uri.driver}+{uri.transport}://kvm1/system")
    if uri.transport == "unix" and uri.host:
        raise _refuse(f"+unix is for this machine and takes no host; use {uri.driver}+ssh for another one")
