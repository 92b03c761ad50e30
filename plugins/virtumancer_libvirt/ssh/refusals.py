"""What it means that an SSH login failed, and what cures it."""

from collections.abc import Iterator, Sequence

import asyncssh
from asyncssh.public_key import CERT_TYPE_USER, SSHOpenSSHCertificate, decode_ssh_certificate

from virtumancer.errors import AuthenticationFailed, HostUnreachable, HypervisorError
from virtumancer_libvirt.ssh.client_keys import Identities
from virtumancer_libvirt.ssh.config import Hop

__all__ = ["LoginTrail", "explain_failure"]


class LoginTrail:
    """What a server asked for while we logged in: it says no reasons, but this tells most of them."""

    def __init__(self) -> None:
        self._keys_were_taken = True
        self._others: list[str] = []
        self.asked_for_keys = False

    def keys_asked_for(self, *, any_left: bool) -> None:
        """The server takes a key; there are some to offer, or all were refused."""
        self.asked_for_keys = True
        self._keys_were_taken = any_left

    def other_asked_for(self, method: str) -> None:
        """The server takes this, which we do not have."""
        self._others.append(method)

    @property
    def others(self) -> str:
        """What else the server takes, or takes now."""
        return " or ".join(dict.fromkeys(self._others)) or "something else"

    @property
    def key_was_not_enough(self) -> bool:
        """A key was accepted: the server went on to something else before all were refused."""
        return self.asked_for_keys and self._keys_were_taken and bool(self._others)


def explain_failure(
    hop: Hop, identities: Identities, trail: LoginTrail, error: Exception, *, before_key: bool
) -> HypervisorError:
    """Return the error for an attempt that failed; `before_key` when the server had shown no host key yet."""
    if isinstance(error, asyncssh.PermissionDenied):
        return _not_let_in(hop, identities, trail)
    if isinstance(error, asyncssh.ChannelOpenError):
        return HostUnreachable(f"the jump host cannot reach {hop}: {error.reason}")
    if isinstance(error, asyncssh.KeyExchangeFailed):
        return HostUnreachable(f"{hop} and we have no SSH algorithm in common: {error.reason}")
    reason = error.reason if isinstance(error, asyncssh.DisconnectError) else str(error)
    if "too many authentication failures" in reason.lower():
        return _too_many(hop, identities)
    # Such a server may be gone before asyncssh has come to compare what it offered.
    hung_up = before_key and isinstance(error, (asyncssh.ConnectionLost, OSError))
    guess = "; probably it and we have no SSH algorithm in common" if hung_up else ""
    return HostUnreachable(f"no SSH connection to {hop}: {reason or type(error).__name__}{guess}")


def _refused(hop: Hop, why: str, cure: str) -> AuthenticationFailed:
    return AuthenticationFailed(f"{hop} does not let {hop.user} in by SSH: {why}. To cure it, {cure}")


def _not_let_in(hop: Hop, identities: Identities, trail: LoginTrail) -> AuthenticationFailed:
    if not trail.asked_for_keys:
        return _refused(
            hop,
            f"it takes no key, only {trail.others}, and nobody is there to type one",
            f"allow keys for {hop.user} in sshd_config (PubkeyAuthentication yes, AuthenticationMethods publickey)",
        )
    if trail.key_was_not_enough:
        return _refused(
            hop,
            f"the key was accepted, and it wants {trail.others} as well, which nobody is there to type",
            f"set AuthenticationMethods publickey for {hop.user} in its sshd_config (in a block Match User)",
        )
    if faults := list(_faults_of_certificates(hop, identities.keys)):
        return _refused(
            hop,
            f"tried {identities.summary}: {'; '.join(faults)}",
            "have the certificate issued anew, for this account and a time that is not over",
        )
    return _refused(hop, f"tried {identities.summary}", _usual_cure(hop, identities))


def _too_many(hop: Hop, identities: Identities) -> AuthenticationFailed:
    count = len(identities.keys)
    if count < 2:
        return _refused(hop, f"too many failures; tried {identities.summary}", _usual_cure(hop, identities))
    return _refused(
        hop,
        f"too many of our {count} keys were refused before one was accepted (MaxAuthTries of sshd); tried "
        f"{identities.summary}",
        "name the right key with keyfile= in uri, or with IdentityFile and IdentitiesOnly yes in the SSH configuration",
    )


def _usual_cure(hop: Hop, identities: Identities) -> str:
    passphrase = (
        "a key with a passphrase works only through an SSH agent: ssh-add it, or use a key without; or else "
        if identities.locked
        else ""
    )
    root = "PermitRootLogin, " if hop.user == "root" else ""
    return (
        f"{passphrase}add the public key to ~/.ssh/authorized_keys of {hop.user} on the host, or name a key with "
        f"keyfile=. If it is there, see sshd's log on the host: from= of the key, {root}AllowUsers or the file's "
        "permissions may keep us out"
    )


def _faults_of_certificates(hop: Hop, keys: Sequence[asyncssh.SSHKeyPair]) -> Iterator[str]:
    for pair in keys:
        if b"-cert-v" not in pair.algorithm:
            continue
        try:
            certificate = decode_ssh_certificate(pair.public_data)
            if isinstance(certificate, SSHOpenSSHCertificate):
                certificate.validate(CERT_TYPE_USER, hop.user)
        except ValueError as error:
            yield f"the certificate of {pair.get_comment()} is not valid: {error}"
