"""The load: who reads, starts and stops VMs, writes notes, follows events, opens consoles, adds and removes a host."""

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Self

import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.soak.ledger import Ledger

# What a client may be told while a part is missing: nothing was done, or it is not known. Other errors are wrong.
NOT_DONE = {"host-unavailable", "stopping", "plugin-degraded", "host-unreachable"}
NOT_KNOWN = {"timeout", "host-lost", "hypervisor-error", "outcome-unknown"}
PAUSE = 0.05
HOST = "/hosts/kvm1"


class Load:
    """Runs until `stop` is set. `base` is the address of the server, which comes and goes."""

    def __init__(self, base: str, ledger: Ledger, vms: list[str], second_uri: str) -> None:
        self._ledger = ledger
        self._vms = vms
        self._second_uri = second_uri
        self._ws = base.replace("http", "ws", 1)
        self._client = httpx2.AsyncClient(base_url=f"{base}/api/v1", trust_env=False, timeout=60)
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Self:
        workers: list[Awaitable[None]] = [self._read() for _ in range(4)]
        workers += [self._switch(name) for name in self._vms[:3]]
        workers += [self._write(name) for name in self._vms]
        workers += [self._follow(), self._come_and_go()]
        workers += [self._look(name) for name in self._vms[3:]]
        self._tasks = [asyncio.ensure_future(worker) for worker in workers]
        return self

    async def __aexit__(self, *error: object) -> None:
        """Let everybody finish what they are at."""
        self._stop.set()
        done, late = await asyncio.wait(self._tasks, timeout=90)
        for task in late:
            task.cancel()
            self._ledger.blame(f"this did not end: {task}")
        for task in done:
            if failure := task.exception():
                self._ledger.blame(f"the load itself failed: {failure!r}")
        await self._client.aclose()

    async def _ask(self, method: str, path: str, **options: Any) -> httpx2.Response | None:
        """Ask once; None when nobody answered."""
        try:
            answer = await self._client.request(method, path, **options)
        except httpx2.TransportError:
            self._ledger.answers[f"{method} without answer"] += 1
            await asyncio.sleep(PAUSE)
            return None
        self._ledger.answers[f"{method} {answer.status_code}"] += 1
        if answer.status_code >= 500:
            if code_of(answer) not in NOT_DONE | NOT_KNOWN:
                self._ledger.blame(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            await asyncio.sleep(PAUSE)
        return answer

    async def _insist(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Ask with one key until there is an answer that counts; what was not done is asked for anew."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        while True:
            answer = await self._ask(method, path, headers=headers, **options)
            if answer is not None and code_of(answer) not in {"request-in-progress", *NOT_DONE}:
                return answer
            if answer is not None and code_of(answer) in NOT_DONE:
                headers = {"Idempotency-Key": str(uuid.uuid4())}
            await asyncio.sleep(PAUSE)

    async def _read(self) -> None:
        paths = ["/hosts", f"{HOST}/vms", f"{HOST}/vms/db", f"{HOST}/info", "/vms?limit=5", "/operations", "/audit"]
        paths += [f"{HOST}/vms/{name}/{part}" for name in self._vms for part in ("stats", "hardware", "actions")]
        while not self._stop.is_set():
            path = random.choice(paths)
            answer = await self._ask("GET", path)
            if answer is None or answer.status_code >= 500:
                continue
            if answer.status_code != 200:
                self._ledger.blame(f"GET {path}: {answer.status_code} {answer.text[:300]}")
            if path == f"{HOST}/vms/db":
                missing = set(self._vms) - {row["name"] for row in answer.json()}
                if missing:
                    self._ledger.blame(f"rows are missing: {sorted(missing)}")
            await asyncio.sleep(PAUSE)

    async def _switch(self, name: str) -> None:
        """Start and stop a VM again and again; each start with a key, so that it is done once."""
        path = f"{HOST}/vms/{name}"
        while not self._stop.is_set():
            await self._count_start(name, await self._insist("POST", f"{path}/start"))
            await asyncio.sleep(random.uniform(0.1, 1))
            stopped = await self._insist("POST", f"{path}/forceoff")
            if stopped.status_code != 204 and code_of(stopped) not in {"wrong-power-state", *NOT_KNOWN}:
                self._ledger.blame(f"forceoff {name}: {stopped.status_code} {stopped.text[:300]}")

    async def _count_start(self, name: str, answer: httpx2.Response) -> None:
        code = code_of(answer)
        if answer.status_code == 204:
            self._ledger.starts[name] += 1
        elif code in NOT_KNOWN:
            self._ledger.maybe[name] += 1
        elif code != "wrong-power-state":
            self._ledger.blame(f"start {name}: {answer.status_code} {answer.text[:300]}")

    async def _write(self, name: str) -> None:
        """Write notes one after the other: what was acknowledged is there, or something that was asked for later."""
        number = 0
        while not self._stop.is_set():
            number += 1
            wanted = f"note {number}"
            self._ledger.notes.setdefault(name, {""}).add(wanted)
            answer = await self._ask("PUT", f"{HOST}/vms/{name}/metadata", json={"notes": wanted})
            if answer is not None and 400 <= answer.status_code < 500:
                self._ledger.blame(f"notes of {name}: {answer.status_code} {answer.text[:300]}")
            if answer is not None and answer.status_code == 200:
                self._ledger.notes[name] = {wanted}
            await asyncio.sleep(random.uniform(0.1, 0.6))

    async def _come_and_go(self) -> None:
        """Add a second host and remove it; what was acknowledged is so."""
        while not self._stop.is_set():
            added = await self._insist("POST", "/hosts", json={"id": "kvm2", "uri": self._second_uri})
            if added.status_code not in {201, 409} and code_of(added) not in NOT_KNOWN:
                self._ledger.blame(f"POST /hosts: {added.status_code} {added.text[:300]}")
            await asyncio.sleep(random.uniform(0.2, 2))
            removed = await self._insist("DELETE", "/hosts/kvm2")
            if removed.status_code == 204 and await self._is_listed():
                self._ledger.blame("a removed host is listed")
            elif removed.status_code not in {204, 404} and code_of(removed) not in NOT_KNOWN:
                self._ledger.blame(f"DELETE /hosts/kvm2: {removed.status_code} {removed.text[:300]}")

    async def _is_listed(self) -> bool:
        answer = await self._ask("GET", "/hosts")
        return answer is not None and any(host["id"] == "kvm2" for host in answer.json())

    async def _follow(self) -> None:
        """Follow all events: ids only increase, and what is missing is said to be."""
        last = 0
        while not self._stop.is_set():
            async for event_id, kind in self._events(last):
                if event_id <= last:
                    self._ledger.blame(f"event {event_id} came after {last}")
                self._ledger.gaps += kind == "gap"
                self._ledger.events += 1
                last = event_id
            await asyncio.sleep(PAUSE)

    async def _events(self, since: int) -> AsyncIterator[tuple[int, str]]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                params = {"since": since} if since else {}
                headers = {"Accept": "text/event-stream"}
                streamed = self._client.stream("GET", "/events", params=params, headers=headers, timeout=20)
                answer = await stack.enter_async_context(streamed)
                event_id, kind = 0, ""
                async for line in answer.aiter_lines():
                    if self._stop.is_set():
                        return
                    name, _, value = line.partition(": ")
                    if name == "id":
                        event_id = int(value)
                    elif name == "event":
                        kind = value
                    elif not line and event_id > since:
                        yield event_id, kind
                        event_id, kind = 0, ""
            except httpx2.TransportError:
                return

    async def _look(self, name: str) -> None:
        """Open the VNC console of a VM that runs, read its first bytes, and leave in any of three ways."""
        while not self._stop.is_set():
            target = f"{self._ws}/api/v1{HOST}/vms/{name}/console"
            try:
                async with asyncio.timeout(20):
                    socket = await connect(target, subprotocols=["binary"], compression=None, proxy=None)  # type: ignore[list-item]
                    first = await socket.recv()
                    if first != b"RFB 003.008\n":
                        self._ledger.blame(f"the console of {name} began with {first!r:.80}")
                    self._ledger.consoles += 1
                    await asyncio.sleep(random.uniform(0, 1))
                    if random.random() < 0.5:
                        socket.transport.abort()
                    await socket.close()
            except (OSError, TimeoutError, WebSocketException):
                pass
            await asyncio.sleep(random.uniform(0.1, 1))


def code_of(answer: httpx2.Response) -> str:
    """The code of a problem; empty for what is none."""
    with contextlib.suppress(json.JSONDecodeError):
        document = answer.json()
        return str(document.get("code", "")) if isinstance(document, dict) else ""
    return ""
