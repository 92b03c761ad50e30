"""The `virtumancer` program: serve, plugins, check-config."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import msgspec
from cyclopts import Parameter

from virtumancer import __version__
from virtumancer.config import Config, describe, load_config
from virtumancer.contracts import PluginInfo, PluginState
from virtumancer.errors import UsageError

__all__ = ["app", "main"]

EXIT_USAGE = 2

ConfigFile = Annotated[
    Path | None,
    Parameter(
        name="--config",
        help="The configuration file; else virtumancer.toml here, in ~/.config/virtumancer or in /etc/virtumancer.",
    ),
]

app = cyclopts.App(
    name="virtumancer",
    help="Manage the libvirt hosts you already have, over SSH, through an API you can trust.",
    version=__version__,
    help_format="plaintext",
    result_action="return_value",
)


def main() -> None:
    """Run the program; a person's mistake is one sentence and exit code 2, never a traceback."""
    try:
        app(exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        _complain(f"{error}\nTry: virtumancer --help")
    except UsageError as error:
        _complain(error.message)
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.command
def serve(
    *,
    config: ConfigFile = None,
    bind: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="TCP port to listen on.")] = None,
    database: Annotated[str | None, Parameter(help="sqlite:///FILE or postgresql://USER@HOST/NAME.")] = None,
    auth: Annotated[str | None, Parameter(help="Who may call: off (only on a loopback address).")] = None,
    tls_cert: Annotated[str | None, Parameter(help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[str | None, Parameter(help="Private key, PEM.")] = None,
    safe_mode: Annotated[bool | None, Parameter(help="Load built-in plugins only.", negative=())] = None,
    log_level: Annotated[str | None, Parameter(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve the API until interrupted."""
    flags = {
        "server.bind": bind,
        "server.port": port,
        "server.auth": auth,
        "server.tls_cert": tls_cert,
        "server.tls_key": tls_key,
        "database.url": database,
        "plugins.safe_mode": safe_mode,
        "log.level": log_level,
    }
    settings = load_config(config, os.environ, {path: value for path, value in flags.items() if value is not None})
    _serve(settings)


@app.command
def plugins(
    *,
    config: ConfigFile = None,
    json: Annotated[bool, Parameter(help="Print JSON.", negative=())] = False,
) -> None:
    """List the plugins: state, what they provide, and why one is not used."""
    # Loading plugins imports all they need, which `--help` should not wait for.
    from virtumancer.plugins import load_configured_plugins  # noqa: PLC0415

    settings = load_config(config, os.environ, {})
    _log_quietly(settings)
    infos = load_configured_plugins(settings.plugins).infos
    if json:
        _say(msgspec.json.format(msgspec.json.encode(infos)).decode())
    else:
        _say(_table(infos))


@app.command
def check_config(*, config: ConfigFile = None) -> None:
    """Check configuration file and environment, and print what is in effect; secrets are masked."""
    _say(describe(load_config(config, os.environ, {})))


def _serve(settings: Config) -> None:
    from virtumancer.app import create_app  # noqa: PLC0415 - as above
    from virtumancer.logs import configure_logging  # noqa: PLC0415
    from virtumancer.server import listen, run, url_of  # noqa: PLC0415

    configure_logging(settings.log)
    listener = listen(settings.server.bind, settings.server.port)
    try:
        application = create_app(settings)
        run(application, listener, _welcome(settings, url_of(settings, listener)))
    except KeyboardInterrupt:
        pass  # a second Ctrl-C, while the first one was being obeyed
    finally:
        listener.close()


def _welcome(settings: Config, url: str) -> Callable[[], None]:
    """Say what to try first: with a host of the configuration, or by adding one."""
    api = f"{url}/api/v1"
    lines = [
        f"Virtumancer {__version__} serves on {url}",
        "Anybody on this machine may use it: there are no accounts yet (--auth off).",
        "Try:",
        f"  curl {api}/health",
        f"  curl {api}/hosts",
    ]
    if settings.hosts:
        host = f"{api}/hosts/{settings.hosts[0].id}"
    else:
        host = f"{api}/hosts/kvm1"
        uri = "qemu+ssh://root@kvm1.example.org/system"
        lines.append(f'  curl -X POST {api}/hosts -d \'{{"id":"kvm1","uri":"{uri}"}}\'')
    lines += [f"  curl {host}", f"  curl {host}/vms", f"  curl -X POST {host}/vms/NAME/start"]
    return lambda: _say("\n".join(lines))


def _log_quietly(settings: Config) -> None:
    from virtumancer.logs import configure_logging  # noqa: PLC0415 - as above

    configure_logging(msgspec.structs.replace(settings.log, level="error"))


def _table(infos: tuple[PluginInfo, ...]) -> str:
    rows = [("NAME", "STATE", "VERSION", "PROVIDES")]
    rows += [(info.name, info.state.value, info.version or "-", _provides(info)) for info in infos]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def _provides(info: PluginInfo) -> str:
    if info.state is not PluginState.ACTIVE:
        return f"({info.phase}: {info.reason})" if info.phase else f"({info.reason})"
    parts: dict[str, Any] = {
        "drivers": info.drivers,
        "actions": info.actions,
        "collectors": info.collectors,
        "consoles": info.consoles,
    }
    return "; ".join(f"{kind} {', '.join(names)}" for kind, names in parts.items() if names) or "nothing"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"virtumancer: {text}\n")
    raise SystemExit(EXIT_USAGE)
