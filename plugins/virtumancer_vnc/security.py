"""Security types of RFB, and the answer to a VNC password challenge."""

import importlib
from enum import IntEnum
from typing import Any

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused

__all__ = ["CHALLENGE_SIZE", "Security", "answer_challenge", "names_of"]

CHALLENGE_SIZE = 16
KEY_SIZE = 8


class Security(IntEnum):
    """How a server wants its client to prove itself; from 256 on as sub-types of VeNCrypt."""

    NONE = 1
    VNC = 2
    RA2 = 5
    RA2_UNENCRYPTED = 6
    TIGHT = 16
    ULTRA = 17
    TLS = 18
    VENCRYPT = 19
    SASL = 20
    MD5 = 21
    XVP = 22
    APPLE = 30
    PLAIN = 256
    TLS_NONE = 257
    TLS_VNC = 258
    TLS_PLAIN = 259
    X509_NONE = 260
    X509_VNC = 261
    X509_PLAIN = 262
    TLS_SASL = 263
    X509_SASL = 264


NAMES = {
    Security.NONE: "none",
    Security.VNC: "VNC password",
    Security.VENCRYPT: "VeNCrypt",
    Security.PLAIN: "Plain",
    Security.TLS_NONE: "TLSNone",
    Security.TLS_VNC: "TLSVnc",
    Security.TLS_PLAIN: "TLSPlain",
    Security.X509_NONE: "X509None",
    Security.X509_VNC: "X509Vnc",
    Security.X509_PLAIN: "X509Plain",
    Security.TLS_SASL: "TLSSASL",
    Security.X509_SASL: "X509SASL",
}


def names_of(offered: list[int]) -> str:
    """Name security types for an error message, unknown ones by their number."""
    known = {int(security): NAMES.get(security, security.name) for security in Security}
    names = [f"{known[number]} ({number})" if number in known else str(number) for number in offered[:12]]
    return ", ".join(names) + (" …" if len(offered) > 12 else "")


def answer_challenge(challenge: bytes, password: str) -> bytes:
    """Encrypt a challenge as RFC 6143, 7.2.2 wants it: DES, the password as the key, the bits of each byte mirrored."""
    algorithms, ciphers = _cryptography()
    key = password.encode()[:KEY_SIZE].ljust(KEY_SIZE, b"\0")
    mirrored = bytes(int(f"{byte:08b}"[::-1], 2) for byte in key)
    # Triple DES with three times the same key is DES.
    encryptor = ciphers.Cipher(algorithms.TripleDES(mirrored * 3), ciphers.modes.ECB()).encryptor()
    return bytes(encryptor.update(challenge) + encryptor.finalize())


def _cryptography() -> tuple[Any, Any]:
    # Late, because consoles without a password do not need it.
    try:
        return (
            importlib.import_module("cryptography.hazmat.decrepit.ciphers.algorithms"),
            importlib.import_module("cryptography.hazmat.primitives.ciphers"),
        )
    except ImportError as error:
        raise ConsoleRefused(
            "This console has a password, and answering it needs a package that is missing: pip install cryptography",
            close_code=CloseCode.HYPERVISOR_ERROR,
        ) from error
