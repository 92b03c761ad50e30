"""The server's own figures, read from those parts that count them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from virtumancer.contracts import Figure, FigureKind, FigureValue, OperationChanged, OperationState
from virtumancer.measuring import Histogram
from virtumancer.plugins.calls.caller import PluginCaller
from virtumancer.services.hosts.service import HostsService
from virtumancer.services.runtime.bus import Change

__all__ = [
    "FigureSource",
    "Figures",
    "OperationCounts",
    "figures_of_hosts",
    "figures_of_loop",
    "figures_of_plugins",
    "figures_of_queues",
]

FigureSource = Callable[[], Iterable[Figure]]
ENDED = frozenset(
    {OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED, OperationState.INTERRUPTED}
)


class Figures:
    """Reads all sources, in the order in which they were added."""

    def __init__(self) -> None:
        self._sources: list[FigureSource] = []

    def add(self, *sources: FigureSource) -> None:
        """Read these as well."""
        self._sources += sources

    def read(self) -> tuple[Figure, ...]:
        """Return all figures as they are now."""
        return tuple(figure for source in self._sources for figure in source())


class OperationCounts:
    """Counts the operations of this process that ended; listens on the bus."""

    def __init__(self) -> None:
        self._ended: Counter[tuple[str, str]] = Counter()

    def note(self, change: Change) -> None:
        """Count an end."""
        if isinstance(change, OperationChanged) and change.state in ENDED:
            self._ended[change.action, change.state.value] += 1

    def figures(self) -> Iterator[Figure]:
        """Tell how many ended how, since the start."""
        yield Figure(
            name="operations",
            kind=FigureKind.COUNTER,
            description="Operations that ended, by action and how.",
            values=tuple(
                FigureValue({"action": action, "state": state}, count) for (action, state), count in self._ended.items()
            ),
        )


class _TellsLag(Protocol):
    @property
    def lag(self) -> Histogram: ...


def figures_of_loop(watch: _TellsLag) -> FigureSource:
    """Tell how late the event loop is."""

    def source() -> Iterator[Figure]:
        yield Figure(
            name="loop_lag",
            kind=FigureKind.HISTOGRAM,
            unit="seconds",
            description="How long the event loop took to answer, asked some twenty times a second.",
            values=(FigureValue(distribution=watch.lag.read()),),
        )

    return source


def figures_of_hosts(hosts: HostsService) -> FigureSource:
    """Tell the state of each host."""

    def source() -> Iterator[Figure]:
        states = {host_id: hosts.session(host_id).state for host_id in hosts.ids()}
        yield Figure(
            name="host_state",
            kind=FigureKind.GAUGE,
            description="1 for the state that a host is in; the others are not there.",
            values=tuple(FigureValue({"host": host, "state": state.value}, 1) for host, state in states.items()),
        )

    return source


def figures_of_queues(sizes: Callable[[], Mapping[str, int]]) -> FigureSource:
    """Tell how much waits in each queue."""

    def source() -> Iterator[Figure]:
        yield Figure(
            name="queue_length",
            kind=FigureKind.GAUGE,
            description="What waits for its turn in each queue of the server.",
            values=tuple(FigureValue({"queue": name}, size) for name, size in sizes().items()),
        )

    return source


def figures_of_plugins(caller: PluginCaller) -> FigureSource:
    """Tell what plugins were called for."""

    def source() -> Iterator[Figure]:
        infos = caller.infos()
        calls = [
            ({"plugin": info.name, "hook": call.hook, "name": call.name}, call) for info in infos for call in info.calls
        ]
        told = (
            ("plugin_calls", "", "Calls of plugins.", tuple(FigureValue(of, call.calls) for of, call in calls)),
            (
                "plugin_failures",
                "",
                "Calls that raised something unexpected, or did not finish in time.",
                tuple(FigureValue(of, call.failures) for of, call in calls),
            ),
            (
                "plugin_time",
                "seconds",
                "How long the calls took.",
                tuple(FigureValue(of, call.seconds) for of, call in calls),
            ),
            (
                "plugin_blocks",
                "",
                "How often a plugin held up the server for more than 100 ms.",
                tuple(FigureValue({"plugin": info.name}, info.blocks) for info in infos if info.blocks),
            ),
        )
        for name, unit, description, values in told:
            yield Figure(name=name, kind=FigureKind.COUNTER, unit=unit, description=description, values=values)
        states = Counter(info.state.value for info in infos)
        yield Figure(
            name="plugins",
            kind=FigureKind.GAUGE,
            description="Plugins, by state.",
            values=tuple(FigureValue({"state": state}, count) for state, count in states.items()),
        )

    return source
