"""How long replies of several sizes take over SSH: sizes at which the two ends wait for each other stand out."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure
from tests.lab import PrivateSshd
from tests.lab.replies import ReplyServer, median_of_replies
from virtumancer.contracts import ConnectContext, ConnectSettings, HostKeyPolicy
from virtumancer_libvirt.ssh.transport import SSHTransport
from virtumancer_libvirt.uri.uri import parse

SIZES = (1, 2, 4, 8, 16, 32, 40, 48, 64, 96, 128, 256, 512, 1024)
"""KiB."""
TIMES = 31
# A delayed acknowledgement costs 40 ms; the largest of these takes a few.
LIMIT = 20.0


def replies(folder: Path, sshd: PrivateSshd) -> Iterator[Figure]:
    """Measure without any delay on the line, for what a line adds would hide it."""
    for kibibytes, seconds in asyncio.run(_medians(folder, sshd)).items():
        yield Figure(f"a reply of {kibibytes} KiB over SSH, p50", seconds * 1000, "ms", LIMIT)


async def _medians(folder: Path, sshd: PrivateSshd) -> dict[int, float]:
    context = ConnectContext(
        ConnectSettings(ssh_config=None, ssh_known_hosts=(str(sshd.known_hosts),), ssh_agent=False), HostKeyPolicy()
    )
    uri = parse(f"qemu+ssh://root@127.0.0.1:{sshd.port}/system?keyfile={sshd.user_key}")
    socket = folder / "replies"
    async with ReplyServer(socket):
        transport = await SSHTransport.open(uri, context)
        try:
            stream = await transport.open_stream(str(socket))
            return {size: await median_of_replies(stream, size * 1024, TIMES) for size in SIZES}
        finally:
            await transport.aclose()
