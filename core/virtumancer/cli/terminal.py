"""This terminal as the viewer of a serial console: raw while it lasts, and afterwards as it was."""

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager, nullcontext

from virtumancer.cli.exit_codes import Exit
from virtumancer.cli.tables import clean
from virtumancer.contracts import ByteStream
from virtumancer.errors import ConsoleClosed, ConsoleRefused

__all__ = ["attach"]

ESCAPE = b"\x1d"  # Ctrl-], as telnet and virsh have it
# Programs of the guest may have left colours, another screen or an invisible cursor.
CALM = "\x1b[0m\x1b[?25h\x1b[?1l\x1b[?1049l\x1b[?2004l\x1b[?1000l\x1b[?1002l\x1b[?1006l"
CHUNK = 4096
ENDINGS = (signal.SIGTERM, signal.SIGHUP)


async def attach(stream: ByteStream, name: str) -> None:
    """Carry keys and output until Ctrl-], the end of the console, or the end of the input when that is no terminal."""
    is_terminal = os.isatty(0)
    try:
        with _raw() if is_terminal else nullcontext(), _ended_in_order():
            if is_terminal:
                sys.stderr.write(f"Connected to {clean(name)}; Ctrl-] ends it.\r\n")
            reason = await _carry(stream, escape=is_terminal)
    finally:
        await stream.close()
    if is_terminal:
        sys.stderr.write(f"\n{clean(reason or 'Disconnected.')}\n")
    elif reason:
        sys.stderr.write(f"virtumancer: {clean(reason)}\n")
    if reason:
        raise SystemExit(Exit.FAILED)


@contextmanager
def _raw() -> Generator[None]:
    """Put the terminal into raw mode, and back whatever happens; what was typed already stays."""
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)
    try:
        yield
    finally:
        if os.isatty(1):
            os.write(1, CALM.encode())
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _ended_in_order() -> Generator[None]:
    """Let SIGTERM and SIGHUP end the program by way of all that is to be put back."""
    loop, task, ended = asyncio.get_running_loop(), asyncio.current_task(), list[int]()

    def end(number: int) -> None:
        ended.append(number)
        if task:
            task.cancel()

    for number in ENDINGS:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if ended:
            raise SystemExit(128 + ended[0]) from None
        raise
    finally:
        for number in ENDINGS:
            loop.remove_signal_handler(number)


async def _carry(stream: ByteStream, *, escape: bool) -> str:
    """Carry both ways; returns why the other side ended it, empty when it was this side."""
    up = asyncio.create_task(_keys(stream, escape=escape))
    down = asyncio.create_task(_output(stream))
    try:
        done, _ = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if up in done and not escape and not up.exception():
            await asyncio.wait({down})  # what was sent may have an answer, which ends with the console or Ctrl-C
        return down.result() if down.done() else ""
    finally:
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _keys(stream: ByteStream, *, escape: bool) -> None:
    """Send what is typed, until the escape key or the end of the input."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(0, ready.set)
    except PermissionError:  # a file, which never lets wait
        ready.set()
    try:
        while True:
            await ready.wait()
            typed = os.read(0, CHUNK)
            if loop.remove_reader(0):
                ready.clear()
                loop.add_reader(0, ready.set)
            before, found, _ = typed.partition(ESCAPE) if escape else (typed, b"", b"")
            if before:
                await stream.write(before)
            if found or not typed:
                return
    except ConsoleClosed:
        return  # the other direction says why
    finally:
        loop.remove_reader(0)


async def _output(stream: ByteStream) -> str:
    """Show what comes, until its end."""
    try:
        while data := await stream.read():
            await asyncio.to_thread(_show, data)
    except ConsoleRefused as error:
        return error.message
    return "The console was closed by its host."


def _show(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
