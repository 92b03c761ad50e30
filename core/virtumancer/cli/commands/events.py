"""`virtumancer events`: what happens, as it happens."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from virtumancer.cli.options import JSONOutput
from virtumancer.cli.output import say
from virtumancer.cli.server_discovery import HERE, Server, connected
from virtumancer.cli.tables import clean, say_json, time_of
from virtumancer.cli.vm_lookup import find_vm

if TYPE_CHECKING:
    from virtumancer.client import StreamEvent

__all__ = ["events"]


async def events(
    *,
    follow: Annotated[bool, Parameter(help="Go on with what happens from now on, until Ctrl-C.", negative=())] = False,
    since: Annotated[int | None, Parameter(help="Begin behind the event of this id.")] = None,
    type: Annotated[  # noqa: A002 - as the API calls it
        tuple[str, ...], Parameter(name="--type", help="Only these, as vm.started or vm.*; several times.", negative=())
    ] = (),
    host: Annotated[str | None, Parameter(help="Only what is about this host or its VMs.")] = None,
    vm: Annotated[str | None, Parameter(help="Only what is about this VM: NAME, HOST/NAME or UUID.")] = None,
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """Print events: those that are kept, or with --follow what happens; --json prints one object a line.

    When the connection breaks it goes on behind the last event. After a `gap` there may be more that happened.
    """
    async with connected(server) as client:
        uuid = (await find_vm(client, vm, [host] if host else ())).uuid if vm else None
        if follow:
            source = client.events.follow(since=since, types=type, host=host, vm=uuid)
        else:
            source = client.events.kept(since=since, types=type, host=host, vm=uuid)
        async with aclosing(source) as happened:
            async for event in happened:
                if json:
                    say_json(event, lines=True)
                else:
                    say(_line(event))


def _line(event: "StreamEvent") -> str:
    about = "/".join(part for part in (event.host, event.name or event.vm) if part)
    facts = ", ".join(f"{name} {value}" for name, value in event.data.items() if value not in ("", None))
    return "  ".join(
        [str(event.id), time_of(event.at), event.type, clean(about), clean(facts) if facts else ""]
    ).rstrip()
