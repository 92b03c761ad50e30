"""Events reach a real web server, with the token; what is wrong with the address is told."""

import asyncio
import json
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType
from typing import Any

import pytest
import virtumancer_webhook
from virtumancer_webhook.config import WebhookConfig
from virtumancer_webhook.listener import WebhookListener

from virtumancer.contracts import HostVMEvent, Secret, VMChange
from virtumancer.errors import HypervisorError
from virtumancer.testing import FakeHypervisor

TOKEN = Secret("hunter2", "the test")


class Receiver:
    """A web server that remembers what was posted."""

    def __init__(self) -> None:
        self.posts: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self.status = 204
        self.location = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.remember()

            def do_GET(self) -> None:
                self.remember()

            def remember(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.posts.put((self.headers.get("Authorization", ""), json.loads(body or b"null")))
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Not into the output of the tests."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/events"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def virtumancer_plugins() -> Mapping[str, ModuleType]:
    return {"hook": virtumancer_webhook}


@pytest.fixture
def virtumancer_tables(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Mapping[str, Any]]:
    monkeypatch.setenv("HOOK_TOKEN", "hunter2")
    return {"hook": {"url": receiver.url, "token": "env:HOOK_TOKEN"}}


async def test_what_happens_is_posted_with_the_token(
    virtumancer_app: Any, virtumancer_events: Any, virtumancer_hypervisor: FakeHypervisor, receiver: Receiver
) -> None:
    vm = virtumancer_hypervisor.define("new01")
    await virtumancer_events.next(HostVMEvent)

    posted = [await asyncio.to_thread(receiver.posts.get, timeout=5)]
    while posted[-1][1]["type"] != "HostVMEvent":
        posted.append(await asyncio.to_thread(receiver.posts.get, timeout=5))

    assert {authorization for authorization, _ in posted} == {"Bearer hunter2"}
    assert posted[-1][1] == {
        "type": "HostVMEvent",
        "host_id": "kvm1",
        "uuid": vm.uuid,
        "name": "new01",
        "change": "defined",
    }


async def test_the_address_is_tested(receiver: Receiver) -> None:
    await WebhookConfig(url=receiver.url, token=TOKEN).check()
    receiver.status = 403

    with pytest.raises(HypervisorError, match="does not take events: it answered 403"):
        await WebhookConfig(url=receiver.url, token=TOKEN).check()
    with pytest.raises(HypervisorError, match="Connection refused"):
        await WebhookConfig(url="http://127.0.0.1:1/", token=TOKEN).check()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_token_is_not_sent_where_the_address_points_to(receiver: Receiver, status: int) -> None:
    receiver.status, receiver.location = status, receiver.url.replace("127.0.0.1", "localhost")

    with pytest.raises(HypervisorError, match=f"it answered {status}"):
        await WebhookConfig(url=receiver.url, token=TOKEN).check()

    assert receiver.posts.qsize() == 1


async def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(HypervisorError, match="timed out"):
            await WebhookConfig(url=url, timeout=0.2).check()


async def test_a_failure_does_not_show_the_token() -> None:
    listener = WebhookListener(WebhookConfig(url="http://127.0.0.1:1/", token=TOKEN))

    with pytest.raises(Exception, match="Connection refused") as caught:
        await listener.on_event(HostVMEvent("kvm1", "u", "web01", VMChange.STARTED))

    assert "hunter2" not in repr(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/", "http:///path", "somewhere"])
def test_another_address_than_http_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url is no http"):
        WebhookConfig(url=url)


def test_without_an_address_nobody_listens() -> None:
    assert virtumancer_webhook.virtumancer_event_listeners(WebhookConfig()) == []
