"""VeNCrypt on the hypervisor's side: choosing a sub-type, and TLS with certificates or without."""

import ssl

from virtumancer.errors import ConsoleClosed
from virtumancer.streams import TLSStream
from virtumancer_vnc.security import Security, names_of
from virtumancer_vnc.wire import Wire

__all__ = ["anonymous_context", "certificate_context", "start_vencrypt"]

VERSION = b"\x00\x02"
INNER = {
    Security.X509_NONE: Security.NONE,
    Security.X509_VNC: Security.VNC,
    Security.TLS_NONE: Security.NONE,
    Security.TLS_VNC: Security.VNC,
}
"""Sub-types that we can serve, the best first, and what they ask for inside TLS; Plain needs a user's name."""
ANONYMOUS = (Security.TLS_NONE, Security.TLS_VNC)


async def start_vencrypt(wire: Wire) -> tuple[Wire, Security]:
    """Agree on a sub-type and start TLS; return the wire inside TLS, and what remains to be proved in there."""
    await _agree_on_version(wire)
    offered = [await wire.number(4) for _ in range(await wire.number(1))]
    chosen = next((security for security in INNER if security in offered), None)
    if chosen is None:
        raise wire.refused(
            f"offers only VeNCrypt sub-types that cannot be answered here: {names_of(offered) or 'none at all'}"
        )
    await wire.send(chosen.to_bytes(4, "big"))
    if await wire.number(1) != 1:
        raise wire.refused(f"offered {names_of([chosen])} and then refused it")
    return await _start_tls(wire, chosen), INNER[chosen]


def certificate_context() -> ssl.SSLContext:
    """TLS to a server with a certificate.

    Whose it is cannot be checked: the name in it is the hypervisor's, which we reached by the driver's own connection,
    and that one has proved the host already.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # A server that renegotiates would make writing wait for reading.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def anonymous_context() -> ssl.SSLContext:
    """TLS to a server without a certificate. Raises `ssl.SSLError` when this OpenSSL has no ciphers for that."""
    context = certificate_context()
    # TLS 1.3 has no anonymous key exchange, and OpenSSL allows it at security level 0 only.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ADH:AECDH:!eNULL:@SECLEVEL=0")
    return context


async def _agree_on_version(wire: Wire) -> None:
    offered = await wire.exactly(2)
    if offered < VERSION:
        raise wire.refused(f"speaks VeNCrypt {offered[0]}.{offered[1]}; 0.2 is needed")
    await wire.send(VERSION)
    if await wire.number(1) != 0:
        raise wire.refused("does not accept VeNCrypt 0.2")


async def _start_tls(wire: Wire, chosen: Security) -> Wire:
    try:
        context = anonymous_context() if chosen in ANONYMOUS else certificate_context()
    except ssl.SSLError as error:
        raise wire.refused(
            f"wants TLS without certificates, which {ssl.OPENSSL_VERSION} here cannot do; give it a certificate"
        ) from error
    try:
        return Wire(await TLSStream.connect(wire.stream, context), wire.server)
    except ssl.SSLError as error:
        raise wire.refused(f"and this server found no common TLS: {error.reason or error}") from error
    except ConsoleClosed as error:
        raise wire.refused("closed the connection during the TLS handshake") from error
