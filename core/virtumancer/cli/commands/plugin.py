"""`virtumancer plugin`: for authors of plugins, a package to begin with and the suites to pass."""

import asyncio
import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import Parameter

from virtumancer.cli.commands.plugin_new import HELP, new
from virtumancer.cli.commands.plugin_tables import drop_tables
from virtumancer.cli.credentials import Credentials, read_credentials
from virtumancer.cli.named_json import read_named, write_file
from virtumancer.cli.options import ConfigFile, JSONOutput
from virtumancer.cli.output import complain, log_quietly, say, table
from virtumancer.cli.tables import say_json
from virtumancer.config import load_config
from virtumancer.contracts import PluginState, Secret

if TYPE_CHECKING:
    from virtumancer.plugins import Plugins
    from virtumancer.testing.checking import Checked
    from virtumancer.testing.subjects import Subject

__all__ = ["app"]

EXIT_FAILED = 1
TAKE_BODIES = ("action", "host action", "resource")

app = cyclopts.App(name="plugin", help="Begin a plugin, and hold one against the contracts.")
app.command(new, help=HELP)
app.command(drop_tables)


@app.command
def check(
    name: Annotated[str, Parameter(help="Name of an installed plugin.")],
    /,
    *,
    uri: Annotated[str | None, Parameter(help="URI of a host to test a driver on.")] = None,
    running: Annotated[str | None, Parameter(help="A VM of that host that runs, and stays as it is.")] = None,
    stopped: Annotated[str | None, Parameter(help="A VM of that host that is started, and forced off again.")] = None,
    credential: Credentials = (),
    body: Annotated[
        tuple[str, ...],
        Parameter(
            help="NAME=JSON or NAME=@FILE: the body of a request to an action, or one that makes an item of a "
            "resource. Can be given several times.",
            negative=(),
            show_default=False,
        ),
    ] = (),
    console: Annotated[
        tuple[str, ...],
        Parameter(
            help="KIND=JSON or KIND=@FILE: what is said on consoles. Can be given several times.",
            negative=(),
            show_default=False,
        ),
    ] = (),
    junit: Annotated[Path | None, Parameter(help="Write the results to this file, as JUnit XML.")] = None,
    json: JSONOutput = False,
    config: ConfigFile = None,
) -> None:
    """Run the suites of the contract against everything that a plugin provides, and print what it supports.

    What needs a host is tested on a hypervisor in memory, drivers on the host of --uri. The exit code is 1 when a
    sentence of a suite is not true, and when nothing could be tested.
    """
    from virtumancer.http.routes import reserved_names  # noqa: PLC0415
    from virtumancer.plugins import load_configured_plugins  # noqa: PLC0415 - `--help` should not wait for it

    settings = load_config(config, os.environ, {})
    log_quietly(settings)
    subjects = _subjects(name, load_configured_plugins(settings.plugins, reserved_names()))
    try:
        from virtumancer.testing.checking import Reach, check  # noqa: PLC0415
        from virtumancer.testing.console_scripts import ConsoleScript  # noqa: PLC0415
        from virtumancer.testing.junit import junit as written  # noqa: PLC0415
    except ModuleNotFoundError as error:
        complain(f"the module {error.name} is missing; install what this needs: pip install 'virtumancer[testing]'")
    given = asyncio.run(read_credentials(credential))
    secrets = {name: Secret(value, "--credential") for name, value in given.items()}
    bodies = read_named("--body", body, dict[str, Any])
    consoles = read_named("--console", console, ConsoleScript)
    _require("--body", bodies, {subject.name for subject in subjects if subject.kind in TAKE_BODIES})
    reach = Reach(uri, running, stopped, bodies, consoles, settings.plugins.tables.get(name, {}), secrets)
    results = [check(subject, reach) for subject in subjects]
    if junit is not None:
        write_file("--junit", junit, written(name, results))
    if json:
        say_json(results)
    else:
        say(_report(results))
    if any(result.failures for result in results):
        sys.stderr.write(f"virtumancer: plugin {name} does not keep the contract\n")
        raise SystemExit(EXIT_FAILED)
    if not any(result.passed for result in results):
        sys.stderr.write(f"virtumancer: nothing of plugin {name} could be tested; the table says what is missing\n")
        raise SystemExit(EXIT_FAILED)


def _require(option: str, given: "dict[str, Any]", there: set[str]) -> None:
    for name in given.keys() - there:
        known = f"it has {', '.join(sorted(there))}" if there else "it has none"
        complain(f"{option}: the plugin has no action or resource {name!r}; {known}")


def _subjects(name: str, plugins: "Plugins") -> "list[Subject]":
    """List what the plugin provides; a name that nobody has, or that is not in use, ends the program."""
    from virtumancer.testing.subjects import subjects_of  # noqa: PLC0415 - as above

    known = {info.name: info for info in reversed(plugins.infos)}  # of one name, the first is the one that is used
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        complain(f"no plugin is named {name!r}" + (f"; did you mean {close[0]}?" if close else ""))
    info = known[name]
    if info.state is not PluginState.ACTIVE:
        complain(f"plugin {name} is {info.state.value}: {info.reason}")
    found = subjects_of(name, plugins)
    if not found:
        complain(f"plugin {name} provides nothing that there is a suite for")
    return found


def _report(results: "list[Checked]") -> str:
    rows: list[tuple[str, ...]] = [("KIND", "NAME", "PASSED", "SKIPPED", "FAILED", "ABILITIES")]
    rows += [
        (r.kind, r.name, str(r.passed), str(r.skipped), str(len(r.failures)), r.note or _abilities(r)) for r in results
    ]
    parts = [table(rows)]
    for result in results:
        for why, count in result.untested.items():
            lost = "".join(f"\n  {o.sentence}" for o in result.sentences if o.outcome == "skipped" and o.reason == why)
            parts.append(f"\n{result.kind} {result.name}: {count} not tested: {why}{lost}")
        parts += [f"\n{result.kind} {result.name}: {f.sentence}\n  {f.reason}" for f in result.failures]
    return "\n".join(parts)


def _abilities(result: "Checked") -> str:
    if result.abilities is None:
        return "-"
    return ", ".join(f"{name} {'yes' if has else 'no'}" for name, has in result.abilities.items())
