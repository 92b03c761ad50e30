"""Stats collectors: numbers about a host, collected at an interval of their own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from msgspec import Struct, field

from virtumancer.contracts.drivers import HostConnection
from virtumancer.contracts.models import Host

__all__ = ["CollectContext", "Sample", "StatsCollector"]


class CollectContext(Struct, frozen=True):
    """The connected host that a collector looks at."""

    host: Host
    connection: HostConnection


class Sample(Struct, frozen=True):
    """One number: a name as `disk_errors`, its unit, and labels such as the VM's UUID."""

    name: str
    value: float
    unit: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


class StatsCollector(ABC):
    """Collects samples from each connected host; created once, without arguments, at start-up."""

    name: ClassVar[str]
    interval: ClassVar[float] = 10.0
    """Seconds between two collections of one host, and the deadline of each."""

    @abstractmethod
    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        """Return the current samples of this host; what it raises stops nobody else."""
