"""A plugin with mistakes, one on each line that says so; a type checker has to find these and no other."""

from collections.abc import Sequence

from virtumancer.contracts import CollectContext, Host, HostInfo, Sample, StatsCollector, VMAction, VMState


class Collector(StatsCollector):
    """Counts what cannot be counted."""

    name = 7  # wrong

    async def collect(self, context: CollectContext) -> Sequence[Sample]:
        return [Sample(name="vms", value="many")]  # wrong


def read(info: HostInfo) -> str:
    """Return a number as a text."""
    return info.cpu  # wrong


def rename(host: Host) -> None:
    """Change what is frozen."""
    host.id = "other"  # wrong


async def without_arguments() -> None:
    """Does not take what actions are given."""


ACTION = VMAction(name="x", title="X", description="X.", run=without_arguments)  # wrong
STATE = VMState.SLEEPING  # wrong
