"""The `virtumancer` program: its commands, and how it starts."""

import os
import sys

import cyclopts

from virtumancer.cli.exit_codes import Exit, end_with
from virtumancer.cli.output import complain
from virtumancer.errors import VirtumancerError
from virtumancer.own_build import version_text

__all__ = ["app", "main"]

# By name, so that no command waits for what another one imports.
GROUPS = {
    "hosts": "The hypervisor hosts: add, look at, connect, remove.",
    "vms": "The virtual machines: list, look at, and act on them. A VM is NAME, HOST/NAME or a UUID.",
    "operations": "Operations: what was begun, how far it is, and an end to it.",
}
COMMANDS = {
    "api": "api:api",
    "audit": "audit:app",
    "check-config": "check_config:check_config",
    "console": "console:console",
    "dev": "dev:dev",
    "events": "events:events",
    "me": "access:me",
    "openapi": "api:openapi",
    "plugin": "plugin:app",
    "plugins": "plugins:plugins",
    "resources": "resources:resources",
    "serve": "serve:serve",
    "tokens": "access:tokens",
    "users": "access:users",
}


def _program() -> cyclopts.App:
    program = cyclopts.App(
        name="virtumancer",
        help="Manage the libvirt hosts you already have, over SSH, through an API you can trust.",
        version=version_text,
        help_format="plaintext",
        result_action="return_value",
    )
    for name, text in GROUPS.items():
        program.command(f"virtumancer.cli.commands.{name}:app", name=name, help=text)
    for name, place in COMMANDS.items():
        program.command(f"virtumancer.cli.commands.{place}", name=name)
    program.register_install_completion_command(name="--install-completion")
    return program


app = _program()


def _which(words: list[str]) -> cyclopts.App:
    """Return the program, or for a word that is none of its commands what uses the resources of plugins."""
    if not words or words[0].startswith("-") or words[0] in {*GROUPS, *COMMANDS}:
        return app
    from virtumancer.cli.commands import resources  # noqa: PLC0415 - no other command should wait for it

    return resources.app


def main() -> None:
    """Run the program; what goes wrong is a sentence and an exit code, never a traceback for a mistake."""
    try:
        _which(sys.argv[1:])(exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        complain(f"{error}\nTry: virtumancer --help")
    except VirtumancerError as error:
        end_with(error)
    except KeyboardInterrupt:
        raise SystemExit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
