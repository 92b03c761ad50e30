"""The filter that lets a viewer look and nothing more: it knows every client message by its length."""

from collections.abc import Callable, Mapping

from virtumancer.contracts import CloseCode
from virtumancer.errors import ConsoleRefused

__all__ = ["ViewOnlyFilter"]

MOST_ENCODINGS = 1024
ENCODING_SIZE = 4
SET_ENCODINGS = 2
EXTENDED_MOUSE_BUTTONS = (-316).to_bytes(ENCODING_SIZE, "big", signed=True)

PASS, DROP = True, False
Measure = Callable[[bytes], tuple[int, bool]]
"""Reads the head of a message; returns how long all of it is, and whether it may reach the hypervisor."""


class ViewOnlyFilter:
    """Takes a viewer's bytes as they come and gives back those that may go on; no I/O.

    It holds at most one message of those that pass, and those are small. A message whose length it cannot tell ends
    the session, because whatever follows could be a key.
    """

    def __init__(self) -> None:
        self._held = b""
        self._dropping = 0

    def feed(self, data: bytes) -> bytes:
        """Return the messages that became complete and may pass. Raises `ConsoleRefused`."""
        held = self._held + data if self._held else data
        passed: list[bytes] = []
        at = self._dropping
        while at < len(held):
            length, passes = _measure(held, at)
            if length == 0 or (passes and at + length > len(held)):
                break
            if passes:
                passed.append(_without_extended_buttons(held[at : at + length]))
            at += length
        self._held = held[at:]
        self._dropping = max(0, at - len(held))
        return b"".join(passed)


def _measure(held: bytes, at: int) -> tuple[int, bool]:
    """Measure the message at this place; its length is 0 while that cannot be known yet."""
    known = MESSAGES.get(held[at])
    if known is None:
        raise _refused(f"message type {held[at]}")
    head_size, measure = known
    if at + head_size > len(held):
        return 0, DROP
    return measure(held[at : at + head_size])


def _without_extended_buttons(message: bytes) -> bytes:
    """Hide from the hypervisor that the viewer could send longer pointer events.

    Once it had agreed to those, their length would depend on what it said, and this filter does not listen to it.
    """
    if message[0] != SET_ENCODINGS or EXTENDED_MOUSE_BUTTONS not in message:
        return message
    encodings = [message[at : at + ENCODING_SIZE] for at in range(4, len(message), ENCODING_SIZE)]
    kept = [encoding for encoding in encodings if encoding != EXTENDED_MOUSE_BUTTONS]
    return message[:2] + len(kept).to_bytes(2, "big") + b"".join(kept)


def _fixed(length: int, passes: bool) -> tuple[int, Measure]:
    return 1, lambda _head: (length, passes)


def _set_encodings(head: bytes) -> tuple[int, bool]:
    count = int.from_bytes(head[2:4], "big")
    if count > MOST_ENCODINGS:
        raise _refused(f"{count} encodings")
    return 4 + count * ENCODING_SIZE, PASS


def _cut_text(head: bytes) -> tuple[int, bool]:
    # A negative length announces the extended clipboard.
    return 8 + abs(int.from_bytes(head[4:8], "big", signed=True)), DROP


def _fence(head: bytes) -> tuple[int, bool]:
    return 9 + head[8], PASS


def _set_desktop_size(head: bytes) -> tuple[int, bool]:
    return 8 + 16 * head[6], DROP


def _gii(head: bytes) -> tuple[int, bool]:
    return 4 + int.from_bytes(head[2:4], "big" if head[1] & 0x80 else "little"), DROP


def _qemu(head: bytes) -> tuple[int, bool]:
    if head[1] == 0:
        return 12, DROP
    operation = int.from_bytes(head[2:4], "big")
    if head[1] == 1 and operation in (0, 1):
        return 4, PASS
    if head[1] == 1 and operation == 2:
        return 10, PASS
    raise _refused(f"QEMU message {head[1]}.{operation}")


def _refused(what: str) -> ConsoleRefused:
    return ConsoleRefused(
        f"This session is view-only, and the viewer sent {what}, which cannot be filtered",
        close_code=CloseCode.PROTOCOL_ERROR,
    )


MESSAGES: Mapping[int, tuple[int, Measure]] = {
    0: _fixed(20, PASS),  # SetPixelFormat
    SET_ENCODINGS: (4, _set_encodings),
    3: _fixed(10, PASS),  # FramebufferUpdateRequest
    4: _fixed(8, DROP),  # KeyEvent
    5: _fixed(6, DROP),  # PointerEvent
    6: (8, _cut_text),  # ClientCutText
    150: _fixed(10, PASS),  # EnableContinuousUpdates
    248: (9, _fence),  # ClientFence
    250: _fixed(4, DROP),  # xvp: power
    251: (8, _set_desktop_size),
    253: (4, _gii),  # tablets and other input devices
    255: (4, _qemu),  # extended key events; audio
}
"""By message type: how many bytes tell the length, and how they do."""
