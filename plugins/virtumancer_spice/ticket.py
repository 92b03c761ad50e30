"""The ticket of a SPICE channel: the console's password, encrypted for the hypervisor's key."""

from collections.abc import Callable

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused

__all__ = ["TICKET_SIZE", "Sealer", "load_sealer"]

TICKET_SIZE = 128

Sealer = Callable[[bytes, str], bytes]
"""Makes a ticket of a public key in DER and a password. Raises `ConsoleRefused`."""


def load_sealer() -> Sealer:
    """Import what encrypts; slow the first time, and absent where Virtumancer is installed without hypervisors."""
    try:
        from cryptography.exceptions import InternalError, UnsupportedAlgorithm  # noqa: PLC0415
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415
    except ImportError as error:
        message = f"SPICE needs the Python package cryptography; install virtumancer[libvirt] ({error})"
        raise _refused(message) from error

    # SHA-1 is the protocol's choice; in OAEP nothing depends on its resistance to collisions.
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303 # nosec B303

    def seal(public_key: bytes, password: str) -> bytes:
        try:
            key = load_der_public_key(public_key)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _refused(f"the hypervisor sent a key for the SPICE ticket that cannot be read: {error}") from error
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size != TICKET_SIZE * 8:
            raise _refused("the hypervisor sent a key for the SPICE ticket that is not RSA with 1024 bits")
        try:
            return key.encrypt(password.encode() + b"\0", oaep)
        except (ValueError, InternalError):
            # Without the cause: a traceback must not show what was to be encrypted.
            raise _refused(
                "the SPICE password cannot be encrypted for the hypervisor's key; one has 60 bytes at most"
            ) from None

    return seal


def _refused(message: str) -> ConsoleRefused:
    return ConsoleRefused(message, close_code=CloseCode.HYPERVISOR_ERROR)
