"""TLS as we speak it: nothing old, nothing without forward secrecy, and never a question at the terminal."""

import ssl
from pathlib import Path

import structlog

__all__ = ["tls_context"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
# For TLS 1.2; those of 1.3 are all of this kind.
CIPHERS = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20"


def tls_context(cert: str, key: str) -> ssl.SSLContext:
    """Make the context of a server. Raises `OSError` and `ssl.SSLError` when the files are of no use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    cert_file, key_file = Path(cert).expanduser(), Path(key).expanduser()
    # Without a password OpenSSL would ask for one at the terminal, and wait.
    context.load_cert_chain(cert_file, key_file, password="")  # nosec B106 - it is none
    _warn_of_readers(key_file)
    return context


def _warn_of_readers(key: Path) -> None:
    if key.stat().st_mode & 0o007:
        log.warning("everybody on this machine may read or change the private key", file=str(key), cure="chmod o= FILE")
