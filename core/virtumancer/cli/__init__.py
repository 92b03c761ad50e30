"""The `virtumancer` program: its commands, and how it starts."""

import errno
import os
import sys

import cyclopts

from virtumancer.cli.exit_codes import Exit, end_with
from virtumancer.cli.output import complain
from virtumancer.errors import VirtumancerError
from virtumancer.own_build import version_text

__all__ = ["app", "main"]

# A full disk or a terminal that is gone, where our output goes.
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
# By name, so that no command waits for what another one imports.
GROUPS = {
    "hosts": "The hypervisor hosts: add, look at, connect, remove.",
    "vms": "The virtual machines: list, look at, and act on them. A VM is NAME, HOST/NAME or a UUID.",
    "operations": "Operations: what was begun, how far it is, and an end to it.",
}
COMMANDS = {
    "api": ("api:api", "Send a request to the API, as to the route of a plugin, and print the JSON that it answers."),
    "audit": ("audit:app", "Read the log of all changes, and check that it is whole."),
    "check-config": (
        "check_config:check_config",
        "Check configuration file, environment and plugins, and print what is in effect; secrets are masked.",
    ),
    "console": ("console:console", "Open the serial console of a VM in this terminal; Ctrl-] ends it."),
    "dev": (
        "dev:dev",
        "Serve with a plugin under work and hosts in memory, and start again whenever its source changes.",
    ),
    "events": (
        "events:events",
        "Print events: those that are kept, or with --follow what happens; --json prints one object a line.",
    ),
    "me": ("access:me", "Say who the server takes you for, and what you may do."),
    "openapi": ("api:openapi", "Print the OpenAPI document of the server, with its plugins' actions and routes."),
    "plugin": ("plugin:app", "Begin a plugin, and hold one against the contracts."),
    "plugins": ("plugins:plugins", "List the plugins: state, what they provide, and why one is not used."),
    "resources": (
        "resources:resources",
        "List the types of resources that plugins add; each is a command, as `virtumancer snapshots list`.",
    ),
    "serve": ("serve:serve", "Serve the API until interrupted."),
    "tokens": ("access:tokens", "API tokens: list, make, withdraw."),
    "users": ("access:users", "Users, who sign in to the web page with a password: list, make, remove."),
}


def _program(*, told: bool = False) -> cyclopts.App:
    """Make the program; with `told` it says what each command does, which hides the longer text of the command."""
    program = cyclopts.App(
        name="virtumancer",
        help="Manage the libvirt hosts you already have, over SSH, through an API you can trust.",
        version=version_text,
        help_format="plaintext",
        result_action="return_value",
    )
    for name, text in GROUPS.items():
        program.command(f"virtumancer.cli.commands.{name}:app", name=name, help=text)
    for name, (place, text) in COMMANDS.items():
        program.command(f"virtumancer.cli.commands.{place}", name=name, help=text if told else None)
    program.register_install_completion_command(name="--install-completion")
    return program


app = _program()


def _which(words: list[str]) -> cyclopts.App:
    """Return the program, or for a word that is none of its commands what uses the resources of plugins."""
    if not words or words[0].startswith("-"):
        return _program(told=True)
    if words[0] in {*GROUPS, *COMMANDS}:
        return app
    from virtumancer.cli.commands import resources  # noqa: PLC0415 - no other command should wait for it

    return resources.app


def main() -> None:
    """Run the program; what goes wrong is a sentence and an exit code, never a traceback for a mistake."""
    _have_outputs()
    try:
        _which(sys.argv[1:])(exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        complain(f"{error}\nTry: virtumancer --help")
    except VirtumancerError as error:
        end_with(error)
    except KeyboardInterrupt:
        raise SystemExit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        _drop_output()
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _drop_output()
        sys.stderr.write(f"virtumancer: what there is to say cannot be written: {error.strerror}\n")
        raise SystemExit(Exit.FAILED) from None


def _have_outputs() -> None:
    """Open what we were started without: its number would be given to the next file, and what is said written there."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115, PTH123


def _drop_output() -> None:
    """Keep the interpreter from complaining while it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
