"""The collector: two ratios, and whether they are too high."""

from collections.abc import Sequence

from virtumancer.contracts import CollectContext, Sample, StatsCollector
from virtumancer_overcommit.promises import promises_of


class OvercommitCollector(StatsCollector):
    """Looks twice a minute; a ratio of 1 means that exactly what the host has is promised."""

    name = "overcommit"
    interval = 30.0

    def __init__(self, limit: float) -> None:
        self._limit = limit

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        """Compare what is promised with what is there."""
        promises = await promises_of(context.host.id, context.connection, self._limit)
        return [
            Sample("overcommit_cpu", promises.promised_cpus / max(1, promises.cpus), unit="ratio"),
            Sample("overcommit_memory", promises.promised_memory / max(1, promises.memory), unit="ratio"),
            Sample("overcommit_full", float(promises.full)),
        ]
