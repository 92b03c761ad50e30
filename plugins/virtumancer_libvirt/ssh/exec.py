"""A short command on the host, through the SSH connection that is there."""

import asyncio
from collections.abc import Awaitable

import asyncssh

from virtumancer.errors import CallTimeout, HostLost, HypervisorError
from virtumancer_libvirt.ssh.channels import Channels

__all__ = ["LARGEST_OUTPUT", "run_command", "run_script"]

LARGEST_OUTPUT = 4 * 1024 * 1024
"""Bytes: a line for each of more VMs than a host has."""
_PIECE = 65536
_MARK = "virtumancer-begins"
"""What comes before it was printed by a login shell that greets; without it our script never ran."""
_LONGEST_WORD = 200


async def run_command(
    connection: asyncssh.SSHClientConnection, channels: Channels, command: str, timeout: float
) -> str:
    """Run it and return its output. Raises `HypervisorError`, `HostLost` or `CallTimeout`."""
    status, output = await _run(connection, channels, command, f"`{command}`", b"", timeout)
    if status != 0:
        raise HypervisorError(f"`{command}` failed on the host: {_ending(status)}")
    return output


async def run_script(
    connection: asyncssh.SSHClientConnection, channels: Channels, script: str, what: str, timeout: float
) -> str:
    """Run a script of sh and return its output; `what` says in messages what it does.

    The login shell may be any, as csh or fish: it gets to see the one word `sh`, and the script comes as its input.
    Raises `HypervisorError`, with what was printed last, `HostLost` or `CallTimeout`.
    """
    text = f"echo; echo {_MARK}\n{script}\n"
    status, printed = await _run(connection, channels, "sh", f"sh {what}", text.encode(), timeout)
    greeting, mark, output = printed.partition(f"{_MARK}\n")
    if not mark:
        raise HypervisorError(
            f"the host runs no command for this account, so not sh {what} either: {_said(greeting, status)}. Give the "
            "account a login shell that runs commands, without ForceCommand or command="
        )
    if status != 0:
        raise HypervisorError(f"sh {what} failed on the host: {_said(output, status)}")
    return output


async def _run(
    connection: asyncssh.SSHClientConnection, channels: Channels, command: str, what: str, data: bytes, timeout: float
) -> tuple[int | None, str]:
    """Return the exit status and the output."""
    deadline = asyncio.get_running_loop().time() + timeout
    opening: Awaitable[asyncssh.SSHClientProcess[bytes]] = connection.create_process(
        command, input=data, stderr=asyncssh.DEVNULL, encoding=None
    )
    try:
        process = await channels.open(f"a channel for {what}", opening, _discard, timeout)
    except asyncssh.ChannelOpenError as error:
        if connection.is_closed():
            raise HostLost(f"the SSH connection was lost before {what} ran") from error
        raise HypervisorError(f"the host refuses to run {what}: {error.reason}") from error
    except (OSError, asyncssh.Error) as error:
        raise HostLost(f"the SSH connection was lost before {what} ran: {error}") from error
    try:
        async with asyncio.timeout_at(deadline):
            output = await _read(process, what)
            await process.wait_closed()
    except TimeoutError as error:
        raise CallTimeout(f"{what} did not end on the host within {timeout:g} s") from error
    except (OSError, asyncssh.Error) as error:
        raise HostLost(f"the SSH connection was lost while {what} ran: {error}") from error
    finally:
        process.close()
    return process.exit_status, output


def _discard(process: asyncssh.SSHClientProcess[bytes]) -> None:
    process.close()


async def _read(process: asyncssh.SSHClientProcess[bytes], what: str) -> str:
    output = bytearray()
    while piece := await process.stdout.read(_PIECE):
        output += piece
        if len(output) > LARGEST_OUTPUT:
            raise HypervisorError(f"{what} printed more than {LARGEST_OUTPUT} bytes on the host")
    return output.decode(errors="replace")


def _said(output: str, status: int | None) -> str:
    """Return the last line that was printed, or how it ended."""
    lines = ["".join(filter(str.isprintable, line)).strip() for line in output.splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    return f"it said {last[:_LONGEST_WORD]!r}" if last else _ending(status)


def _ending(status: int | None) -> str:
    return "it was ended" if status is None else f"exit status {status}"
