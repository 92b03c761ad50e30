"""What is said on a console, from a file: how `virtumancer plugin check` gets through a handshake."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from virtumancer.contracts import ByteStream

__all__ = ["ConsoleScript", "Step", "playing"]


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One side sends this text, then waits for so many bytes. A character is a byte: U+0000 to U+00FF."""

    send: str = ""
    read: int = 0

    def __post_init__(self) -> None:
        _bytes(self.send)


class ConsoleScript(Struct, frozen=True, forbid_unknown_fields=True):
    """What is said on consoles of one kind.

    `hypervisor` and `viewer` play the two ends of a handshake, at the same time; `from_hypervisor` and `from_viewer`
    are messages that pass unchanged after it. `dialogue` is for a driver: what is said, and how the answer begins.
    """

    hypervisor: tuple[Step, ...] = ()
    viewer: tuple[Step, ...] = ()
    from_hypervisor: str = ""
    from_viewer: str = ""
    dialogue: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for text in (self.from_hypervisor, self.from_viewer, *(text for line in self.dialogue for text in line)):
            _bytes(text)

    def lines(self) -> Sequence[tuple[bytes, bytes]]:
        """Return the dialogue as bytes."""
        return tuple((_bytes(said), _bytes(answer)) for said, answer in self.dialogue)


def playing(script: ConsoleScript, fixture: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the members of a suite for console transports that play this script."""

    async def greet_hypervisor(self: Any, far: ByteStream) -> None:
        await _play(self, far, script.hypervisor)

    async def greet_viewer(self: Any, stream: ByteStream) -> None:
        await _play(self, stream, script.viewer)

    members: dict[str, Any] = {"greet_hypervisor": greet_hypervisor, "greet_viewer": greet_viewer}
    for name in ("from_hypervisor", "from_viewer"):
        if text := getattr(script, name):
            members[name] = fixture(_bytes(text))
    return members


async def _play(suite: Any, stream: ByteStream, steps: Sequence[Step]) -> None:
    for step in steps:
        if step.send:
            await stream.write(_bytes(step.send))
        if step.read:
            heard = await suite.read(stream, step.read)
            if len(heard) != step.read:
                raise AssertionError(f"the handshake ended after {heard!r}, {step.read} bytes were to come")


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"{text[error.start]!r} is no byte: a character stands for one, up to U+00FF") from error
