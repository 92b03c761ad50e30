"""One renderer for all logs, and no secret passes it."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import structlog

from virtumancer.config import LogConfig
from virtumancer.logs import configure_logging
from virtumancer.masking import mask_text, mask_url, remember_secret


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers = root.handlers[:]
    loggers = [root, *map(logging.getLogger, ("aiosqlite", "asyncssh", "tortoise", "uvicorn.access", "uvicorn.error"))]
    levels = [logger.level for logger in loggers]
    for logger in loggers[1:]:
        logger.setLevel(logging.NOTSET)  # a server that ran in this process has silenced some
        logger.propagate = True
    yield io.StringIO()
    root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    structlog.reset_defaults()


def test_json_logs_are_one_object_a_line(stream: io.StringIO) -> None:
    configure_logging(LogConfig(format="json"), stream)
    structlog.get_logger("virtumancer").info("host connected", host="kvm1")
    event = json.loads(stream.getvalue())
    assert (event["event"], event["host"], event["level"]) == ("host connected", "kvm1", "info")


def test_the_standard_librarys_loggers_use_the_same_renderer(stream: io.StringIO) -> None:
    configure_logging(LogConfig(format="json"), stream)
    logging.getLogger("uvicorn.error").warning("port %d", 8890)
    event = json.loads(stream.getvalue())
    assert (event["event"], event["logger"], event["level"]) == ("port 8890", "uvicorn.error", "warning")


def test_uvicorns_messages_appear_once(stream: io.StringIO) -> None:
    configure_logging(LogConfig(format="json"), stream)
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[1mStarted"})
    assert "color_message" not in json.loads(stream.getvalue())


def test_every_record_carries_the_context(stream: io.StringIO) -> None:
    configure_logging(LogConfig(format="json"), stream)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logging.getLogger("tortoise").warning("slow")
    assert json.loads(stream.getvalue())["request_id"] == "r1"


def test_less_important_records_are_left_out(stream: io.StringIO) -> None:
    configure_logging(LogConfig(level="warning"), stream)
    structlog.get_logger("a").info("no")
    logging.getLogger("b").info("no")
    assert stream.getvalue() == ""


def test_access_logs_appear_with_debug_only(stream: io.StringIO) -> None:
    configure_logging(LogConfig(level="info"), stream)
    logging.getLogger("uvicorn.access").info("GET /")
    assert stream.getvalue() == ""
    configure_logging(LogConfig(level="debug"), stream)
    logging.getLogger("uvicorn.access").info("GET /")
    assert "GET /" in stream.getvalue()


def test_configuring_twice_does_not_double_the_lines(stream: io.StringIO) -> None:
    for _ in range(2):
        configure_logging(LogConfig(), stream)
    structlog.get_logger("a").info("once")
    assert stream.getvalue().count("once") == 1


def test_a_file_gets_no_colours(stream: io.StringIO) -> None:
    configure_logging(LogConfig(), stream)
    structlog.get_logger("a").warning("plain", key="value")
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("style", ["console", "json"])
def test_no_secret_is_logged(stream: io.StringIO, style: str) -> None:
    configure_logging(LogConfig(format=style), stream)  # type: ignore[arg-type]
    password = "hunter" + "2"
    log = structlog.get_logger("a")
    log.info(f"opening asyncpg://u:{password}@h/d", password=password, nested={"token": password})
    logging.getLogger("b").warning("opening %s", f"qemu+ssh://root:{password}@h", extra={"api_key": password})
    try:
        raise ValueError(f"cannot open asyncpg://u:{password}@h/d")
    except ValueError as error:
        log.exception("failed", error=error)
    assert stream.getvalue().count("***") >= 7
    assert password not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("qemu+ssh://root:pw@kvm1/system", "qemu+ssh://root:***@kvm1/system"),
        ("asyncpg://u:p/w@x@h/d and more", "asyncpg://u:***@h/d and more"),
        ("asyncpg://u:123@h/d", "asyncpg://u:***@h/d"),
        ("GET /ws?ticket=abc&x=1", "GET /ws?ticket=***&x=1"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("http://127.0.0.1:8890/vms/a@b", "http://127.0.0.1:8890/vms/a@b"),
        ("http://[::1]:8890/vms/a@b", "http://[::1]:8890/vms/a@b"),
        ("qemu+ssh://root@kvm1/system?keyfile=/k", "qemu+ssh://root@kvm1/system?keyfile=/k"),
    ],
)
def test_text_is_masked_where_it_is_secret_and_nowhere_else(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_a_remembered_value_is_masked_as_others_write_it() -> None:
    value = 'correct "horse"/Ü'
    for text in (value, json.dumps(value), json.dumps(value, ensure_ascii=False), repr(value), quote(value, safe="")):
        remember_secret(value)
        masked = mask_text(f"login as root with {text} failed")
        assert "horse" not in masked
        assert masked.startswith("login as root with ")


def test_a_remembered_certificate_is_masked_line_by_line() -> None:
    remember_secret("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\nBCIEIFxyzzy\n-----END PRIVATE KEY-----\n")
    masked = mask_text("at MC4CAQAwBQYDK2Vw of -----BEGIN PRIVATE KEY-----\\nMC4CAQAwBQYDK2Vw\\nBCIEIFxyzzy\\n")
    assert masked == "at *** of -----BEGIN PRIVATE KEY-----\\n***\\n***\\n"


def test_a_value_that_stands_in_many_words_is_not_masked() -> None:
    remember_secret("log")
    assert mask_text("the log says") == "the log says"


def test_a_urls_password_may_hold_blanks_and_line_breaks() -> None:
    assert mask_url("asyncpg://u:a b\n'c@h/d") == "asyncpg://u:***@h/d"


def test_importing_the_module_does_not_import_structlog() -> None:
    code = "import sys, virtumancer.logs; sys.exit('structlog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
