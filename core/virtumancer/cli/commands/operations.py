"""`virtumancer operations`: what goes on after its request was answered."""

from typing import Annotated

import cyclopts
from cyclopts import Parameter

from virtumancer.cli.options import JSONOutput
from virtumancer.cli.progress import Progress, amount_of, words_of
from virtumancer.cli.results import shown_result
from virtumancer.cli.server_discovery import HERE, Server, connected
from virtumancer.cli.tables import say_fields, say_json, say_list, say_rows, time_of
from virtumancer.client import succeeded
from virtumancer.contracts import OperationInfo, OperationState, OperationTarget

__all__ = ["app"]

app = cyclopts.App(name="operations", help="Operations: what was begun, how far it is, and an end to it.")
OperationId = Annotated[str, Parameter(help="The id of an operation.")]


@app.command(name="list")
async def list_(
    *,
    state: Annotated[OperationState | None, Parameter(help="Only those in this state.")] = None,
    host: Annotated[str | None, Parameter(help="Only those about this host or its VMs.")] = None,
    action: Annotated[str | None, Parameter(help="Only those that do this.")] = None,
    limit: Annotated[int, Parameter(help="How many at most, 1 to 1000.")] = 20,
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """List operations, newest first."""
    async with connected(server) as client:
        found = await client.operations.list(state=state, host=host, action=action, limit=limit)
    say_list(
        found,
        ("ID", "ACTION", "TARGET", "STATE", "BEGUN", "BY"),
        lambda o: (o.id, o.action, _target(o.target), words_of(o).partition(": ")[2], time_of(o.created_at), o.actor),
        json=json,
    )


@app.command
async def show(operation: OperationId, /, *, json: JSONOutput = False, server: Server = HERE) -> None:
    """Describe an operation, with what became of each VM."""
    async with connected(server) as client:
        _say(await client.operations.get(operation), json=json)


@app.command
async def wait(
    operation: OperationId,
    /,
    *,
    timeout: Annotated[float | None, Parameter(help="For how many seconds at most.")] = None,
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """Wait until an operation has ended; the exit code is that of its error when it did not succeed."""
    async with connected(server) as client:
        with Progress() as progress:
            ended = await client.operations.wait(operation, timeout=timeout, on_progress=progress.tell)
    _say(ended, json=json)
    succeeded(ended)


@app.command
async def cancel(operation: OperationId, /, *, json: JSONOutput = False, server: Server = HERE) -> None:
    """Ask an operation to end."""
    async with connected(server) as client:
        _say(await client.operations.cancel(operation), json=json)


def _target(target: OperationTarget) -> str:
    parts = (target.host, target.name or target.vm, target.resource, target.key)
    return "/".join(part for part in parts if part)


def _say(operation: OperationInfo, *, json: bool) -> None:
    if json:
        say_json(operation)
        return
    say_fields(
        [
            ("Operation", operation.id),
            ("Action", operation.action),
            ("Target", _target(operation.target)),
            ("State", operation.state.value),
            ("Step", operation.step),
            ("Progress", amount_of(operation.progress) if operation.progress else ""),
            ("Result", shown_result(operation.result)),
            ("Error", operation.error.detail if operation.error else ""),
            ("Begun", time_of(operation.created_at)),
            ("Ended", time_of(operation.ended_at)),
            ("By", operation.actor),
        ]
    )
    if operation.outcomes:
        rows = [(o.host, o.name or o.vm, o.outcome, o.detail) for o in operation.outcomes]
        say_rows(("HOST", "VM", "OUTCOME", "DETAIL"), rows)
