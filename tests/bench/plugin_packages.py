"""Installed plugins that are generated: many good ones, and some that hang wherever a plugin can."""

import os
from collections.abc import Mapping
from pathlib import Path

GOOD = """
from virtumancer import hookimpl
from virtumancer.contracts import EventListener, Route, Sample, StatsCollector, VMAction

REQUIRES_CONTRACTS = ">=1.1,<2"


async def run(context, vm, params):
    pass


async def handle(request):
    return {{"number": {number}}}


class Collector(StatsCollector):
    name = "bench-{number}"
    interval = 60.0

    async def collect(self, context):
        return [Sample(name="number", value={number}.0)]


class Listener(EventListener):
    name = "bench-{number}"

    async def on_event(self, event):
        pass


@hookimpl
def virtumancer_vm_actions():
    return [VMAction(name="bench-{number}", title="Bench", description="Does nothing.", run=run)]


@hookimpl
def virtumancer_stats_collectors():
    return [Collector]


@hookimpl
def virtumancer_event_listeners():
    return [Listener]


@hookimpl
def virtumancer_routes():
    return [Route(method="GET", path="number", summary="A number", handle=handle, answer=dict)]
"""

HANGS_AT_IMPORT = """
import time

time.sleep(3600)
"""

HANGS_AT_START = """
import time

from virtumancer import hookimpl


@hookimpl
def virtumancer_vm_actions():
    time.sleep(3600)
"""

HANGS_IN_CALLS = """
import asyncio

from virtumancer import hookimpl
from virtumancer.contracts import Route, StatsCollector, VMAction


async def hang(*_arguments):
    await asyncio.Event().wait()


class Collector(StatsCollector):
    name = "hanging"
    interval = 0.2

    async def collect(self, context):
        await hang()


@hookimpl
def virtumancer_vm_actions():
    return [VMAction(name="hang", title="Hang", description="Never returns.", run=hang, timeout=2.0)]


@hookimpl
def virtumancer_stats_collectors():
    return [Collector]


@hookimpl
def virtumancer_routes():
    return [Route(method="GET", path="hang", summary="Hangs", handle=hang, answer=dict, timeout=2.0)]
"""

SWALLOWS = """
import asyncio
import threading
import time

from virtumancer import hookimpl
from virtumancer.contracts import EventListener, Route, StatsCollector, VMAction


async def swallow(*_arguments):
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass


async def block(*_arguments):
    time.sleep(1.5)


async def stray(*_arguments):
    stray.task = asyncio.create_task(swallow(), name="strays")
    threading.Thread(target=time.sleep, args=(3600,), name="sleeper").start()


class Collector(StatsCollector):
    name = "swallowing"
    interval = 1.0

    async def collect(self, context):
        await swallow()


class Listener(EventListener):
    name = "swallowing"
    timeout = 1.0

    async def on_event(self, event):
        await swallow()


@hookimpl
def virtumancer_vm_actions():
    return [
        VMAction(name="swallow", title="Swallow", description="Swallows its end.", run=swallow, timeout=1.0),
        VMAction(name="block", title="Block", description="Blocks the loop.", run=block, timeout=1.0),
        VMAction(name="stray", title="Stray", description="Leaves a task and a thread.", run=stray),
    ]


@hookimpl
def virtumancer_stats_collectors():
    return [Collector]


@hookimpl
def virtumancer_event_listeners():
    return [Listener]


@hookimpl
def virtumancer_routes():
    return [Route(method="GET", path="swallow", summary="Swallows", handle=swallow, answer=dict, timeout=1.0)]
"""

HANGING: Mapping[str, str] = {
    "hangs-at-import": HANGS_AT_IMPORT,
    "hangs-at-start": HANGS_AT_START,
    "hangs-in-calls": HANGS_IN_CALLS,
}
SWALLOWING: Mapping[str, str] = {"swallows": SWALLOWS}


def install(folder: Path, plugins: Mapping[str, str]) -> dict[str, str]:
    """Put these modules, each a distribution of its own, where the returned environment finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in plugins.items():
        module = name.replace("-", "_")
        (folder / f"{module}.py").write_text(source)
        information = folder / f"{module}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[virtumancer.plugins]\n{name} = {module}\n")
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def good(count: int) -> dict[str, str]:
    """Return this many good plugins."""
    return {f"bench-{number}": GOOD.format(number=number) for number in range(count)}
