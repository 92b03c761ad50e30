"""Where a host's session stands: the state, its reason, and telling everybody when it changes."""

import math
from datetime import UTC, datetime, timedelta

import structlog

from virtumancer.contracts import HostState, HostStateChanged
from virtumancer.errors import HostUnavailable
from virtumancer.masking import mask_text
from virtumancer.services.runtime.bus import EventBus

__all__ = ["SessionState"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class SessionState:
    """The state machine's present place; a change is published, and logged once."""

    def __init__(self, host_id: str, bus: EventBus) -> None:
        self._host_id = host_id
        self._bus = bus
        self.state = HostState.STOPPED
        self.reason = "not started yet"
        self.code = ""
        self.since = datetime.now(UTC)
        self.retry_at: datetime | None = None

    def set(self, state: HostState, reason: str, code: str = "") -> None:
        """Go to a state for this reason; `code` is the error behind it, if any."""
        before, reason = self.state, mask_text(reason)
        if (before, self.reason) == (state, reason):
            return
        self.state, self.reason, self.code, self.retry_at = state, reason, code, None
        if before is not state:
            self.since = datetime.now(UTC)
            self._log(before)
        self._bus.publish(HostStateChanged(self._host_id, state, reason))

    def retry_in(self, seconds: float) -> None:
        """Note when the next attempt is due."""
        self.retry_at = datetime.now(UTC) + timedelta(seconds=seconds)

    def unavailable(self) -> HostUnavailable:
        """Say that there is no connection, why, and when to ask again."""
        wait = (self.retry_at - datetime.now(UTC)).total_seconds() if self.retry_at else 1.0
        return HostUnavailable(
            f"host {self._host_id!r} is not connected ({self.state}): {self.reason}",
            retry_after=math.ceil(max(1.0, wait)),
            state=self.state.value,
            cause=self.code,
        )

    def _log(self, before: HostState) -> None:
        """Once when a host is lost, once when it is back."""
        quiet = self.state in (HostState.CONNECTING, HostState.STOPPED)
        report = log.debug if quiet else log.info if self.state is HostState.CONNECTED else log.warning
        report("host " + self.state.value, host=self._host_id, was=before.value, reason=self.reason)
