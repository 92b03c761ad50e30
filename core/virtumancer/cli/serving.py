"""`virtumancer serve`."""

import os
import shlex
from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from virtumancer import __version__
from virtumancer.cli.options import ConfigFile
from virtumancer.cli.output import say
from virtumancer.config import Config, load_config

__all__ = ["serve"]


def serve(
    *,
    config: ConfigFile = None,
    bind: Annotated[str | None, Parameter(help="Address to listen on.")] = None,
    port: Annotated[int | None, Parameter(help="TCP port to listen on.")] = None,
    database: Annotated[str | None, Parameter(help="sqlite:///FILE or postgresql://USER@HOST/NAME.")] = None,
    auth: Annotated[str | None, Parameter(help="Who may call: token, or off (only on a loopback address).")] = None,
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


def _serve(settings: Config) -> None:
    # Loading all this takes time, which `--help` should not wait for.
    from virtumancer.app import create_app  # noqa: PLC0415
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
    curl = "curl" if settings.server.auth == "off" else 'curl -H "Authorization: Bearer $TOKEN"'
    lines = [
        f"Virtumancer {__version__} serves on {url}",
        *_who_may(settings),
        "Try:",
        f"  curl {api}/health",
        f"  {curl} {api}/hosts",
    ]
    if settings.hosts:
        host = f"{api}/hosts/{settings.hosts[0].id}"
    else:
        host = f"{api}/hosts/kvm1"
        uri = "qemu+ssh://root@kvm1.example.org/system"
        lines.append(f'  {curl} -X POST {api}/hosts -d \'{{"id":"kvm1","uri":"{uri}"}}\'')
    lines += [f"  {curl} {host}", f"  {curl} {host}/vms", f"  {curl} -X POST {host}/vms/NAME/start"]
    return lambda: say("\n".join(lines))


def _who_may(settings: Config) -> list[str]:
    if settings.server.auth == "off":
        return ["Anybody on this machine may use it (--auth off); with --auth token it asks for a token."]
    from virtumancer.services.access import admin_token_file  # noqa: PLC0415 - `--help` should not wait for it

    file = admin_token_file(settings)
    return [f"The administrator's token is in {file}:", f"  TOKEN=$(cat {shlex.quote(str(file))})"]
