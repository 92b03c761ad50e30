"""Runs the stats collectors of the plugins: each in a task of its own for every connected host."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import structlog

from virtumancer.contracts import CollectContext, HostConnection, Sample, StatsCollector
from virtumancer.contracts.responses import HostSamples
from virtumancer.errors import VirtumancerError
from virtumancer.plugins.calls.caller import PluginCall, PluginCaller
from virtumancer.plugins.calls.return_types import SAMPLES
from virtumancer.services.hosts.session import HostSession

__all__ = ["StatsCollection"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class StatsCollection:
    """Keeps the latest samples of every collector and host."""

    def __init__(self, collectors: Mapping[str, tuple[str, StatsCollector]], health: PluginCaller) -> None:
        self._collectors = collectors
        self._health = health
        self._latest: dict[str, dict[str, HostSamples]] = {}

    def latest(self, host_id: str) -> tuple[HostSamples, ...]:
        """Return the latest samples of this host, one entry per collector."""
        return tuple(self._latest.get(host_id, {}).values())

    async def watch(self, session: HostSession, connection: HostConnection) -> None:
        """Collect for as long as the host is connected."""
        context = CollectContext(session.host, connection)
        try:
            async with asyncio.TaskGroup() as group:
                for plugin, collector in self._collectors.values():
                    group.create_task(self._collect(plugin, collector, context))
                await asyncio.get_running_loop().create_future()  # also with no collector: until cancelled
        finally:
            self._latest.pop(session.host.id, None)

    async def _collect(self, plugin: str, collector: StatsCollector, context: CollectContext) -> None:
        host_id = context.host.id
        call = PluginCall(plugin, "virtumancer_stats_collectors", collector.name, host_id)
        what = f"collecting {collector.name} on host {host_id!r}"
        while True:
            latest = self._latest.setdefault(host_id, {})
            try:
                samples: Sequence[Sample] = await self._health.call(
                    call, what, lambda: collector.collect(context), collector.interval, SAMPLES
                )
            except VirtumancerError as error:
                before = latest.get(collector.name)
                latest[collector.name] = HostSamples(
                    collector.name,
                    before.observed_at if before else None,
                    before.samples if before else (),
                    error.message,
                )
                log.debug("a collector failed", host=host_id, collector=collector.name, reason=error.message)
            else:
                latest[collector.name] = HostSamples(collector.name, datetime.now(UTC), tuple(samples))
            await asyncio.sleep(collector.interval)
