"""`/ws`: tells browsers when to fetch again, and sends live counters to those that subscribed."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog
from falcon import WebSocketDisconnected
from falcon.asgi import Request, WebSocket
from falcon.errors import PayloadTypeError
from msgspec import Struct

from virtumancer.contracts import CloseCode, HostRemoved, HostStateChanged, VMsChanged, VMStats
from virtumancer.errors import VirtumancerError
from virtumancer.http.access import caller_of, permitted_vm
from virtumancer.http.operations import SIGNED_IN, operation
from virtumancer.services.access import Caller, Right, Tokens
from virtumancer.services.events import Change, EventBus
from virtumancer.services.live_stats import LiveStats, Subject
from virtumancer.services.vms import VMsService

__all__ = ["RefreshSocket"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# The known client compares nothing but the type, yet the space is part of what is documented.
REFRESH = '{"type": "refresh"}'
# An action and the events that it causes arrive within a few milliseconds of each other: one message for both.
SETTLE = 0.05
INTERVAL = 0.25
SEND_TIMEOUT = 10.0
MAX_SUBSCRIPTIONS = 256
CLOSE_SLOW = 4008
CLOSE_TOO_MANY = 4029


class ClientMessage(Struct, frozen=True):
    """What a client may send; further keys and unknown types are ignored."""

    type: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class Watched(Struct, frozen=True, rename="camel"):
    """Which VM a client wants the counters of."""

    host_id: str
    vm_name: str


class RefreshSocket:
    """Accepts sockets and serves each from a state of its own, so that a slow one holds up nobody."""

    def __init__(self, bus: EventBus, live_stats: LiveStats, vms: VMsService, tokens: Tokens) -> None:
        self._bus = bus
        self._live_stats = live_stats
        self._vms = vms
        self._tokens = tokens

    @operation(
        "watch",
        "events",
        right=SIGNED_IN,
        status=101,
        extensions={
            "x-websocket": True,
            "x-subprotocols": [],
            "x-close-codes": {
                str(CLOSE_SLOW): "The client did not read for 10 seconds.",
                str(CLOSE_TOO_MANY): f"More than {MAX_SUBSCRIPTIONS} subscriptions on one socket.",
                str(int(CloseCode.REFUSED)): "The caller's rights were changed or withdrawn.",
            },
        },
    )
    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        """Be told that something changed, and get live counters of VMs, as far as the caller may read them.

        The server sends `{"type": "refresh"}` when the client should fetch again, before that `hosts-changed` or
        `vms-changed`, and `vm-stats-updated` for each VM that the client asked for with `subscribe-vm-stats`.
        """
        await ws.accept()
        client = _Client(ws, self._live_stats, self._vms, caller_of(req))
        unsubscribe = self._bus.subscribe(client.note_change)
        unfollow = self._tokens.on_change(lambda: client.note_rights(self._tokens))
        try:
            await client.serve()
        finally:
            unfollow()
            unsubscribe()


class _Client:
    """One connected client: what it still has to be told, and what it watches."""

    def __init__(self, ws: WebSocket, live_stats: LiveStats, vms: VMsService, caller: Caller) -> None:
        self._ws = ws
        self._live_stats = live_stats
        self._vms = vms
        self._caller = caller
        self._withdrawn = asyncio.Event()
        self._hosts_changed = False
        self._vms_changed: set[str] = set()
        self._changed = asyncio.Event()
        self._samples: dict[Subject, VMStats] = {}
        self._sampled = asyncio.Event()
        self._watched: dict[Subject, Callable[[], None]] = {}

    def note_rights(self, tokens: Tokens) -> None:
        """End when the caller's rights are others than those it came with."""
        if self._caller.key:
            now = tokens.caller(self._caller.key)
            if now is None or now.access is not self._caller.access:
                self._withdrawn.set()

    def note_change(self, change: Change) -> None:
        """Remember what changed; it is told soon, together with what else changes until then."""
        if not self._caller.access.within_host(Right.READ, change.host_id):
            return
        match change:
            case HostStateChanged() | HostRemoved():
                self._hosts_changed = True
            case VMsChanged():
                self._vms_changed.add(change.host_id)
            case _:
                return  # what it is about is announced as well
        self._changed.set()

    async def serve(self) -> None:
        """Run until the client leaves, or must be sent away."""
        works = (self._receive(), self._tell_changes(), self._tell_samples(), self._follow_rights())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except WebSocketDisconnected:
            pass
        except TimeoutError:
            log.info("a client of /ws does not read and is disconnected")
            await self._ws.close(CLOSE_SLOW, "this client does not read")
        finally:
            for unsubscribe in self._watched.values():
                unsubscribe()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow_rights(self) -> None:
        await self._withdrawn.wait()
        await self._ws.close(CloseCode.REFUSED, "your rights were changed; connect again")

    async def _receive(self) -> None:
        while True:
            try:
                text = await self._ws.receive_text()
                message = msgspec.json.decode(text, type=ClientMessage)
                await self._obey(message)
            except (PayloadTypeError, msgspec.DecodeError) as error:
                log.debug("a message on /ws was not understood", reason=str(error))
            except VirtumancerError as error:
                log.debug("a message on /ws was not obeyed", reason=error.message)

    async def _obey(self, message: ClientMessage) -> None:
        if message.type not in {"subscribe-vm-stats", "unsubscribe-vm-stats"}:
            return
        watched = msgspec.json.decode(message.payload, type=Watched)
        subject = Subject(watched.host_id, watched.vm_name)
        if message.type == "unsubscribe-vm-stats":
            if subject in self._watched:
                self._watched.pop(subject)()
            self._samples.pop(subject, None)
        elif subject not in self._watched:
            if len(self._watched) >= MAX_SUBSCRIPTIONS:
                await self._ws.close(CLOSE_TOO_MANY, f"more than {MAX_SUBSCRIPTIONS} subscriptions")
                return
            await self._watch(subject)

    async def _watch(self, subject: Subject) -> None:
        """Subscribe to a VM that may be read; by its UUID when that was looked up for the rights on it."""
        access = self._caller.access
        name = await permitted_vm(access, self._vms, Right.READ, subject.host_id, subject.vm_name)

        def note(_permitted: Subject, stats: VMStats) -> None:
            self._note_sample(subject, stats)

        self._watched[subject] = self._live_stats.subscribe(Subject(subject.host_id, name), note)

    def _note_sample(self, subject: Subject, stats: VMStats) -> None:
        self._samples[subject] = stats
        self._sampled.set()

    async def _tell_changes(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE)
            self._changed.clear()
            hosts, vms = self._hosts_changed, sorted(self._vms_changed)
            self._hosts_changed = False
            self._vms_changed.clear()
            if hosts:
                await self._send('{"type":"hosts-changed"}')
            for host_id in vms:
                await self._send_json({"type": "vms-changed", "payload": {"hostId": host_id}})
            await self._send(REFRESH)
            await asyncio.sleep(INTERVAL - SETTLE)

    async def _tell_samples(self) -> None:
        while True:
            await self._sampled.wait()
            self._sampled.clear()
            samples, self._samples = self._samples, {}
            for subject, stats in samples.items():
                payload = {"hostId": subject.host_id, "stats": stats, "vmName": subject.vm_name}
                await self._send_json({"type": "vm-stats-updated", "payload": payload})

    async def _send_json(self, document: object) -> None:
        await self._send(msgspec.json.encode(document).decode())

    async def _send(self, text: str) -> None:
        async with asyncio.timeout(SEND_TIMEOUT):
            await self._ws.send_text(text)
