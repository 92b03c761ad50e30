"""A short command on the host, through the SSH connection that is there."""

import asyncio
from collections.abc import Awaitable

import asyncssh

from virtumancer.errors import CallTimeout, HostLost, HypervisorError
from virtumancer_libvirt.ssh.channels import Channels

__all__ = ["LARGEST_OUTPUT", "run_command"]

LARGEST_OUTPUT = 4 * 1024 * 1024
"""Bytes: a line for each of more VMs than a host has."""
_PIECE = 65536


async def run_command(
    connection: asyncssh.SSHClientConnection, channels: Channels, command: str, timeout: float
) -> str:
    """Run it and return its output. Raises `HypervisorError`, `HostLost` or `CallTimeout`."""
    deadline = asyncio.get_running_loop().time() + timeout
    opening: Awaitable[asyncssh.SSHClientProcess[bytes]] = connection.create_process(
        command, stdin=asyncssh.DEVNULL, stderr=asyncssh.DEVNULL, encoding=None
    )
    try:
        process = await channels.open(f"a channel for `{command}`", opening, _discard, timeout)
    except asyncssh.ChannelOpenError as error:
        if connection.is_closed():
            raise HostLost(f"the SSH connection was lost before `{command}` ran") from error
        raise HypervisorError(f"the host refuses to run `{command}`: {error.reason}") from error
    except (OSError, asyncssh.Error) as error:
        raise HostLost(f"the SSH connection was lost before `{command}` ran: {error}") from error
    try:
        async with asyncio.timeout_at(deadline):
            output = await _read(process, command)
            await process.wait_closed()
    except TimeoutError as error:
        raise CallTimeout(f"`{command}` did not end on the host within {timeout:g} s") from error
    except (OSError, asyncssh.Error) as error:
        raise HostLost(f"the SSH connection was lost while `{command}` ran: {error}") from error
    finally:
        process.close()
    if process.exit_status != 0:
        raise HypervisorError(f"`{command}` failed on the host: {_ending(process)}")
    return output


def _discard(process: asyncssh.SSHClientProcess[bytes]) -> None:
    process.close()


async def _read(process: asyncssh.SSHClientProcess[bytes], command: str) -> str:
    output = bytearray()
    while piece := await process.stdout.read(_PIECE):
        output += piece
        if len(output) > LARGEST_OUTPUT:
            raise HypervisorError(f"`{command}` printed more than {LARGEST_OUTPUT} bytes on the host")
    return output.decode(errors="replace")


def _ending(process: asyncssh.SSHClientProcess[bytes]) -> str:
    if process.exit_status is None:
        return "it was ended"
    return f"exit status {process.exit_status}"
