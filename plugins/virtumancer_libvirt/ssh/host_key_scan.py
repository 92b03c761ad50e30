"""Which host keys an SSH server shows: asked for kind by kind, and the connection dropped before any login."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, cast

import asyncssh
from asyncssh.public_key import (
    CERT_TYPE_HOST,
    SSHOpenSSHCertificate,
    decode_ssh_certificate,
    get_default_certificate_algs,
    get_public_key_algs,
)
from msgspec.structs import replace

from virtumancer.contracts import ConnectContext, HostKeyTrust, ShownHostKey
from virtumancer.errors import HostKeyChanged, HostKeyUnknown, HostUnreachable
from virtumancer_libvirt.ssh.config import Hop, resolve
from virtumancer_libvirt.ssh.connector import HopConnector, hop_options
from virtumancer_libvirt.ssh.host_keys import KnownKeys, describe_key, load_known_keys
from virtumancer_libvirt.ssh.tcp import dial
from virtumancer_libvirt.uri.uri import LibvirtURI

__all__ = ["scan_host_keys"]

_KINDS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256",),
    ("ecdsa-sha2-nistp384",),
    ("ecdsa-sha2-nistp521",),
    ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"),
    ("ssh-ed448",),
)
"""The kinds of host keys, each with the algorithms that prove it: a server has at most one of each.

Asked for are the kinds not seen yet and, behind them, the others: so a server without another kind shows a key again
instead of failing, and what fails is a failure.
"""


class _Listener(asyncssh.SSHClient):
    """Keeps the host key as the server sent it: asyncssh itself tells only of the key inside a certificate."""

    sent = b""

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        validate = conn.validate_server_host_key

        def listening(key_data: bytes) -> asyncssh.SSHKey:
            self.sent = key_data
            return validate(key_data)

        setattr(conn, "validate_server_host_key", listening)  # noqa: B010 - type checkers allow no assignment


async def scan_host_keys(uri: LibvirtURI, context: ConnectContext) -> Sequence[ShownHostKey]:
    """Return the keys of the host, or of the first jump host that is not trusted, within `connect_timeout`."""
    connections: list[asyncssh.SSHClientConnection] = []
    seconds = context.settings.connect_timeout
    try:
        async with asyncio.timeout(seconds):
            *jumps, target = await asyncio.to_thread(resolve, uri.ssh_target, context.settings)
            connector = HopConnector(context, connections, _take_no_note)
            for hop in jumps:
                try:
                    await connector.connect(hop)
                except (HostKeyUnknown, HostKeyChanged):
                    return await _Scan(hop, context, connections).shown()
            return await _Scan(target, context, connections).shown()
    except TimeoutError as error:
        raise HostUnreachable(f"{uri.host} did not show its SSH host keys within {seconds:g} s") from error
    finally:
        for connection in reversed(connections):
            connection.abort()


def _take_no_note(_hop: Hop, _error: Exception | None) -> None:
    """Whatever loses a jump host meanwhile ends the scan by itself."""


class _Scan:
    """Asks one server for its keys, through the last of the connections to jump hosts if there are any."""

    def __init__(self, hop: Hop, context: ConnectContext, connections: Sequence[asyncssh.SSHClientConnection]) -> None:
        self._hop = hop
        self._settings = context.settings
        self._pinned = context.host_keys.pinned_for(hop.address)
        self._connections = connections

    async def shown(self) -> Sequence[ShownHostKey]:
        """Ask until nothing new comes: a server shows one key at a time, of the first kind that it has."""
        known = await asyncio.to_thread(load_known_keys, self._hop, self._pinned)
        unseen, seen = _kinds(certificates=bool(known.authorities)), list[Sequence[str]]()
        keys: dict[str, ShownHostKey] = {}
        while unseen:
            sent, key = await self._ask([*chain(*unseen), *chain(*seen)], known)
            kind = next((kind for kind in unseen if _algorithm(sent) in kind), None)
            if kind is None:
                break
            unseen.remove(kind)
            seen.append(kind)
            trust = self._trust(sent, key, known)
            if trust is not None:
                facts = describe_key(self._hop.address, key)
                shown = ShownHostKey(facts.address, facts.type, facts.fingerprint, facts.public, trust)
                # What its certificate says of a key comes first, as when connecting.
                keys.setdefault(facts.fingerprint, shown)
        return _settled(keys.values(), known)

    async def _ask(self, algorithms: Sequence[str], known: KnownKeys) -> tuple[bytes, asyncssh.SSHKey]:
        listener = _Listener()
        options = hop_options(self._hop, self._settings, known) | {"client_factory": lambda: listener}
        place: dict[str, Any] = {}
        if self._connections:
            place["tunnel"] = self._connections[-1]
        else:
            place["sock"] = await dial(self._hop, self._settings.connect_timeout)
        try:
            key = await asyncssh.get_server_host_key(
                self._hop.host,
                self._hop.port,
                server_host_key_algs=algorithms,
                kex_algs=self._hop.kex_algs or (),
                config=None,
                options=asyncssh.SSHClientConnectionOptions(**options),
                **place,
            )
        except Exception as error:  # what a peer that is no SSH server sends can make asyncssh raise anything
            raise HostUnreachable(f"{self._hop} shows no SSH host key: {str(error) or type(error).__name__}") from error
        finally:
            if "sock" in place:
                place["sock"].close()
        if key is None:
            raise HostUnreachable(f"{self._hop} showed no SSH host key")
        return listener.sent, key

    def _trust(self, sent: bytes, key: asyncssh.SSHKey, known: KnownKeys) -> HostKeyTrust | None:
        """Judge a key as connecting would; None for a certificate of an authority that nobody knows."""
        if key in known.revoked:
            return HostKeyTrust.REVOKED
        try:
            certificate = decode_ssh_certificate(sent)
        except asyncssh.KeyImportError:
            return self._trust_in_plain(key, known)
        return _trust_in_certificate(cast("SSHOpenSSHCertificate", certificate), self._hop.name, known)

    def _trust_in_plain(self, key: asyncssh.SSHKey, known: KnownKeys) -> HostKeyTrust:
        if key.get_fingerprint("sha256") in {pinned.fingerprint for pinned in self._pinned}:
            return HostKeyTrust.PINNED
        vouched = key in known.trusted or key in known.portless
        return HostKeyTrust.KNOWN_HOSTS if vouched else HostKeyTrust.UNKNOWN


def _trust_in_certificate(certificate: SSHOpenSSHCertificate, name: str, known: KnownKeys) -> HostKeyTrust | None:
    if certificate.signing_key in known.revoked:
        return HostKeyTrust.REVOKED
    if certificate.signing_key not in known.authorities:
        return None
    try:
        certificate.validate(CERT_TYPE_HOST, name)
    except ValueError:
        return HostKeyTrust.INVALID
    return HostKeyTrust.AUTHORITY


def _settled(keys: Iterable[ShownHostKey], known: KnownKeys) -> Sequence[ShownHostKey]:
    """Tell a key that is new beside a trusted one from a key in the place of a trusted one."""
    shown = tuple(keys)
    if not known.trusted or any(key.trust.vouched for key in shown):
        return shown
    changed = HostKeyTrust.CHANGED
    return tuple(replace(key, trust=changed) if key.trust is HostKeyTrust.UNKNOWN else key for key in shown)


def _kinds(*, certificates: bool) -> list[Sequence[str]]:
    possible = {name.decode() for name in get_public_key_algs()}
    kinds: list[Sequence[str]] = [kind for kind in _KINDS if possible.issuperset(kind)]
    if certificates:
        kinds.insert(0, [name.decode() for name in get_default_certificate_algs()])
    return kinds


def _algorithm(sent: bytes) -> str:
    """Return what a key in its form on the wire is called: that begins it, behind its length."""
    return sent[4 : 4 + int.from_bytes(sent[:4])].decode("ascii", "replace")
