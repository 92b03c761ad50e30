"""Says how much more is promised to the VMs of a host than the host has: as samples, as a route, and on a page."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from virtumancer import hookimpl
from virtumancer.contracts import PluginConfig, Route, RouteRequest, StaticFiles, StatsCollector
from virtumancer.errors import VirtumancerError
from virtumancer_overcommit.collector import OvercommitCollector
from virtumancer_overcommit.promises import Promises, promises_of

REQUIRES_CONTRACTS = ">=1.1,<2"

PATIENCE = 5.0
"""Seconds that one host may take; the answer about the others does not wait longer for it."""


class OvercommitConfig(PluginConfig, frozen=True):
    """The table `[plugins.overcommit]`."""

    limit: Annotated[
        float, Meta(gt=0, le=100, description="Promised vCPUs for each CPU from which a host is full.")
    ] = 4.0


@hookimpl
def virtumancer_config() -> type[PluginConfig]:
    """Read the limit."""
    return OvercommitConfig


@hookimpl
def virtumancer_stats_collectors(config: OvercommitConfig) -> Sequence[StatsCollector]:
    """Collect the promises of every host."""
    return [OvercommitCollector(config.limit)]


@hookimpl
def virtumancer_routes(config: OvercommitConfig) -> Sequence[Route | StaticFiles]:
    """Answer the promises of all hosts at once, and show them on a page."""

    async def promises(request: RouteRequest, host_id: str) -> Promises:
        try:
            async with asyncio.timeout(PATIENCE):
                return await promises_of(host_id, request.hosts.connection(host_id), config.limit)
        except VirtumancerError as error:
            return Promises(host_id, reason=error.message)
        except TimeoutError:
            return Promises(host_id, reason=f"the host did not answer within {PATIENCE:g} s")

    async def hosts(request: RouteRequest) -> list[Promises]:
        return await asyncio.gather(*(promises(request, host_id) for host_id in request.hosts.ids()))

    return [
        Route(
            method="GET",
            path="hosts",
            summary="List what each host has promised to its VMs.",
            handle=hosts,
            answer=list[Promises],
        ),
        StaticFiles("page", Path(__file__).parent / "page"),
    ]
