"""Approving SSH host keys: a question with the fingerprint to a person, never an answer without one."""

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from virtumancer.cli.exit_codes import Exit
from virtumancer.cli.tables import clean
from virtumancer.errors import HostKeyChanged, HostKeyUnknown

__all__ = ["with_approval"]

T = TypeVar("T")
# A host behind jump hosts has a key for each of them.
MOST_KEYS = 8


async def with_approval(
    attempt: Callable[[tuple[str, ...]], Awaitable[T]], given: Sequence[str], command: Sequence[str]
) -> T:
    """Return what the attempt returns, asking for each key that nobody knows; `command` is what to repeat with it."""
    approved = tuple(given)
    for _ in range(MOST_KEYS):
        try:
            return await attempt(approved)
        except HostKeyUnknown as error:
            fingerprint = _facts(error).get("fingerprint", "")
            if not fingerprint or fingerprint in approved:
                raise
            if not (sys.stdin.isatty() and sys.stderr.isatty()):
                _end_with_command(error, [*command, *_flags([*approved, fingerprint])])
            if not await _approves(error):
                sys.stderr.write("virtumancer: not approved, and nothing was changed\n")
                raise SystemExit(Exit.HOST_KEY) from None
            approved = (*approved, fingerprint)
        except HostKeyChanged as error:
            _end_with_warning(error)
    return await attempt(approved)


def _facts(error: HostKeyUnknown | HostKeyChanged) -> dict[str, str]:
    return msgspec.convert(error.extra.get("host_key") or {}, dict[str, str])


async def _approves(error: HostKeyUnknown) -> bool:
    facts = _facts(error)
    sys.stderr.write(
        f"The host {clean(facts.get('address'))} shows a key that nobody vouches for:\n"
        f"  {clean(facts.get('type'))} {clean(facts.get('fingerprint'))}\n"
        "On the host itself, this prints what it has to be:\n"
        "  for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done\n"
        "Do you trust it? Type yes, or the fingerprint: "
    )
    sys.stderr.flush()
    answer = (await _typed_line()).strip()
    return answer == "yes" or (answer != "" and answer == facts.get("fingerprint"))


async def _typed_line() -> str:
    """Read a line of the terminal, and let Ctrl-C end the waiting."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline()


def _flags(fingerprints: Sequence[str]) -> list[str]:
    return [part for fingerprint in fingerprints for part in ("--host-key", fingerprint)]


def _end_with_command(error: HostKeyUnknown, command: Sequence[str]) -> None:
    facts = _facts(error)
    sys.stderr.write(
        f"virtumancer: {error.message}\n"
        f"The key is {clean(facts.get('type'))} {clean(facts.get('fingerprint'))} of {clean(facts.get('address'))}. "
        "When somebody has compared it with the host's own, repeat:\n"
        f"  {shlex.join(command)}\n"
    )
    raise SystemExit(Exit.HOST_KEY) from error


def _end_with_warning(error: HostKeyChanged) -> None:
    facts = _facts(error)
    sys.stderr.write(
        f"virtumancer: {error.message}\n"
        "Either the host has a new key, or somebody stands between. This cannot be approved here. When the key\n"
        f"  {clean(facts.get('type'))} {clean(facts.get('fingerprint'))}\n"
        "was compared with the host's own, put it in place of the old one: virtumancer hosts rotate-key\n"
    )
    raise SystemExit(Exit.HOST_KEY) from error
