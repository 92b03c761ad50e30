"""`/ws`: tells browsers when to fetch again, and sends live counters to those that subscribed."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import msgspec
import structlog
from falcon import WebSocketDisconnected
from falcon.asgi import Request, WebSocket
from falcon.errors import PayloadTypeError
from msgspec import Struct

from virtumancer.contracts import CloseCode, EventType, VMStats
from virtumancer.errors import VirtumancerError
from virtumancer.http.api_paths import API, ROOT
from virtumancer.http.endpoint import SIGNED_IN, endpoint
from virtumancer.http.middleware.authorization import caller_of, permitted_vm
from virtumancer.services.auth import Principal, PrincipalDirectory, Right
from virtumancer.services.events.filter import seen_by
from virtumancer.services.events.log import EventLog
from virtumancer.services.hosts.stats_stream import StatsStream, StatsSubscription
from virtumancer.services.hosts.vm_lookup import SeenUUID
from virtumancer.services.vms.service import VMsService
from virtumancer.store import StoredEvent

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
# What other events are about is announced by one of these as well.
TOLD = frozenset({EventType.HOST_STATE, EventType.HOST_REMOVED, EventType.VMS_CHANGED, EventType.METADATA_CHANGED})


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

    def __init__(self, events: EventLog, live_stats: StatsStream, vms: VMsService, callers: PrincipalDirectory) -> None:
        self._events = events
        self._live_stats = live_stats
        self._vms = vms
        self._callers = callers

    @endpoint(
        "watch",
        "events",
        path=API / "ws",
        also_at=(ROOT / "ws",),
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
        caller = caller_of(req)
        client = _Client(ws, self._live_stats, self._vms, caller)
        with ExitStack() as leaving:
            leaving.callback(self._events.feed.subscribe(client.note_events))
            leaving.callback(self._callers.watch(caller, client.note_withdrawn))
            await client.serve()


class _Client:
    """One connected client: what it still has to be told, and what it watches."""

    def __init__(self, ws: WebSocket, live_stats: StatsStream, vms: VMsService, caller: Principal) -> None:
        self._ws = ws
        self._live_stats = live_stats
        self._vms = vms
        self._caller = caller
        self._withdrawn = asyncio.Event()
        self._hosts_changed = False
        self._vms_changed: set[str] = set()
        self._changed = asyncio.Event()
        self._samples: dict[StatsSubscription, VMStats] = {}
        self._sampled = asyncio.Event()
        self._watched: dict[StatsSubscription, Callable[[], None]] = {}

    def note_withdrawn(self) -> None:
        """End: the caller's rights are others than those it came with."""
        self._withdrawn.set()

    def note_events(self, events: Sequence[StoredEvent]) -> None:
        """Remember what changed; it is told soon, together with what else changes until then."""
        for event in events:
            lost = event.type == EventType.GAP and not event.host
            if not (lost or event.type in TOLD) or seen_by(self._caller, event) is None:
                continue
            if event.vm or event.type == EventType.VMS_CHANGED:
                self._vms_changed.add(event.host)
            else:
                self._hosts_changed = True
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
            except (PayloadTypeError, msgspec.DecodeError, RecursionError) as error:
                log.debug("a message on /ws was not understood", reason=str(error))
            except VirtumancerError as error:
                log.debug("a message on /ws was not obeyed", reason=error.message)

    async def _obey(self, message: ClientMessage) -> None:
        if message.type not in {"subscribe-vm-stats", "unsubscribe-vm-stats"}:
            return
        watched = msgspec.json.decode(message.payload, type=Watched)
        subject = StatsSubscription(watched.host_id, watched.vm_name)
        if message.type == "unsubscribe-vm-stats":
            if subject in self._watched:
                self._watched.pop(subject)()
            self._samples.pop(subject, None)
        elif subject not in self._watched:
            if len(self._watched) >= MAX_SUBSCRIPTIONS:
                await self._ws.close(CLOSE_TOO_MANY, f"more than {MAX_SUBSCRIPTIONS} subscriptions")
                return
            await self._watch(subject)

    async def _watch(self, subject: StatsSubscription) -> None:
        """Subscribe to a VM that may be read; by its UUID when that was looked up for the rights on it."""
        access = self._caller.access
        name = await permitted_vm(access, self._vms, Right.READ, subject.host_id, subject.vm_name)

        def note(_permitted: StatsSubscription, stats: VMStats) -> None:
            self._note_sample(subject, stats)

        meant = StatsSubscription(subject.host_id, name, isinstance(name, SeenUUID))
        self._watched[subject] = self._live_stats.subscribe(meant, note)

    def _note_sample(self, subject: StatsSubscription, stats: VMStats) -> None:
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
