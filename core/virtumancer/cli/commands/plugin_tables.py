"""`virtumancer plugin drop-tables`: takes the tables of a plugin out of the database, when that is asked for."""

import asyncio
import os
import sys
from typing import Annotated

from cyclopts import Parameter

from virtumancer.cli.options import ConfigFile
from virtumancer.cli.output import complain, log_quietly, say
from virtumancer.config import Config, load_config
from virtumancer.errors import UsageError
from virtumancer.running import database_of

__all__ = ["drop_tables"]

SILENCE = 60.0
"""After so many seconds without a word a server is taken for gone."""


def drop_tables(
    name: Annotated[str, Parameter(help="Name of the plugin; it need not be installed any more.")],
    /,
    *,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask.")] = False,
    config: ConfigFile = None,
) -> None:
    """Delete the tables of a plugin from the database, with all that is in them. The server must not run.

    Nothing else deletes them: they stay when a plugin is taken away, and are there again when it comes back.
    """
    settings = load_config(config, os.environ, {})
    log_quietly(settings)
    if not yes:
        _confirm(f"Delete the tables of plugin {name} from the {database_of(settings)}, with all that is in them?")
    dropped = asyncio.run(_dropped(settings, name))
    say("Deleted: " + ", ".join(dropped) if dropped else f"Plugin {name} has no tables in the {database_of(settings)}.")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        complain(f"{question} Nobody can be asked here: add --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        complain("nothing was deleted")


async def _dropped(settings: Config, name: str) -> tuple[str, ...]:
    from virtumancer.plugins import app_label  # noqa: PLC0415 - `--help` should not wait for it
    from virtumancer.store import Database, ProcessesRepository, drop_tables  # noqa: PLC0415

    label = app_label(name)
    if label == "core" or "__" in label:
        complain(f"no plugin named {name!r} can have tables")
    async with Database(settings.database.url) as database:
        # A SQLite file is locked by its server.
        if database.dialect != "sqlite" and await ProcessesRepository(database).living(SILENCE):
            raise UsageError(
                f"a server uses the {database.name}, nothing was deleted; stop it first, and after a crash wait "
                f"{SILENCE:g} seconds"
            )
        return await drop_tables(database, label)
