"""The pytest plugin that spares tests what costs more than they do, and undoes what they make of the logs."""

import asyncio
import logging
import traceback
from collections.abc import Iterator

import pytest
import structlog

CALLERS = 2
"""How many callers asyncio's debug mode notes for each callback and task; ten by itself."""


@pytest.fixture(scope="session", autouse=True)
def frugal() -> Iterator[None]:
    """Print tracebacks without colours and variables, and note few callers of each callback."""
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.constants, "DEBUG_STACK_DEPTH", CALLERS)
        # Futures of the C module take the whole stack, whatever that constant says: half of the time of some tests.
        patch.setattr(traceback.extract_stack, "__defaults__", (None, CALLERS))
        yield


@pytest.fixture(autouse=True)
def same_logs(frugal: None) -> Iterator[None]:
    """Undo what a test, or a program that it ran in this process, made of the logs."""
    config, root = structlog.get_config(), logging.getLogger()
    level = root.level
    yield
    structlog.configure(**config)
    for handler in root.handlers[:]:
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(handler)
    root.setLevel(level)
