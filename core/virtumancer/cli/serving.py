"""`virtumancer serve`."""

import os
import shlex
from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from virtumancer import __version__
from virtumancer.cli.options import ConfigFile
from virtumancer.cli.output import say
from virtumancer.config import Config, load_config, local_server

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


def _welcome(settings: Config, url: str) -> Callable[[str], None]:
    """Say how a browser is signed in, and what to try first: with a host of the configuration, or by adding one."""
    lines = [f"Virtumancer {__version__} serves on {url}", *_who_may(settings), "Try:", f"  {_function(settings, url)}"]
    if settings.hosts:
        host = f"/hosts/{settings.hosts[0].id}"
    else:
        host = "/hosts/kvm1"
        lines.append('  api /hosts -d \'{"id":"kvm1","uri":"qemu+ssh://root@kvm1.example.org/system"}\'')
    lines += [f"  api {host}", f"  api {host}/vms", f"  api {host}/vms/NAME/start -X POST"]
    return lambda link: say("\n".join([*lines, *_browser(url, link)]))


def _function(settings: Config, url: str) -> str:
    """Return a function of the shell that calls the API; curl shows what follows --oauth2-bearer to no other user."""
    file = local_server(settings).token_file
    token = f'--oauth2-bearer "$(cat {shlex.quote(str(file))})" ' if file else ""
    return f'api() {{ curl -s {token}"{url}/api/v1$@"; }}'


def _browser(url: str, link: str) -> list[str]:
    return ["Sign a browser in, once and within ten minutes:", f"  {url}{link}"] if link else []


def _who_may(settings: Config) -> list[str]:
    file = local_server(settings).token_file
    if file is None:
        return [
            "WARNING: anybody on this machine, every program and every user, controls all hosts (--auth off).",
            "Without that setting it asks for a token.",
        ]
    return [f"The administrator's token is in {file}"]
