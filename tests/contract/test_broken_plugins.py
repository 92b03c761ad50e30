"""Actions and transports that break the contract fail the sentence that they break, told by its words."""

import pytest

from virtumancer.contracts import (
    ActionContext,
    ByteStream,
    ChannelHead,
    ConsoleSession,
    ConsoleTransport,
    HostConnection,
    PowerVerb,
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


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (Wire(), "a viewer who may only look is not heard"),
        (Leaking(), "opening that is cancelled closes what was opened"),
    ],
)
def test_a_broken_transport_fails_the_sentence_that_it_breaks(broken: ConsoleTransport, sentence: str) -> None:
    assert failed("console", broken) == {sentence}
