"""One server with the plugin under work and hosts in memory; `virtumancer dev` starts it as a program of its own."""

import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from msgspec import structs

from virtumancer.api_base import API_BASE
from virtumancer.app import create_app, reserved_names
from virtumancer.cli.commands.plugins import provides
from virtumancer.config import Config, load_config, local_server
from virtumancer.config.tables.config import DeclaredHost
from virtumancer.contracts import PluginInfo, PluginState
from virtumancer.errors import VirtumancerError
from virtumancer.logs import configure_logging
from virtumancer.plugins import Plugins, load_plugins
from virtumancer.plugins.error_places import show_places
from virtumancer.server.runner import run, url_of
from virtumancer.testing.rich_hypervisor import rich_hypervisor, rich_plugin

__all__ = ["main"]

FAKE = "virtumancer-fake"
HOST = "dev1"
OTHER_HOST = "dev2"


def main(
    name: str,
    descriptor: int,
    folder: Path,
    *,
    config: Annotated[Path | None, Parameter()] = None,
    log_level: str = "warning",
    again: bool = False,
) -> None:
    """Serve on the socket that was handed over until SIGTERM, or until whoever started this is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    show_places()
    listener = socket.socket(fileno=descriptor)
    try:
        settings = _settings(folder, config, listener, log_level)
        configure_logging(settings.log)
        plugins = _plugins(settings, name)
    except VirtumancerError as error:
        _say(f"virtumancer: {error}")
        raise SystemExit(2) from error
    info = next((info for info in plugins.infos if info.name == name), None)
    url = url_of(settings, listener)
    text = "\n".join([_told(name, info), *([f"Serving on {url}"] if again else _welcome(settings, url))])
    run(
        create_app(settings, plugins),
        [listener],
        lambda link: _say(f"{text}\n  {url}{link}" if link else text),
        with_link=sys.stdout.isatty() and not again,
    )


def _settings(folder: Path, config: Path | None, listener: socket.socket, log_level: str) -> Config:
    """Take the author's configuration if one is named, and nothing else that is on this machine."""
    if config is None:
        config = folder / "virtumancer.toml"
        config.touch()
    others = {name: value for name, value in os.environ.items() if not name.startswith("VIRTUMANCER_")}
    bind, port = listener.getsockname()[:2]
    flags = {
        "server.bind": bind,
        "server.port": port,
        "server.shutdown_timeout": 1.0,
        "database.url": f"sqlite://{folder}/virtumancer.db",
        "log.level": log_level,
    }
    settings = load_config(config, others, flags)
    ours = tuple(DeclaredHost(id=host, uri=f"fake://{host}") for host in (HOST, OTHER_HOST))
    return structs.replace(settings, hosts=(*settings.hosts, *ours))


def _plugins(settings: Config, name: str) -> Plugins:
    """Load what is installed, and the hosts; their VMs have terminals, and consoles of the kinds of this plugin."""
    hypervisors = [rich_hypervisor(host) for host in (HOST, OTHER_HOST)]
    plugins = load_plugins(
        settings.plugins.disabled,
        extra={FAKE: rich_plugin(*hypervisors)},
        tables=settings.plugins.tables,
        load_timeout=settings.plugins.load_timeout,
        reserved=reserved_names(),
    )
    kinds = [transport.kind for owner, transport in plugins.consoles.values() if owner == name]
    for hypervisor in hypervisors:
        offers: Mapping[str, Any] = rich_hypervisor(hypervisor.name, kinds).consoles
        hypervisor.consoles.update(offers)
    return plugins


def _told(name: str, info: PluginInfo | None) -> str:
    if info is None:
        return f"Plugin {name} was not found."
    if info.state is PluginState.ACTIVE:
        return f"Plugin {name} is active: {provides(info)}."
    return f"Plugin {name} is {info.state.value} ({info.phase}): {info.reason}"


def _welcome(settings: Config, url: str) -> list[str]:
    file = shlex.quote(str(local_server(settings).token_file))
    return [
        f"Serving on {url}, with the hosts {HOST} and {OTHER_HOST} in memory. Ctrl-C ends it.",
        f"The administrator's token is in {file}",
        "Try:",
        f'  api() {{ curl -s --oauth2-bearer "$(cat {file})" "{url}{API_BASE}$@"; }}',
        f"  api /plugins; api /hosts/{HOST}/vms; api /openapi.json; api /events",
        f'  export VIRTUMANCER_URL={url} VIRTUMANCER_TOKEN="$(cat {file})"; virtumancer vms list',
        f"  {url}{API_BASE}/docs/",
    ]


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    cyclopts.run(main)
