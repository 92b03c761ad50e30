"""The shorter way through a viewer's stream: open once nothing has to be looked at, and never before."""

import asyncio

import pytest

from virtumancer.contracts import DirectStream
from virtumancer_vnc.stream import VNCStream

from .memory import ScriptedStream

LOGIN = b"RFB 003.008\n\x01\x00"


class Direct(ScriptedStream, DirectStream):
    """A silent hypervisor that takes everything at once, and notes who wants to be handed what comes."""

    taker = None

    def write_now(self, data: bytes) -> bool:
        self.written.append(data)
        return True

    def hand_over(self, taker) -> None:
        self.taker = taker


def take(_: bytes) -> bool:
    return True


async def greeted(stream: VNCStream) -> None:
    await stream.write(LOGIN)
    answers = b""
    while len(answers) < 18:
        answers += await stream.read()


async def test_the_hypervisor_hands_over_once_the_viewer_has_all_answers():
    hypervisor = Direct([], silent=True)
    stream = VNCStream(hypervisor, view_only=False)
    stream.hand_over(take)
    await stream.write(LOGIN)
    assert len(await stream.read()) == 18
    assert hypervisor.taker is None
    reading = asyncio.create_task(stream.read())
    await asyncio.sleep(0)
    assert hypervisor.taker is take
    reading.cancel()
    await stream.close()


@pytest.mark.parametrize(("view_only", "at_once"), [(False, True), (True, False)])
async def test_only_who_may_type_writes_at_once_and_only_after_the_handshake(view_only: bool, at_once: bool):
    hypervisor = Direct([], silent=True)
    stream = VNCStream(hypervisor, view_only=view_only)
    assert not stream.write_now(LOGIN)
    await greeted(stream)
    hypervisor.written.clear()
    assert stream.write_now(b"key") is at_once
    assert hypervisor.heard == (b"key" if at_once else b"")
    await stream.close()


async def test_a_hypervisors_stream_that_cannot_is_waited_for():
    stream = VNCStream(ScriptedStream([], silent=True), view_only=False)
    stream.hand_over(take)
    await greeted(stream)
    assert not stream.write_now(b"key")
    await stream.close()
