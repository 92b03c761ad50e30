"""The handshake with servers of every kind, good and bad, in memory."""

import asyncio
import sys
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtumancer.contracts import CloseCode, ConsoleConnection
from virtumancer.errors import ConsoleRefused
from virtumancer_vnc.handshake import log_in

from .memory import ScriptedStream

SERVER = "The VNC server of VM web1"
GREETING = b"RFB 003.008\n"
CHALLENGE = bytes(range(16))


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def said(text: str) -> bytes:
    return u32(len(text)) + text.encode()


async def try_to_log_in(sent: bytes, password: str | None = None) -> ScriptedStream:
    """Log in at a server that sends this; return the stream to go on with."""
    stream = ScriptedStream([sent])
    assert await log_in(ConsoleConnection(stream, password), SERVER, timeout=5) is stream
    return stream


async def refusal(sent: bytes, password: str | None = None) -> str:
    """What is said when a server that sends this is refused."""
    with pytest.raises(ConsoleRefused) as refused:
        await try_to_log_in(sent, password)
    assert refused.value.close_code == CloseCode.HYPERVISOR_ERROR
    return str(refused.value)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"RFB 003.003\n" + u32(1), b"RFB 003.003\n"),
        (b"RFB 003.005\n" + u32(1), b"RFB 003.003\n"),
        (b"RFB 003.007\n\x01\x01", b"RFB 003.007\n\x01"),
        (b"RFB 003.008\n\x01\x01" + u32(0), b"RFB 003.008\n\x01"),
        (b"RFB 003.889\n\x02\x1e\x01" + u32(0), b"RFB 003.008\n\x01"),
        (b"RFB 004.001\n\x01\x01" + u32(0), b"RFB 003.008\n\x01"),
    ],
)
async def test_each_version_is_spoken(sent: bytes, answer: bytes):
    assert (await try_to_log_in(sent)).heard == answer


@pytest.mark.parametrize("sent", [b"RFB 003.003\n" + u32(2), b"RFB 003.007\n\x01\x02", b"RFB 003.008\n\x01\x02"])
async def test_a_challenge_is_answered_in_each_version(sent: bytes):
    stream = await try_to_log_in(sent + CHALLENGE + u32(0), "password")
    # As `openssl enc -des-ecb` encrypts it, with the mirrored password as its key.
    assert stream.written[-1].hex() == "b866924125c8eebb9debc1db61c538e2"


async def test_nothing_behind_the_handshake_is_taken():
    stream = await try_to_log_in(GREETING + b"\x01\x01" + u32(0) + b"ServerInit")
    assert await stream.read() == b"ServerInit"


async def test_no_password_is_sent_to_a_server_that_wants_none():
    stream = await try_to_log_in(GREETING + b"\x02\x02\x01" + u32(0), "secret")
    assert stream.heard == GREETING + b"\x01"


async def test_security_types_that_cannot_be_answered_are_named():
    message = await refusal(GREETING + b"\x03\x14\x1e\x63")
    assert message == f"{SERVER} offers only security types that cannot be answered here: SASL (20), APPLE (30), 99"


async def test_a_server_of_the_oldest_version_cannot_ask_for_newer_security():
    assert "VeNCrypt (19)" in await refusal(b"RFB 003.003\n" + u32(19))


@pytest.mark.parametrize("sent", [GREETING + b"\0", b"RFB 003.003\n" + u32(0)])
async def test_a_server_that_refuses_is_quoted(sent: bytes):
    message = await refusal(sent + said("too many\nclients"))
    assert message == f"{SERVER} refused the connection: too many clients"


async def test_a_wrong_password_is_said_in_the_servers_words():
    message = await refusal(GREETING + b"\x01\x02" + CHALLENGE + u32(1) + said("Authentication failed"), "hunter2")
    assert message == f"{SERVER} refused the login: Authentication failed"


async def test_a_server_of_an_old_version_gives_no_reason():
    message = await refusal(b"RFB 003.007\n\x01\x02" + CHALLENGE + u32(1), "hunter2")
    assert message == f"{SERVER} refused the login: no reason given"


async def test_a_reason_that_never_ends_is_cut():
    message = await refusal(GREETING + b"\0" + u32(2**32 - 1) + b"x" * 100_000)
    assert len(message) < 300


async def test_what_is_not_vnc_is_quoted():
    assert "does not speak VNC: it began with b'SSH-2.0-Open'" in await refusal(b"SSH-2.0-OpenSSH_9.2\r\n")


async def test_a_server_that_leaves_is_said():
    assert "closed the connection during the handshake" in await refusal(GREETING)


async def test_a_server_that_does_not_listen_is_said():
    stream = ScriptedStream([GREETING], deaf=True)
    with pytest.raises(ConsoleRefused, match="closed the connection"):
        await log_in(ConsoleConnection(stream), SERVER)


async def test_a_silent_server_is_given_up():
    stream = ScriptedStream([GREETING], silent=True)
    with pytest.raises(ConsoleRefused, match=r"did not finish the VNC handshake within 0\.05 s"):
        await log_in(ConsoleConnection(stream), SERVER, timeout=0.05)


async def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.decrepit.ciphers.algorithms", None)
    assert "pip install cryptography" in await refusal(GREETING + b"\x01\x02" + CHALLENGE, "secret")


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"\0\1", "speaks VeNCrypt 0.1"),
        (b"\0\2\1", "does not accept VeNCrypt 0.2"),
        (b"\0\2\0\0", "none at all"),
        (b"\0\2\0\2" + u32(256) + u32(264), "Plain (256), X509SASL (264)"),
        (b"\0\2\0\1" + u32(260) + b"\0", "offered X509None (260) and then refused it"),
        (b"\0\2\0\1" + u32(260) + b"\1" + b"this is no TLS", "found no common TLS"),
        (b"\0\2\0\1" + u32(260) + b"\1", "closed the connection during the TLS handshake"),
    ],
)
async def test_each_way_in_which_vencrypt_fails_is_said(sent: bytes, words: str):
    assert words in await refusal(GREETING + b"\x01\x13" + sent)


beginnings = st.sampled_from(
    [
        b"",
        b"RFB 003.003\n",
        GREETING,
        GREETING + b"\x01\x01",
        GREETING + b"\x01\x02",
        GREETING + b"\x01\x02" + CHALLENGE,
        GREETING + b"\x01\x13\0\2\0",
        GREETING + b"\x01\x13\0\2\0\1" + u32(260) + b"\1",
        GREETING + b"\x01\x13\0\2\0\1" + u32(258) + b"\1\x16\x03\x03",
    ]
)


@settings(deadline=None)
@given(beginnings, st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 40))
def test_any_bytes_log_in_or_are_refused(beginning: bytes, rest: list[bytes], cut: int):
    sent = beginning + b"".join(rest)
    stream = ScriptedStream([sent[at : at + cut] for at in range(0, len(sent), cut)])
    with suppress(ConsoleRefused):
        asyncio.run(log_in(ConsoleConnection(stream, "secret"), SERVER, timeout=5))
    assert len(stream.heard) < 2000
