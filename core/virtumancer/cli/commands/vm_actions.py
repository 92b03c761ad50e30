"""`virtumancer vms ACTION`: does something with VMs, one or many, and says what came of each."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from virtumancer.cli.exit_codes import Exit
from virtumancer.cli.output import say
from virtumancer.cli.progress import Progress
from virtumancer.cli.results import shown_result
from virtumancer.cli.tables import clean, say_done, say_json, say_rows
from virtumancer.cli.vm_lookup import Target
from virtumancer.client import AsyncClient, is_over, succeeded
from virtumancer.client.vms import WaitFor
from virtumancer.contracts import OperationInfo, OperationState
from virtumancer.errors import UsageError, VirtumancerError

__all__ = ["Job", "goal_of", "run", "run_on"]

GOALS: Mapping[str, WaitFor] = {"start": "running", "shutdown": "shutoff", "forceoff": "shutoff"}
# How many VMs are begun with at once, where each has an operation of its own.
AT_ONCE = 8
# The fields of an `ActionResult`.
PLAIN = {"already", "state"}
FINE = frozenset({"ok", "already", "begun"})


class Job(Struct, frozen=True, kw_only=True):
    """What is done, with which parameters, and what is waited for; `detached` for nothing at all."""

    action: str
    params: Mapping[str, Any]
    wait_for: WaitFor | None
    timeout: float
    if_already: Literal["refuse", "ok"]
    detached: bool


class Outcome(Struct, frozen=True):
    """What became of one VM; `outcome` is `ok`, `already`, or the code of an error."""

    host: str
    vm: str
    name: str
    outcome: str
    detail: str = ""
    operation: str = ""
    answer: Any = None


class _Result(Struct, frozen=True):
    """What of the result of an operation says whether there was something to do."""

    already: bool = False


def goal_of(action: str) -> WaitFor:
    """Return the state that an action leads to. Raises `UsageError` where nobody knows."""
    if action in GOALS:
        return GOALS[action]
    raise UsageError(f"--wait does not know when {action} is done; say it with --wait-for running or shutoff")


async def run(client: AsyncClient, job: Job, targets: Sequence[Target], *, json: bool) -> None:
    """Do it to these VMs, and print what came of it; the exit code is that of the error of a single one, 1 for many."""
    with Progress() as progress:
        if len(targets) == 1:
            outcomes = [await _one(client, job, targets[0], progress)]
        else:
            outcomes = await _each(client, job, targets, progress)
    _say(job, outcomes, json=json)


async def run_on(client: AsyncClient, job: Job, hosts: Sequence[str], fit: str, *, json: bool) -> None:
    """Do it to all VMs on these hosts that fit a filter: the server decides which those are, when it begins."""
    begun = await client.vms.begin_on_many(
        job.action, job.params, hosts=hosts, filter=fit or None, if_already=job.if_already
    )
    if job.detached:
        _say_begun(begun, json=json)
        return
    with Progress() as progress:
        ended = await client.operations.wait(begun.id, on_progress=progress.tell)
    if not ended.outcomes:
        succeeded(ended)
    _say(job, [Outcome(o.host, o.vm, o.name, o.outcome, o.detail, ended.id) for o in ended.outcomes], json=json)


async def _one(client: AsyncClient, job: Job, target: Target, progress: Progress) -> Outcome:
    begun = await _begin(client, job, target)
    if job.detached:
        return _outcome(target, begun)
    progress.tell(begun)
    ended = await client.operations.wait(begun.id, on_progress=progress.tell)
    return _outcome(target, succeeded(ended))


async def _each(client: AsyncClient, job: Job, targets: Sequence[Target], progress: Progress) -> list[Outcome]:
    """Begin an operation for each: one over many VMs waits for no state, and a UUID may be on two hosts."""
    gate, done = asyncio.Semaphore(AT_ONCE), 0

    async def one(target: Target) -> Outcome:
        nonlocal done
        async with gate:
            try:
                begun = await _begin(client, job, target)
                ended = begun if job.detached else await client.operations.wait(begun.id)
                outcome = _outcome(target, ended)
            except VirtumancerError as error:
                outcome = Outcome(target.host, target.uuid, target.name, error.code, error.message)
        done += 1
        progress.say(f"{job.action}: {done} of {len(targets)}")
        return outcome

    return list(await asyncio.gather(*map(one, targets)))


async def _begin(client: AsyncClient, job: Job, target: Target) -> OperationInfo:
    return await client.vms.begin(
        target.host,
        target.uuid,
        job.action,
        job.params,
        wait_for=job.wait_for,
        timeout=job.timeout,
        if_already=job.if_already,
    )


def _outcome(target: Target, operation: OperationInfo) -> Outcome:
    """Say what an operation on one VM came to."""
    detail = ""
    if operation.error:
        code, detail = operation.error.code, operation.error.detail
    elif operation.state is OperationState.SUCCEEDED:
        code = "already" if msgspec.convert(operation.result or {}, _Result).already else "ok"
    elif is_over(operation):
        code, detail = operation.state.value, operation.step
    else:
        code = "begun"
    answer = operation.result if code == "ok" and not _is_plain(operation.result) else None
    return Outcome(target.host, target.uuid, target.name, code, detail, operation.id, answer)


def _is_plain(result: Any) -> bool:
    """Say whether a result says only how it went, as that of every action without an answer of its own."""
    return result is None or (isinstance(result, dict) and set(msgspec.convert(result, dict[str, Any])) == PLAIN)


def _say_begun(operation: OperationInfo, *, json: bool) -> None:
    say_done(operation, f"{operation.action}: begun, operation {operation.id}", json=json)


def _say(job: Job, outcomes: Sequence[Outcome], *, json: bool) -> None:
    """Print what came of it, and end with exit code 1 when that is not what was wanted everywhere."""
    if json:
        say_json(outcomes)
    elif len(outcomes) == 1:
        outcome = outcomes[0]
        words = {"ok": "done", "already": "it is so already", "begun": f"begun, operation {outcome.operation}"}
        said = shown_result(outcome.answer) or words.get(outcome.outcome, outcome.detail)
        say(clean(f"{outcome.host}/{outcome.name}: {job.action}: {said}"))
    else:
        say_rows(("HOST", "VM", "OUTCOME", "DETAIL"), [_row(o) for o in outcomes])
    if any(outcome.outcome not in FINE for outcome in outcomes):
        raise SystemExit(Exit.FAILED)


def _row(outcome: Outcome) -> tuple[str, str, str, str]:
    return outcome.host, outcome.name, outcome.outcome, outcome.detail or shown_result(outcome.answer)
