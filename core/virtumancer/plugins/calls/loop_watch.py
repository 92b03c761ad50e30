"""The thread that watches the event loop: whoever holds it up is named while it does."""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from itertools import starmap
from operator import methodcaller
from types import FrameType, TracebackType
from typing import Self

import structlog

from virtumancer.contracts import PluginState
from virtumancer.measuring import Histogram
from virtumancer.plugins.calls.activity import BLOCK, PluginCall, log_block
from virtumancer.plugins.calls.caller import PluginCaller

__all__ = ["LoopWatch"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

INTERVAL = BLOCK / 2
STACK_FRAMES = 20
# Who runs everything else: uvloop runs below asyncio.runners as well.
LOOPS = frozenset({"asyncio.events", "asyncio.runners", "asyncio.base_events"})


class LoopWatch:
    """Asks the event loop for a sign of life again and again; looks at what it does when there is none.

    A plugin is named when one step into its code lasts, or when a task of its own is seen at the same place twice. A
    loop that is only busy is nobody's fault.
    """

    def __init__(self, caller: PluginCaller) -> None:
        self._caller = caller
        self._modules: Mapping[str, str] = {
            info.module.partition(".")[0]: info.name for info in caller.infos() if info.state is PluginState.ACTIVE
        }
        self._over = threading.Event()
        self._answered = threading.Event()
        self.lag = Histogram()
        """How long the loop took to give each sign of life, counted on the loop."""
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watched = 0

    async def __aenter__(self) -> Self:
        """Begin to watch the loop that this runs on."""
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="loop watch", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread."""
        self._over.set()
        if self._thread:
            self._thread.join(1.0)

    def _watch(self) -> None:
        seen: FrameType | None = None
        named = False
        asked = self._ask()
        while True:
            slept_from = time.monotonic()
            if self._over.wait(INTERVAL):
                return
            now = time.monotonic()
            if self._answered.is_set():
                asked, seen, named = self._ask(), None, False
            elif now - slept_from > BLOCK:  # the machine lets nobody run, us neither
                asked, seen = now, None
            elif not named and now - asked >= INTERVAL:
                frame = self._outermost()
                named = self._look(now) or (now - asked >= BLOCK and self._look_at_task(seen, frame, now - asked))
                seen = frame

    def _ask(self) -> float:
        self._answered.clear()
        asked = time.monotonic()
        if self._loop and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._answer, asked)
            except RuntimeError:  # it was closed just now
                self._over.set()
        return asked

    def _answer(self, asked: float) -> None:
        self._answered.set()
        self.lag.observe(time.monotonic() - asked)

    def _look(self, now: float) -> bool:
        """Name the call that holds the loop, if one does."""
        activity = self._caller.activity
        call, since = activity.call, activity.since
        if call is None or now - since < BLOCK:
            return False
        stack = self._stack()
        if activity.call is not call or activity.since != since:  # it went on meanwhile, and the stack is another's
            return False
        activity.named_at = now
        self._report(call.plugin, call, now - since, stack)
        return True

    def _look_at_task(self, seen: FrameType | None, frame: FrameType | None, seconds: float) -> bool:
        """Name the plugin whose task holds the loop; what is nobody's is told without a name."""
        if frame is None or frame is not seen or self._caller.activity.call is not None:
            return False
        plugin, stack = self._owner(), self._stack()
        if not plugin:
            log.info("the event loop is held up", seconds=round(seconds, 3), stack=stack)
            return True
        self._report(plugin, None, seconds, stack)
        return True

    def _report(self, plugin: str, call: PluginCall | None, seconds: float, stack: str) -> None:
        log_block(plugin, call, seconds, stack)
        if self._loop and not self._loop.is_closed():
            with suppress(RuntimeError):  # it was closed just now
                self._loop.call_soon_threadsafe(self._caller.count_block, plugin, call)

    def _frame(self) -> FrameType | None:
        # In one go: whoever keeps the frames of all threads keeps what is in them, and that would end on a thread which
        # is not its own. A variable for them would even be part of one of them, and so keep them for ever.
        look = sys._current_frames  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - documented, for debuggers
        found: FrameType | None = next(map(methodcaller("get", self._watched), starmap(look, [()])))
        return found

    def _outermost(self) -> FrameType | None:
        """Return the first frame of what the loop runs: the same object for as long as one step lasts."""
        frame, found = self._frame(), None
        while frame is not None and frame.f_globals.get("__name__") not in LOOPS:
            frame, found = frame.f_back, frame
        return found

    def _owner(self) -> str:
        """Return the plugin of the innermost frame that is of one, empty when none is."""
        frame = self._frame()
        while frame is not None:
            module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
            if module in self._modules:
                return self._modules[module]
            frame = frame.f_back
        return ""

    def _stack(self) -> str:
        return "".join(traceback.format_stack(self._frame(), STACK_FRAMES))
