"""The bytes of a SPICE link as a viewer and a hypervisor would send them."""

import struct
from typing import NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAIN, DISPLAY, INPUTS, CURSOR, PLAYBACK, RECORD, SMARTCARD, USBREDIR, PORT, WEBDAV = 1, 2, 3, 4, 5, 6, 8, 9, 10, 11
SELECTION, SPICE, SASL, MINI = 1, 2, 4, 8
VIEWER_CAPS = SELECTION | SPICE | MINI
DISPLAY_INIT = (101, struct.pack("<BqBi", 1, 1 << 20, 1, 1 << 20))
"""The type and body of `SPICE_MSGC_DISPLAY_INIT`."""
OK = struct.pack("<I", 0)
DENIED = struct.pack("<I", 7)


def link(connection_id: int = 0, channel_type: int = MAIN, *, caps: int | None = VIEWER_CAPS, major: int = 2) -> bytes:
    words = b"" if caps is None else struct.pack("<II", caps, 0x0F)
    counts = (0, 0) if caps is None else (1, 1)
    body = struct.pack("<IBBIII", connection_id, channel_type, 0, *counts, 18) + words
    return struct.pack("<4sIII", b"REDQ", major, 2, len(body)) + body


def reply(public_key: bytes, *, error: int = 0, caps: int = VIEWER_CAPS) -> bytes:
    body = struct.pack("<I162sIII", error, public_key, 1, 0, 178) + struct.pack("<I", caps)
    return struct.pack("<4sIII", b"REDQ", 2, 2, len(body)) + body


def mini(kind: int, data: bytes = b"") -> bytes:
    return struct.pack("<HI", kind, len(data)) + data


def full(kind: int, data: bytes = b"", sub_list: int = 0) -> bytes:
    return struct.pack("<QHII", 1, kind, len(data), sub_list) + data


def init(session_id: int) -> bytes:
    """The body of `SPICE_MSG_MAIN_INIT`."""
    return struct.pack("<8I", session_id, 1, 3, 1, 0, 10, 0, 0)


def viewers_ticket() -> bytes:
    """What a viewer sends that knows no password."""
    return struct.pack("<I", 1) + b"\xee" * 128


class Keys(NamedTuple):
    """The hypervisor's key pair."""

    private: rsa.RSAPrivateKey

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def opened(self, ticket: bytes) -> bytes:
        oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
        return self.private.decrypt(ticket, oaep)


def make_keys() -> Keys:
    return Keys(rsa.generate_private_key(65537, 1024))
