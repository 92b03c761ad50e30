"""Who vouches for an SSH server's key: known_hosts files, keys pinned by us, or a fresh approval."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs, get_public_key_algs
from msgspec import Struct

from virtumancer.contracts import HostKey, HostKeyPolicy
from virtumancer.errors import HostKeyChanged, HostKeyUnknown, HypervisorError, VirtumancerError
from virtumancer_libvirt.ssh.config import Hop

__all__ = ["HostKeyJudge", "KnownKeys", "describe_key", "load_known_keys"]


class KnownKeys(Struct, frozen=True):
    """What is known about the keys of one address."""

    trusted: tuple[asyncssh.SSHKey, ...] = ()
    authorities: tuple[asyncssh.SSHKey, ...] = ()
    revoked: tuple[asyncssh.SSHKey, ...] = ()
    portless: tuple[asyncssh.SSHKey, ...] = ()
    """Keys of the same host on port 22: they vouch for this port too, but another key here is unknown, not changed."""

    def algorithms(self, *, certificates: bool) -> list[str]:
        """Return the host key algorithms to ask for, those of known keys first.

        A server with several keys then shows the one that is known. Certificates are asked for only when an
        authority could vouch for one, since a server shows a certificate instead of its plain key.
        """
        possible = frozenset(get_public_key_algs())
        known = [name for key in (*self.trusted, *self.portless) for name in key.sig_algorithms if name in possible]
        first = get_default_certificate_algs() if certificates and self.authorities else []
        return [name.decode() for name in dict.fromkeys((*first, *known, *get_default_public_key_algs()))]


def load_known_keys(hop: Hop, pinned: Sequence[HostKey]) -> KnownKeys:
    """Collect what the known_hosts files and our store know. Reads files: call it in a thread."""
    names = {hop.address, hop.name}
    known = _read(hop.known_hosts, names)
    # Only names are looked up, no addresses: a key vouches for what was asked for, not for where DNS pointed.
    trusted, authorities, revoked, *_ = known.match(hop.address, "", None)
    plain, plain_authorities, plain_revoked, *_ = known.match(hop.name, "", None)
    return KnownKeys(
        trusted=(*trusted, *(_stored(key) for key in pinned)),
        authorities=(*authorities, *plain_authorities),
        revoked=(*revoked, *plain_revoked),
        portless=tuple(plain) if hop.address != hop.name else (),
    )


def _stored(key: HostKey) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(key.public)
    except asyncssh.KeyImportError as error:
        message = f"the stored host key of {key.address} cannot be read; remove the host and add it again"
        raise HypervisorError(message) from error


def _read(paths: Iterable[str], names: set[str]) -> asyncssh.SSHKnownHosts:
    known = asyncssh.SSHKnownHosts()
    for path in paths:
        try:
            lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HypervisorError(f"known_hosts file {path} cannot be read: {error.strerror}") from error
        for line in lines:
            if _concerns(line, names):
                _load_line(known, line)
    return known


def _concerns(line: str, names: set[str]) -> bool:
    """Leave out what cannot match, because decoding every key of a long file is slow."""
    words = line.split(None, 2)
    if len(words) < 2 or words[0].startswith("#"):
        return False
    pattern = words[1] if words[0].startswith("@") else words[0]
    return any(character in pattern for character in "*?|!/") or not names.isdisjoint(pattern.lower().split(","))


def _load_line(known: asyncssh.SSHKnownHosts, line: str) -> None:
    try:
        known.load(line)
    except ValueError:
        # A line that cannot be read vouches for nothing; OpenSSH skips it too.
        return


class HostKeyJudge:
    """Decides about the key that one server shows, and keeps the error that explains a refusal."""

    def __init__(self, hop: Hop, known: KnownKeys, policy: HostKeyPolicy) -> None:
        self._hop = hop
        self.known = known
        self._policy = policy
        self.refusal: VirtumancerError | None = None
        self.foreign_certificate = False

    def accepts_key(self, key: asyncssh.SSHKey) -> bool:
        """Say whether a plain key is good; every refusal leaves its reason in `refusal`."""
        shown = describe_key(self._hop.address, key)
        if key in self.known.revoked:
            self.refusal = self._revoked(shown)
        elif key in self.known.trusted or key in self.known.portless:
            return True
        elif self.known.trusted:
            self.refusal = self._changed(shown)
        elif self._policy.accepts(shown):
            return True
        else:
            self.refusal = self._unknown(shown)
        return False

    def accepts_authority(self, key: asyncssh.SSHKey) -> bool:
        """Say whether the signer of a host certificate is trusted."""
        self.foreign_certificate = key not in self.known.authorities
        return not self.foreign_certificate

    def _unknown(self, shown: HostKey) -> HostKeyUnknown:
        return HostKeyUnknown(
            f"the SSH host key of {shown.address} is not known: {shown.type} {shown.fingerprint}. Compare it on the "
            f'host (ssh-keygen -lf), then approve it with "host_key": "{shown.fingerprint}" in the body of '
            'POST /api/v1/hosts, or set ssh.unknown_host_keys = "accept-new" in the configuration',
            host_key=_facts(shown),
        )

    def _changed(self, shown: HostKey) -> HostKeyChanged:
        trusted = [describe_key(self._hop.address, key) for key in self.known.trusted]
        known = ", ".join(f"{key.type} {key.fingerprint}" for key in trusted)
        return HostKeyChanged(
            f"the SSH host key of {shown.address} has changed: it shows {shown.type} {shown.fingerprint}, trusted is "
            f"{known}. Somebody may stand in between. If the host was really set up anew, remove the old key from "
            "known_hosts, or rotate a pinned one (POST /api/v1/hosts/{host}/host-keys/rotate)",
            host_key=_facts(shown),
            trusted_host_keys=[_facts(key) for key in trusted],
        )

    def _revoked(self, shown: HostKey) -> HostKeyChanged:
        return HostKeyChanged(
            f"the SSH host key of {shown.address} is revoked in known_hosts: {shown.type} {shown.fingerprint}. "
            "Give the host a new key",
            host_key=_facts(shown),
            trusted_host_keys=[],
        )

    def invalid(self, reason: str) -> HostKeyChanged:
        """Return the error for a host certificate that is expired, for another name or of a revoked key."""
        return HostKeyChanged(
            f"the SSH host certificate of {self._hop.address} is not valid: {reason}. Have it issued anew, for a new "
            "key if the old one is revoked",
            host_key={"address": self._hop.address},
            trusted_host_keys=[],
        )


def describe_key(address: str, key: asyncssh.SSHKey) -> HostKey:
    """Say of a key what the contracts say of one."""
    kind, public = key.export_public_key("openssh").decode().split()[:2]
    return HostKey(address=address, type=kind, fingerprint=key.get_fingerprint("sha256"), public=f"{kind} {public}")


def _facts(key: HostKey) -> dict[str, str]:
    return {"address": key.address, "type": key.type, "fingerprint": key.fingerprint}
