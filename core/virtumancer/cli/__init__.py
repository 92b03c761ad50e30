"""The `virtumancer` program: its commands, and how it starts."""

import os
import sys

import cyclopts

from virtumancer import __version__
from virtumancer.cli import audit, plugin
from virtumancer.cli.checking import check_config
from virtumancer.cli.output import complain
from virtumancer.cli.plugins import plugins
from virtumancer.cli.serving import serve
from virtumancer.errors import UsageError

__all__ = ["app", "main"]

app = cyclopts.App(
    name="virtumancer",
    help="Manage the libvirt hosts you already have, over SSH, through an API you can trust.",
    version=__version__,
    help_format="plaintext",
    result_action="return_value",
)
app.command(serve)
app.command(plugins)
app.command(check_config)
app.command(audit.app)
app.command(plugin.app)


def main() -> None:
    """Run the program; a person's mistake is one sentence and exit code 2, never a traceback."""
    try:
        app(exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        complain(f"{error}\nTry: virtumancer --help")
    except UsageError as error:
        complain(error.message)
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
