"""Replies over SSH come without waiting for an acknowledgement that the kernel delays by 40 ms."""

from pathlib import Path

import pytest

from tests.lab.replies import ReplyServer, median_of_replies
from tests.lab.sshd import PrivateSshd
from tests.plugins.libvirt.ssh.kit import opened

pytestmark = pytest.mark.lab

TRIES = 9
# Half of what a delayed acknowledgement costs.
MARGIN = 0.020


async def test_replies_of_any_size_come_about_as_soon_as_small_ones(server: PrivateSshd, short_folder: Path) -> None:
    async with ReplyServer(short_folder / "s"), opened(server) as transport:
        stream = await transport.open_stream(str(short_folder / "s"))
        small, *others = [
            await median_of_replies(stream, kibibytes * 1024, TRIES) for kibibytes in (4, 40, 48, 64, 256)
        ]
        await stream.close()
    assert [median for median in others if median > 10 * small + MARGIN] == []
