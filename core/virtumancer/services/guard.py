"""The one place where plugin code is awaited: with a deadline, and with its owner's name on what it raises."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import structlog

from virtumancer.errors import CallTimeout, PluginFailed, VirtumancerError

__all__ = ["guarded"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")


async def guarded(plugin: str, what: str, awaitable: Awaitable[T], timeout: float) -> T:
    """Await plugin code for at most `timeout` seconds.

    Raises `CallTimeout` when it takes longer, our errors as they are, and `PluginFailed` naming the plugin for
    anything else.
    """
    try:
        async with asyncio.timeout(timeout):
            return await awaitable
    except VirtumancerError:
        raise
    except TimeoutError as error:
        raise CallTimeout(f"{what} did not finish within {timeout:g} s (plugin {plugin!r})", plugin=plugin) from error
    except Exception as error:
        log.exception("a plugin failed", plugin=plugin, call=what)
        message = f"{what} failed inside plugin {plugin!r}: {type(error).__name__}: {error}"
        raise PluginFailed(message, plugin=plugin) from error
