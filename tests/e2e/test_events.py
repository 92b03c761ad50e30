"""The program killed in the middle of a burst of events: who resumes gets every event once, and is told of the gap."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.bench.nodes import write_node
from tests.e2e.manager import Manager

VMS = 40


class Follower:
    """Follows the stream in a thread, comes back whenever it ends, and keeps all that it was told."""

    def __init__(self, manager: Manager) -> None:
        self.events: list[dict[str, Any]] = []
        self.streams = 0
        self._manager = manager
        self._last = ""
        self._stopping = False
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    def until(self, type_: str, seen: int, seconds: float = 20) -> None:
        """Wait for an event of this type behind the first `seen` ones."""
        deadline = time.monotonic() + seconds
        while type_ not in {event["type"] for event in self.events[seen:]}:
            assert time.monotonic() < deadline, self.events[-3:]
            time.sleep(0.005)

    def _follow(self) -> None:
        headers = {"Accept": "text/event-stream"}
        with httpx2.Client(base_url=f"{self._manager.url}/api/v1", timeout=1.0, trust_env=False) as client:
            while not self._stopping:
                again = {"Last-Event-ID": self._last} if self._last else {}
                with (
                    suppress(httpx2.TransportError),
                    client.stream("GET", "/events", headers=headers | again) as answer,
                ):
                    self.streams += 1
                    self._read(answer)
                time.sleep(0.01)

    def _read(self, answer: httpx2.Response) -> None:
        identifier, event = "", None
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                identifier = value
            elif name == "data" and '"id"' in value:
                event = json.loads(value)
            elif not line:  # only a block that came whole counts, as for a browser
                if event:
                    self.events.append(event)
                self._last, event = identifier or self._last, None


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "m") as manager:
        uri = write_node(tmp_path / "node.xml", VMS)
        assert manager.post("/hosts", {"id": "a", "uri": uri}).status_code == 201
        yield manager


def kept(manager: Manager) -> list[dict[str, Any]]:
    """Return everything that the server keeps."""
    since, found = 0, list[dict[str, Any]]()
    while True:
        page = manager.get(f"/events?limit=1000&since={since}", headers={"Accept": "application/json"}).json()
        found += page["items"]
        if page["next_since"] == since:
            return found
        since = page["next_since"]


def burst(manager: Manager) -> threading.Thread:
    """Stop and start all VMs, again and again, until the server is gone."""

    def act() -> None:
        with suppress(httpx2.TransportError):
            for _ in range(50):
                for action in ("forceoff", "start"):
                    body = {"action": action, "selector": {"hosts": ["a"]}, "if_already": "ok", "on_error": "continue"}
                    manager.post("/vms/actions", body)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_who_resumes_after_each_kill_gets_every_event_once_and_the_gap(manager: Manager) -> None:
    follower = Follower(manager)
    try:
        for round_ in range(4):
            acting = burst(manager)
            seen = len(follower.events)
            follower.until("vm.stopped", seen)
            time.sleep(0.05 * round_)  # each kill at another place
            manager.kill()
            acting.join()
            seen = len(follower.events)
            manager.start()
            follower.until("gap", seen)
    finally:
        follower.stop()

    everything = kept(manager)
    told = [event for event in follower.events if event["type"] != "gap" or event["host"]]
    assert follower.streams > 4
    first = next(place for place, event in enumerate(everything) if event["id"] == told[0]["id"])
    assert told == everything[first : first + len(told)]
    assert [event["id"] for event in told] == sorted({event["id"] for event in told})
    gaps = [event for event in follower.events if event["type"] == "gap"]
    assert [(gap["host"], gap["data"]["reason"]) for gap in gaps] == [("a", "server-started")] * 4


def test_a_stop_ends_open_streams_at_once(manager: Manager) -> None:
    with httpx2.Client(base_url=f"{manager.url}/api/v1", timeout=20, trust_env=False) as client:
        answers = [client.stream("GET", "/events", headers={"Accept": "text/event-stream"}) for _ in range(20)]
        opened = [answer.__enter__() for answer in answers]
        lines = [answer.iter_lines() for answer in opened]
        for stream in lines:
            assert next(stream).startswith("retry:")
        assert manager.terminate(within=8.0) < 3.0
        for stream, answer in zip(lines, answers, strict=True):
            assert any('"stopping"' in line for line in stream)
            answer.__exit__(None, None, None)
    manager.start()
