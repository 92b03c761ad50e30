"""`virtumancer dev`: a server for the author of a plugin, which starts again when the source changes."""

import asyncio
import importlib.util
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from virtumancer.cli.output import complain, say

__all__ = ["dev"]


def dev(
    package: Annotated[str, Parameter(help="Folder of the plugin's package, or the name of one that is installed.")],
    /,
    *,
    port: Annotated[int, Parameter(help="TCP port to listen on, on the loopback address; 0 for a free one.")] = 0,
    config: Annotated[
        Path | None, Parameter(help="Configuration file, for the plugin's own table or hosts; none is read otherwise.")
    ] = None,
    log_level: Annotated[str, Parameter(help="debug, info, warning or error.")] = "warning",
) -> None:
    """Serve with a plugin under work and hosts in memory, and start again whenever its source changes.

    The hosts dev1 and dev2 have VMs in every power state, disks, NICs, consoles that echo, and something that happens
    now and then. Everything is kept in a folder of its own, which is deleted at the end. A plugin that fails is told
    with file and line, as is what it raises in calls, and the next change is waited for. Needs virtumancer[testing].
    """
    if importlib.util.find_spec("watchfiles") is None:
        complain("the module watchfiles is missing; install what this needs: pip install 'virtumancer[testing]'")
    # Not before: `--help` should not wait for it.
    from virtumancer.development import Supervisor, find_target  # noqa: PLC0415
    from virtumancer.server.runner import listen  # noqa: PLC0415

    target = find_target(package)
    options = ["--log-level", log_level, *(("--config", str(config.resolve())) if config else ())]
    with listen("127.0.0.1", port) as listener:
        asyncio.run(Supervisor(target, listener, options, say).run())
