"""Actions and transports that break the contract fail the sentence that they break, told by its words."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import ModuleType

import msgspec
import pytest

from virtumancer import hookimpl
from virtumancer.contracts import (
    ActionContext,
    ByteStream,
    ChannelHead,
    ConsoleSession,
    ConsoleTransport,
    Event,
    EventListener,
    HostAction,
    HostConnection,
    HostVMEvent,
    Lifespan,
    PluginContext,
    PowerVerb,
    Route,
    RouteRequest,
    SupportsConsoles,
    VMAction,
    VMRef,
)
from virtumancer.errors import AbilityMissing, HostLost
from virtumancer.testing.checking import Reach, check
from virtumancer.testing.subjects import Subject


async def careless(context: ActionContext, vm: VMRef, params: object) -> None:
    """Says that it is done when the host is lost."""
    try:
        await context.connection.power(vm.uuid, PowerVerb.FORCE_RESET)
    except HostLost:
        return


async def baffled(context: ActionContext, vm: VMRef, params: object) -> None:
    """Raises what nobody knows when the host is lost."""
    try:
        await context.connection.power(vm.uuid, PowerVerb.FORCE_RESET)
    except HostLost:
        raise ValueError(vm.name) from None


class Count(msgspec.Struct):
    vms: int


class Other(msgspec.Struct):
    hosts: int


async def tidy(context: ActionContext, params: object) -> None:
    """Keeps to everything."""
    await context.job.step("asking what there is")
    for number, _ in enumerate(await context.connection.list_vms(), 1):
        context.job.progress(number, unit="VMs")


async def tidy_blocking(context: ActionContext, params: object) -> None:
    time.sleep(0.5)  # noqa: ASYNC251 - that is the fault
    await context.connection.info()


async def tidy_forgetful(context: ActionContext, params: object) -> None:
    context.job.actors = asyncio.create_task(asyncio.sleep(60))  # type: ignore[attr-defined]
    await context.connection.info()


async def tidy_careless(context: ActionContext, params: object) -> None:
    with suppress(HostLost):
        await context.connection.info()


async def tidy_deaf(context: ActionContext, params: object) -> None:
    """Swallows its cancellation once."""
    with suppress(asyncio.CancelledError):
        await context.connection.info()
        return
    await asyncio.sleep(60)


async def tidy_falling(context: ActionContext, params: object) -> None:
    await context.connection.info()
    for done in (1, 3, 2):
        context.job.progress(done, 3)


async def tidy_beyond(context: ActionContext, params: object) -> None:
    await context.connection.info()
    context.job.progress(4, 3)


async def tidy_wordless(context: ActionContext, params: object) -> None:
    await context.job.step(" ")
    await context.connection.info()


async def tidy_counting(context: ActionContext, params: object) -> Other:
    return Other(len(await context.connection.list_vms()))


def host_action(**fields: object) -> HostAction:
    given = {"name": "tidy", "title": "Tidy", "description": "Tidies.", "run": tidy, **fields}
    return HostAction(**given)


def action(**fields: object) -> VMAction:
    given = {"name": "reset", "title": "Reset", "description": "Resets.", "run": careless, **fields}
    return VMAction(**given)


class Wire(ConsoleTransport):
    """Bytes as they are; a viewer who may only look is heard as well."""

    kind = "wire"
    suffix = "wire"

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        if not isinstance(connection, SupportsConsoles):
            raise AbilityMissing("This host's driver has no consoles.", ability="consoles")
        return (await connection.open_console(vm.uuid, self.kind)).stream


class Leaking(Wire):
    """Waits for the hypervisor to begin, and forgets the console when that is cancelled."""

    handshake = True

    async def open(
        self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
    ) -> ByteStream:
        stream = await super().open(connection, vm, session, head)
        await stream.read()
        return stream


def failed(kind: str, thing: object) -> set[str]:
    return {failure.sentence for failure in check(Subject(kind, "broken", thing), Reach()).failures}


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (action(), "a lost host is an error of ours"),
        (action(run=baffled), "a lost host is an error of ours"),
    ],
)
def test_a_broken_action_fails_the_sentence_that_it_breaks(broken: VMAction, sentence: str) -> None:
    assert failed("action", broken) == {sentence}


def test_a_host_action_that_keeps_the_contract_fails_nothing() -> None:
    assert failed("host action", host_action(cancellable=True)) == set()


@pytest.mark.parametrize(
    ("broken", "sentences"),
    [
        (host_action(name="Tidy"), {"the name can be a segment of a route"}),
        (host_action(description=""), {"title and description are there for people"}),
        (host_action(params=Other), {"a parameter that does not exist is refused"}),
        (host_action(run=tidy_blocking), {"it does not block the event loop"}),
        (host_action(run=tidy_forgetful), {"it leaves no task behind", "it can be cancelled while the host hangs"}),
        (host_action(run=tidy_careless), {"a lost host is an error of ours"}),
        (host_action(run=tidy_deaf), {"it can be cancelled while the host hangs"}),
        (host_action(run=tidy_falling), {"progress never falls and stays within its total"}),
        (host_action(run=tidy_beyond), {"progress never falls and stays within its total"}),
        (host_action(run=tidy_wordless), {"its steps are words for people"}),
        (host_action(run=tidy_counting, answer=Count), {"it answers what it declares"}),
        (host_action(run=tidy_counting), {"what declares no answer returns none"}),
    ],
)
def test_a_broken_host_action_fails_the_sentence_that_it_breaks(broken: HostAction, sentences: set[str]) -> None:
    assert failed("host action", broken) == sentences


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (Wire(), "a viewer who may only look is not heard"),
        (Leaking(), "opening that is cancelled closes what was opened"),
    ],
)
def test_a_broken_transport_fails_the_sentence_that_it_breaks(broken: ConsoleTransport, sentence: str) -> None:
    assert failed("console", broken) == {sentence}


class Keeping(Lifespan):
    """Starts a task of its own, and forgets it."""

    name = "keeping"

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        self.task = asyncio.create_task(asyncio.sleep(60))
        yield


class Unopened(Lifespan):
    """Cannot be opened."""

    name = "unopened"

    @asynccontextmanager
    async def open(self, context: PluginContext) -> AsyncIterator[None]:
        raise RuntimeError("no such thing")
        yield


class Raising(EventListener):
    name = "raising"

    async def on_event(self, event: Event) -> None:
        raise RuntimeError(str(event))


class Blocking(EventListener):
    name = "blocking"

    async def on_event(self, event: Event) -> None:
        if isinstance(event, HostVMEvent):
            time.sleep(0.5)  # noqa: ASYNC251 - that is the fault


async def answer(request: RouteRequest) -> Count:
    raise RuntimeError("nothing to count")


def plugin_with(hook: str, *things: object) -> ModuleType:
    def implementation() -> list[object]:
        return list(things)

    implementation.__name__ = hook
    module = ModuleType(f"plugin_with_{hook}")
    module.__dict__[hook] = hookimpl(implementation)
    return module


@pytest.mark.parametrize(
    ("hook", "thing", "sentence"),
    [
        ("virtumancer_lifespans", Keeping, "a server that stops leaves nothing of it"),
        ("virtumancer_lifespans", Unopened, "a server with it starts and it is active"),
        ("virtumancer_event_listeners", Raising, "what happens is taken without failure"),
        ("virtumancer_event_listeners", Blocking, "what happens is taken without failure"),
        (
            "virtumancer_routes",
            Route(method="GET", path="count", summary="Count.", handle=answer, answer=Count),
            "a route that needs nothing answers",
        ),
        (
            "virtumancer_routes",
            Route(method="GET", path="count", summary=" ", handle=answer, answer=Count),
            "every route of it has a summary",
        ),
    ],
)
def test_a_broken_plugin_fails_the_sentence_that_it_breaks(hook: str, thing: object, sentence: str) -> None:
    assert sentence in failed("plugin", plugin_with(hook, thing))
