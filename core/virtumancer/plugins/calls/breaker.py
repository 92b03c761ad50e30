"""A rest for what keeps failing: on one host, so that a host in trouble spoils nothing on the others."""

import time
from collections.abc import Callable

import structlog
from msgspec import Struct

from virtumancer.errors import PluginDegraded
from virtumancer.plugins.calls.activity import PluginCall

__all__ = ["PAUSE", "TOLERATED", "CircuitBreaker"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

# So many failures in a row are no accident …
TOLERATED = 5
# … and after a pause of so many seconds one call may try whether it works again.
PAUSE = 30.0


class _Circuit(Struct):
    """The failures in a row of one call, and until when it is not tried again."""

    failures: int = 0
    closed_until: float = 0.0
    trying: bool = False
    reason: str = ""


class CircuitBreaker:
    """Counts failures in a row by call; `tell` hears of each plugin of which something rests, or works again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.tell: Callable[[str], None] | None = None
        self._circuits: dict[PluginCall, _Circuit] = {}

    def admit(self, call: PluginCall, what: str) -> None:
        """Let a call pass. Raises `PluginDegraded` while it rests."""
        circuit = self._circuits.get(call)
        if circuit is None or circuit.failures < TOLERATED:
            return
        left = circuit.closed_until - self._clock()
        if left > 0 or circuit.trying:
            raise PluginDegraded(
                f"{what} is not tried just now: it failed {circuit.failures} times in a row inside plugin "
                f"{call.plugin!r}, last with: {circuit.reason}",
                retry_after=max(left, 1.0),
                plugin=call.plugin,
            )
        circuit.trying = True

    def ended(self, call: PluginCall) -> None:
        """Take note that a call is over, however it ended: another one may try."""
        circuit = self._circuits.get(call)
        if circuit is not None:
            circuit.trying = False

    def failed(self, call: PluginCall, reason: str) -> None:
        """Take note of a failure."""
        circuit = self._circuits.setdefault(call, _Circuit())
        circuit.failures += 1
        circuit.reason = reason
        if circuit.failures >= TOLERATED:
            circuit.closed_until = self._clock() + PAUSE
            if circuit.failures == TOLERATED:
                log.warning("a plugin is degraded", plugin=call.plugin, name=call.name, host=call.host, reason=reason)
                self._note_change(call.plugin)

    def worked(self, call: PluginCall) -> None:
        """Take note that it works."""
        circuit = self._circuits.pop(call, None)
        if circuit is not None and circuit.failures >= TOLERATED:
            log.info("a plugin works again", plugin=call.plugin, name=call.name, host=call.host)
            self._note_change(call.plugin)

    def resting_sentence(self, plugin: str) -> str:
        """Say what of a plugin is not tried just now, empty when all is."""
        now = self._clock()
        resting = [
            (call, circuit)
            for call, circuit in self._circuits.items()
            if call.plugin == plugin and (circuit.trying or circuit.closed_until > now)
        ]
        if not resting:
            return ""
        call, circuit = resting[0]
        more = f" (and {len(resting) - 1} more)" if len(resting) > 1 else ""
        return f"{call.name} on host {call.host!r} failed {circuit.failures} times in a row: {circuit.reason}{more}"

    def _note_change(self, plugin: str) -> None:
        if self.tell:
            self.tell(plugin)
