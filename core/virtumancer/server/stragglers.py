"""What does not end when the server does, tasks and threads: named, and left behind."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Sequence

import structlog

__all__ = ["end_all", "leave_behind"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# So long tasks get to end once they are cancelled, and threads once nobody has work for them.
PATIENCE = 2.0
INTERVAL = 0.02


async def end_all() -> tuple[str, ...]:
    """Cancel every other task and wait a moment for tasks and threads; returns the names of those that go on."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    _, late = await asyncio.wait(tasks, timeout=PATIENCE) if tasks else ((), ())
    # Not cancelled when it is late: asyncio would wait for the threads then.
    workers = asyncio.ensure_future(asyncio.get_running_loop().shutdown_default_executor())
    await asyncio.wait({workers}, timeout=PATIENCE)
    until = time.monotonic() + PATIENCE
    while (threads := _threads()) and workers.done() and time.monotonic() < until:  # noqa: ASYNC110 - threads tell nobody
        await asyncio.sleep(INTERVAL)
    return (*(task.get_name() for task in late), *(thread.name for thread in threads))


def leave_behind(names: Sequence[str], failure: BaseException | None) -> None:
    """End this process though something in it goes on; all that is ours is closed already, or has failed."""
    log.error("what does not end is left behind", tasks=names[:20], exc_info=failure)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if failure is None else 1)


def _threads() -> tuple[threading.Thread, ...]:
    """Return the threads that Python would wait for at its end."""
    own = (threading.main_thread(), threading.current_thread())
    return tuple(thread for thread in threading.enumerate() if not thread.daemon and thread not in own)
