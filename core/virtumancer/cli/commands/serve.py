"""`virtumancer serve`."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from virtumancer.api_base import API_BASE
from virtumancer.cli.options import ConfigFile
from virtumancer.cli.output import say
from virtumancer.config import Config, config_file, load_config, local_server
from virtumancer.own_build import version_text

__all__ = ["serve"]

# The kernel's limit for the path of a socket.
LONGEST_SOCKET = 107


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
    _serve(settings, config_file(config, os.environ))


def _serve(settings: Config, file: str) -> None:
    # Loading all this takes time, which `--help` should not wait for.
    from virtumancer.app import create_app  # noqa: PLC0415
    from virtumancer.logs import configure_logging  # noqa: PLC0415
    from virtumancer.running import announce, record_of  # noqa: PLC0415
    from virtumancer.server.runner import listen, run, url_of  # noqa: PLC0415

    configure_logging(settings.log)
    listener = listen(settings.server.bind, settings.server.port)
    url = url_of(settings, listener)
    own = announce(record_of(settings, url, settings.server.port, file), os.environ)
    try:
        application = create_app(settings)
        # What is not a terminal is a log, which is kept, and read by others.
        with_link = sys.stdout.isatty()
        run(application, [listener, *own.listeners], _welcome(settings, url, own.path), with_link=with_link)
    except KeyboardInterrupt:
        pass  # a second Ctrl-C, while the first one was being obeyed
    finally:
        listener.close()
        own.close()


def _welcome(settings: Config, url: str, own: Path | None) -> Callable[[str], None]:
    """Say how a browser is signed in, and what to try first: with a host of the configuration, or by adding one."""
    lines = [
        f"Virtumancer {version_text()} serves on {url}",
        *_who_may(settings),
        "Try:",
        f"  {_function(settings, url, own)}",
    ]
    if settings.hosts:
        host = f"/hosts/{settings.hosts[0].id}"
    else:
        host = "/hosts/kvm1"
        lines.append('  api /hosts -d \'{"id":"kvm1","uri":"qemu+ssh://root@kvm1.example.org/system"}\'')
    lines += [f"  api {host}", f"  api {host}/vms", f"  api {host}/vms/NAME/start -X POST"]
    return lambda link: say("\n".join([*lines, *_browser(settings, url, link)]))


def _function(settings: Config, url: str, own: Path | None) -> str:
    """Return a function of the shell that calls the API; curl shows what follows --oauth2-bearer to no other user.

    It goes to the socket: when the server is down, another user's program may listen on its port.
    """
    file = local_server(settings).token_file
    token = f'--oauth2-bearer "$(cat {shlex.quote(str(file))})" ' if file else ""
    if own is None:
        token = token if url.startswith("https:") else ""
        return f'api() {{ curl -s {token}"{url}{API_BASE}$@"; }}'
    socket, folder = str(own), ""
    if len(os.fsencode(socket)) > LONGEST_SOCKET:
        socket, folder = f"/proc/self/fd/3/{own.name}", f" 3< {shlex.quote(str(own.parent))}"
    return f'api() {{ curl -s --unix-socket {shlex.quote(socket)} {token}"http://localhost{API_BASE}$@"{folder}; }}'


def _browser(settings: Config, url: str, link: str) -> list[str]:
    if link:
        return ["Sign a browser in, once and within ten minutes:", f"  {url}{link}"]
    if settings.server.auth == "off" or sys.stdout.isatty():
        return []
    return [f"To sign a browser in, open {url} with the path that this prints: virtumancer api POST /session/links"]


def _who_may(settings: Config) -> list[str]:
    file = local_server(settings).token_file
    if file is None:
        return [
            "WARNING: anybody on this machine, every program and every user, controls all hosts (--auth off).",
            "Without that setting it asks for a token.",
        ]
    return [f"The administrator's token is in {file}"]
