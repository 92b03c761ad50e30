"""`virtumancer audit`: whether the log of all changes is whole, and the log itself."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

from virtumancer.cli.options import ConfigFile
from virtumancer.cli.output import log_quietly, say
from virtumancer.config import Config, load_config
from virtumancer.running import database_of

if TYPE_CHECKING:
    from virtumancer.services.audit.log import ChainBreak
    from virtumancer.store import ChainEnds

__all__ = ["app"]

EXIT_DAMAGED = 1

app = cyclopts.App(name="audit", help="Read the log of all changes, and check that it is whole.")


@app.command
def verify(*, config: ConfigFile = None) -> None:
    """Check that no record of the log was edited, removed or moved; exit code 1 when one was. The server may run."""
    settings = _settings(config)
    ends, damage, begins = asyncio.run(_verified(settings))
    if damage:
        sys.stderr.write(f"virtumancer: the audit log is damaged at record {damage.number}: {damage.reason}\n")
        raise SystemExit(EXIT_DAMAGED)
    kept = ends.head_number - ends.tail_number
    say(f"The audit log is whole: {kept} records, the last is {ends.head_number} with digest {ends.head_digest}.")
    say(f"{begins} It is that of the {database_of(settings)}.")


@app.command
def export(
    *,
    config: ConfigFile = None,
    after: Annotated[int, Parameter(help="Begin behind the record of this number.")] = 0,
) -> None:
    """Print the records, oldest first, one JSON object a line. The server may run."""
    asyncio.run(_exported(_settings(config), after))


def _settings(config: ConfigFile) -> Config:
    settings = load_config(config, os.environ, {})
    log_quietly(settings)
    return settings


async def _verified(settings: Config) -> "tuple[ChainEnds, ChainBreak | None, str]":
    from virtumancer.services.audit.log import beginning  # noqa: PLC0415 - `--help` should not wait for it
    from virtumancer.services.audit.log import verify as verify_log  # noqa: PLC0415 - `--help` should not wait for it
    from virtumancer.store import AuditRepository, Database  # noqa: PLC0415

    async with Database(settings.database.url, reading=True) as database:
        log = AuditRepository(database)
        ends, damage = await verify_log(log)
        return ends, damage, "" if damage else await beginning(log)


async def _exported(settings: Config, after: int) -> None:
    from virtumancer.store import AuditRepository, Database  # noqa: PLC0415 - as above

    async with Database(settings.database.url, reading=True) as database:
        async for record in AuditRepository(database).records(after):
            say(record.document)
