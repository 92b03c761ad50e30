"""Who listens to a signal is told, whatever the others do, until it listens no more."""

import pytest
from structlog.testing import capture_logs

from virtumancer.services.runtime.signals import Signal


def test_listeners_are_told_in_the_order_in_which_they_came() -> None:
    said: list[str] = []
    signal: Signal[str] = Signal("news")
    signal.subscribe(lambda word: said.append(f"one {word}"))
    signal.subscribe(lambda word: said.append(f"two {word}"))

    signal.emit("began")

    assert said == ["one began", "two began"]


def test_the_same_listener_may_come_twice_and_leaves_once_for_each() -> None:
    said: list[str] = []
    signal: Signal[str] = Signal("news")
    leave, _ = signal.subscribe(said.append), signal.subscribe(said.append)

    leave()
    leave()
    signal.emit("began")

    assert said == ["began"]


def test_one_that_fails_is_logged_and_stops_no_other() -> None:
    said: list[str] = []
    signal: Signal[str] = Signal("news")
    signal.subscribe(lambda word: said.append(str(int(word))))
    signal.subscribe(said.append)

    with capture_logs() as logs:
        signal.emit("began")

    assert said == ["began"]
    assert [(line["event"], line["signal"]) for line in logs] == [("a listener failed", "news")]


def test_listeners_may_come_and_go_while_they_are_told() -> None:
    said: list[str] = []
    signal: Signal[str] = Signal("news")

    def once(word: str) -> None:
        leave()
        said.append(word)
        signal.subscribe(lambda later: said.append(f"later {later}"))

    leave = signal.subscribe(once)

    signal.emit("first")
    signal.emit("second")

    assert said == ["first", "later second"]


def test_there_are_no_more_listeners_than_there_may_be() -> None:
    signal: Signal[[]] = Signal("news", limit=2)
    leave = signal.subscribe(lambda: None)
    signal.subscribe(lambda: None)

    with pytest.raises(RuntimeError, match="2 listen to news already"):
        signal.subscribe(lambda: None)
    leave()
    signal.subscribe(lambda: None)

    assert len(signal) == 2
