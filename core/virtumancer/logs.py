"""Logging: structlog and the standard library's loggers through one renderer, secrets masked."""

import logging
import os
import sys
from collections.abc import Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from virtumancer.config import LogConfig
from virtumancer.masking import mask_data, mask_text

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

__all__ = ["configure_logging"]

# Their info messages are one per channel, request or statement; ours say what matters.
_CHATTY = ("aiosqlite", "asyncssh", "tortoise")


def configure_logging(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (standard error by default); calling it again replaces what was there."""
    # Not at the top of the file: importing structlog takes longer than all the rest of the core's start.
    import structlog  # noqa: PLC0415

    output: TextIO = stream or sys.stderr
    level = logging.getLevelNamesMapping()[config.level.upper()]
    shared = _shared_processors()
    handler = logging.StreamHandler(output)
    handler.addFilter(_no_false_alarm)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                mask_event,
                _masked(_renderer(config, output)),
            ],
            foreign_pre_chain=shared,
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    _take_over(handler, level)


def _no_false_alarm(record: logging.LogRecord) -> bool:
    """Drop what uvicorn says of a WebSocket that was refused with a document: it takes that for no answer at all."""
    return record.msg != "ASGI callable returned without completing handshake."


def _shared_processors() -> "Sequence[Processor]":
    """Return what every record passes, whichever library logged it."""
    import structlog  # noqa: PLC0415

    return (
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    )


def _renderer(config: LogConfig, stream: TextIO) -> "Processor":
    import structlog  # noqa: PLC0415

    if config.format == "json":
        return structlog.processors.JSONRenderer(serializer=_to_json)
    colours = stream.isatty() and "NO_COLOR" not in os.environ
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)


def _to_json(event: object, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


def mask_event(_logger: object, _method: str, event: "EventDict") -> "EventDict":
    """Replace secrets in an event before it is rendered: by key, and inside text."""
    # uvicorn sends its message twice, the second time with colours.
    return {key: mask_data(value, key) for key, value in event.items() if key != "color_message"}


def _masked(render: "Processor") -> Callable[[Any, str, MutableMapping[str, Any]], str]:
    """Mask the rendered line too: objects turn into text only while rendering."""

    def masked(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        return mask_text(str(render(logger, method, event)))

    return masked


def _take_over(handler: logging.Handler, level: int) -> None:
    """Make this the only handler of the standard library's loggers."""
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, level))
    # One line a request is for finding out what a client does.
    logging.getLogger("uvicorn.access").setLevel(level if level <= logging.DEBUG else max(logging.WARNING, level))
