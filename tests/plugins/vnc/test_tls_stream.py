"""What becomes of a console when the bytes inside its TLS are broken."""

import asyncio
import ssl
from pathlib import Path

import pytest

from virtumancer.contracts import ByteStream, CloseCode
from virtumancer.errors import ConsoleClosed, ConsoleRefused
from virtumancer.streams import TLSStream
from virtumancer_vnc.vencrypt import anonymous_context, certificate_context


class TLSServer(ByteStream):
    """The other end of a TLS stream, in memory: it echoes, until it is told to send something else."""

    def __init__(self, certificates: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server-cert.pem", certificates / "server-key.pem")
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._sent = asyncio.Event()
        self._shaken = False

    async def write(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            self._tls.write(self._tls.read())
        except ssl.SSLWantReadError:
            pass
        self._sent.set()

    async def read(self, limit: int = 65536) -> bytes:
        while not self._outgoing.pending:
            await self._sent.wait()
            self._sent.clear()
        return self._outgoing.read(limit)

    async def close(self) -> None:
        pass

    def send_raw(self, data: bytes) -> None:
        self._outgoing.write(data)


async def test_bytes_come_back_through_tls(certificates):
    stream = await TLSStream.connect(TLSServer(certificates), certificate_context())
    await stream.write(b"echo")
    async with asyncio.timeout(5):
        assert await stream.read() == b"echo"


async def test_bytes_that_are_not_tls_end_the_console_with_a_code(certificates):
    server = TLSServer(certificates)
    stream = await TLSStream.connect(server, certificate_context())
    await stream.write(b"echo")
    assert await stream.read() == b"echo"
    server.send_raw(b"RFB 003.008\n")
    with pytest.raises(ConsoleRefused, match="sent what is not TLS") as refused:
        await stream.read()
    assert refused.value.close_code == CloseCode.PROTOCOL_ERROR


async def test_a_broken_tls_takes_no_more_bytes(certificates):
    server = TLSServer(certificates)
    stream = await TLSStream.connect(server, certificate_context())
    await stream.write(b"echo")
    assert await stream.read() == b"echo"
    server.send_raw(b"RFB 003.008\n")
    with pytest.raises(ConsoleRefused):
        await stream.read()
    with pytest.raises(ConsoleClosed):
        await stream.write(b"more")


def test_tls_without_certificates_is_still_encrypted():
    names = [cipher["name"] for cipher in anonymous_context().get_ciphers()]
    assert any("ADH" in name for name in names)
    assert not any("NULL" in name for name in names)
