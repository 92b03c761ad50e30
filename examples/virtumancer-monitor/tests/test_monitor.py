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


@pytest.mark.parametrize(("first", "then"), [(b"", b"x" * (LONGEST_LINE + 1)), (b"quit\n" + b"x" * LONGEST_LINE, b"x")])
async def test_a_line_that_is_too_long_is_refused(first: bytes, then: bytes) -> None:
    near, _ = stream_pair()
    monitor = MonitorStream(near, view_only=False)
    await monitor.write(first)

    with pytest.raises(ConsoleRefused, match="at most 1024 characters"):
        await monitor.write(then)
