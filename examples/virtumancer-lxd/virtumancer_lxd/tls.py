"""TLS towards LXD: its certificate is pinned as an SSH host key is, ours comes from the credentials of the host."""

import asyncio
import base64
import hashlib
import os
import ssl
from contextlib import suppress

from virtumancer.contracts import ConnectContext, HostKey, HostKeyPolicy, HostKeyTrust, ShownHostKey
from virtumancer.errors import AuthenticationFailed, HostKeyChanged, HostKeyUnknown, HostUnreachable
from virtumancer_lxd.address import Address

__all__ = ["judge", "shown_by", "trust", "verified"]

TYPE = "x509"
LET_IN = "lxc config trust add CERTIFICATE-FILE, on the host, lets it in"


async def shown_by(address: Address, timeout: float) -> tuple[HostKey, bytes]:
    """Ask a server for its certificate, and send it nothing: as a key, and as DER. Raises `HostUnreachable`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whose it is, is decided when it is here.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
        raise HostUnreachable(f"LXD at {address.host}:{address.port} cannot be reached: {reason}") from error
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            await writer.wait_closed()
    digest = base64.b64encode(hashlib.sha256(certificate).digest()).decode().rstrip("=")
    public = f"{TYPE} {base64.b64encode(certificate).decode()}"
    return HostKey(address.known_as, TYPE, f"SHA256:{digest}", public), certificate


def trust(key: HostKey, policy: HostKeyPolicy) -> HostKeyTrust:
    """Say what vouches for a certificate."""
    pinned = policy.pinned_for(key.address)
    if not pinned:
        return HostKeyTrust.UNKNOWN
    return HostKeyTrust.PINNED if key.fingerprint in {one.fingerprint for one in pinned} else HostKeyTrust.CHANGED


def judge(key: HostKey, policy: HostKeyPolicy) -> None:
    """Let a certificate pass that is pinned or approved. Raises `HostKeyUnknown`, `HostKeyChanged`."""
    judged = trust(key, policy)
    if judged is HostKeyTrust.CHANGED:
        raise HostKeyChanged(
            f"{key.address} shows another certificate than the pinned one; if LXD got a new one, rotate it",
            host_key=_facts(key),
            trusted_host_keys=[_facts(one) for one in policy.pinned_for(key.address)],
        )
    if judged is HostKeyTrust.UNKNOWN and not policy.accepts(key):
        digest = base64.b64decode(key.fingerprint.removeprefix("SHA256:") + "=").hex()
        raise HostKeyUnknown(
            f"nobody vouches for the certificate of {key.address}; compare {digest} with certificate_fingerprint of "
            "lxc info on the host, and approve it",
            host_key=_facts(key),
        )


def verified(certificate: bytes, context: ConnectContext) -> ssl.SSLContext:
    """Return a context that talks to the holder of this very certificate, and shows ours.

    Raises `AuthenticationFailed` when ours is missing or cannot be used.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It stands for itself, whatever names are in it and whoever has signed it.
    made.check_hostname = False
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.load_verify_locations(cadata=certificate)
    missing = [name for name in ("client-cert", "client-key") if name not in context.credentials]
    if missing:
        raise AuthenticationFailed(
            f"LXD wants a client certificate: give the credentials {', '.join(missing)}; {LET_IN}"
        )
    ours = "\n".join(context.credentials[name].reveal().strip() for name in ("client-cert", "client-key"))
    _load(made, ours)
    return made


def _load(context: ssl.SSLContext, pem: str) -> None:
    """Load certificate and key, which the library reads from a file alone: from one that is in memory."""
    descriptor = os.memfd_create("client certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
    except (ssl.SSLError, ValueError):
        # Without its cause, which might quote the key.
        raise AuthenticationFailed(
            "client-cert and client-key are no certificate as PEM with its key, which must not be encrypted"
        ) from None
    finally:
        os.close(descriptor)


def _no_password() -> str:
    raise ValueError("nobody is asked")


def _facts(key: HostKey) -> dict[str, str]:
    return {"address": key.address, "type": key.type, "fingerprint": key.fingerprint}


def shown_key(key: HostKey, policy: HostKeyPolicy) -> ShownHostKey:
    """Tell of a certificate, and what vouches for it."""
    return ShownHostKey(key.address, key.type, key.fingerprint, key.public, trust(key, policy))
