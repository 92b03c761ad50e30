"""The transport keeps the contract, and keeps lines short."""

import pytest
from virtumancer_monitor.transport import LONGEST_LINE, MonitorStream, MonitorTransport

from virtumancer.contracts import ConsoleTransport
from virtumancer.errors import ConsoleRefused
from virtumancer.testing import stream_pair
from virtumancer.testing.suites import ConsoleTransportSuite


class TestMonitor(ConsoleTransportSuite):
    @pytest.fixture
    def transport(self) -> ConsoleTransport:
        return MonitorTransport()


async def test_lines_pass_however_they_are_cut() -> None:
    near, far = stream_pair()
    monitor = MonitorStream(near, view_only=False)

    for piece in (b"info ", b"status\r", b"info cpus\n" * 500, b""):
        await monitor.write(piece)

    assert await far.read() == b"info status\r" + b"info cpus\n" * 500


@pytest.mark.parametrize(
    "pieces",
    [
        [b"x" * (LONGEST_LINE + 1)],
        [b"info cpus\n" + b"x" * LONGEST_LINE, b"x"],
        [b"x"] * (LONGEST_LINE + 1),
        [b"x" * LONGEST_LINE, b"", b"x\n"],
    ],
    ids=["at once", "after another line", "byte by byte", "with nothing in between"],
)
async def test_a_line_that_is_too_long_is_refused(pieces: list[bytes]) -> None:
    near, far = stream_pair()
    monitor = MonitorStream(near, view_only=False)
    for piece in pieces[:-1]:
        await monitor.write(piece)

    with pytest.raises(ConsoleRefused, match="at most 1024 bytes"):
        await monitor.write(pieces[-1])

    assert bytes(far.buffer) == b"".join(pieces[:-1])


async def test_a_viewer_who_may_only_look_gives_no_command_but_sees_the_answers_to_others() -> None:
    near, far = stream_pair()
    monitor = MonitorStream(near, view_only=True)
    await far.write(b"(qemu) ")

    await monitor.write(b"quit\n")

    assert await monitor.read() == b"(qemu) "
    assert not far.buffer
