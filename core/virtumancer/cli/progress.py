"""Progress while waiting: one line on standard error that writes itself anew, and nothing when nobody looks."""

import sys
from types import TracebackType
from typing import Self

from virtumancer.cli.tables import clean
from virtumancer.client import is_over
from virtumancer.contracts import OperationInfo, OperationProgress

__all__ = ["Progress", "amount_of", "words_of"]

PERCENT = "%"
CLEAR = "\r\x1b[2K"


class Progress:
    """A line on the terminal that is gone in the end."""

    def __init__(self) -> None:
        self._shown = False
        self._seen = sys.stderr.isatty()

    def __enter__(self) -> Self:
        """Nothing is shown yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write(CLEAR)
            sys.stderr.flush()

    def say(self, text: str) -> None:
        """Show this in place of what was there."""
        if self._seen:
            sys.stderr.write(CLEAR + clean(text))
            sys.stderr.flush()
            self._shown = True

    def tell(self, operation: OperationInfo) -> None:
        """Show how an operation stands."""
        self.say(words_of(operation))


def words_of(operation: OperationInfo) -> str:
    """Say how an operation stands."""
    words = f"{operation.action}: {operation.state.value}"
    if operation.step and not is_over(operation):
        words += f", {operation.step}"
    if progress := operation.progress:
        words += f", {amount_of(progress)}"
        if progress.failed:
            words += f", {progress.failed} failed"
    elif operation.step and is_over(operation):
        words += f", {operation.step}"
    return words


def amount_of(progress: OperationProgress) -> str:
    """Say how far something is, with what is counted."""
    if progress.unit == PERCENT:
        return f"{progress.done} %"
    of = f" of {progress.total}" if progress.total else ""
    return f"{progress.done}{of} {progress.unit}".rstrip()
