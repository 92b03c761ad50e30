"""Tells that a host shows another key than the trusted one: as an event and on record, once for each such key."""

import structlog

from virtumancer.contracts import HostKeyRefused
from virtumancer.errors import HostKeyChanged, StoreUnavailable
from virtumancer.services.audit.log import AuditedAction, AuditLog
from virtumancer.services.runtime.bus import EventBus

__all__ = ["HostKeyChangeAlert"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

ACT = "refuse a changed host key"


class HostKeyChangeAlert:
    """Remembers which change of a key was told already, so that each attempt to connect is not told again."""

    def __init__(self, audit: AuditLog, bus: EventBus) -> None:
        self._audit = audit
        self._bus = bus
        self._told: dict[str, HostKeyRefused] = {}

    async def raise_for(self, host_id: str, error: HostKeyChanged) -> None:
        """Tell of a refusal unless it was the last one told of this host; never fails."""
        news = _news(host_id, error)
        if self._told.get(host_id) == news:
            return
        self._told[host_id] = news
        self._bus.publish(news)
        target = {"host": host_id, "address": news.address, "shown": news.shown, "trusted": " ".join(news.trusted)}
        try:
            async with self._audit.recorded(AuditedAction(actor="the server", address="", what=ACT, target=target)):
                raise error
        except StoreUnavailable as failure:
            # The connection is refused whether or not this can be written down; the next attempt tries to again.
            self._told.pop(host_id, None)
            log.warning("a changed host key could not be put on record", host=host_id, reason=failure.message)
        except HostKeyChanged:
            return  # the outcome of the act, now on record

    def clear(self, host_id: str) -> None:
        """Take note that a host was connected, so that the next change is news."""
        self._told.pop(host_id, None)


def _news(host_id: str, error: HostKeyChanged) -> HostKeyRefused:
    shown: dict[str, str] = error.extra.get("host_key", {})
    trusted: list[dict[str, str]] = error.extra.get("trusted_host_keys", [])
    return HostKeyRefused(
        host_id=host_id,
        address=shown.get("address", ""),
        shown=shown.get("fingerprint", ""),
        trusted=tuple(key["fingerprint"] for key in trusted),
        reason=error.message,
    )
