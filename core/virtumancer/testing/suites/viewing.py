"""The part of the suite for host drivers that is about consoles and pictures of the screen."""

import asyncio
from collections.abc import Mapping

import pytest

from virtumancer.contracts import ByteStream, HostConnection, SupportsConsoles, SupportsScreenshot, VMRef
from virtumancer.errors import ConsoleNotFound, VMNotFound, WrongPowerState
from virtumancer.testing.suites.connecting import NOBODY, Connecting, Dialogue, able_to

__all__ = ["Viewing"]


class Viewing(Connecting):
    """Opens consoles of the VM that runs."""

    async def test_consoles_of_an_unknown_vm_is_vm_not_found(self, connection: HostConnection) -> None:
        able = able_to(connection, SupportsConsoles)
        with pytest.raises(VMNotFound):
            await able.consoles(NOBODY)
        with pytest.raises(VMNotFound):
            await able.open_console(NOBODY, "vnc")

    async def test_a_console_that_cannot_be_opened_says_why(self, connection: HostConnection, some_vm: VMRef) -> None:
        offers = await able_to(connection, SupportsConsoles).consoles(some_vm.uuid)
        assert all(offer.available or offer.reason for offer in offers)

    async def test_a_console_the_vm_does_not_have_is_console_not_found(
        self, connection: HostConnection, running: VMRef
    ) -> None:
        able = able_to(connection, SupportsConsoles)
        with pytest.raises(ConsoleNotFound):
            await able.open_console(running.uuid, "no-such-kind")

    async def test_a_console_of_a_stopped_vm_is_wrong_power_state(
        self, connection: HostConnection, stopped: VMRef
    ) -> None:
        able = able_to(connection, SupportsConsoles)
        for offer in await able.consoles(stopped.uuid):
            with pytest.raises(WrongPowerState):
                await able.open_console(stopped.uuid, offer.kind)

    async def test_a_screenshot_of_an_unknown_vm_is_vm_not_found(self, connection: HostConnection) -> None:
        able = able_to(connection, SupportsScreenshot)
        with pytest.raises(VMNotFound):
            await able.screenshot(NOBODY)

    async def test_a_screenshot_of_a_stopped_vm_is_wrong_power_state(
        self, connection: HostConnection, stopped: VMRef
    ) -> None:
        able = able_to(connection, SupportsScreenshot)
        with pytest.raises(WrongPowerState):
            await able.screenshot(stopped.uuid)

    async def test_consoles_carry_bytes(
        self, connection: HostConnection, running: VMRef, console_dialogues: Mapping[str, Dialogue]
    ) -> None:
        able = able_to(connection, SupportsConsoles)
        offers = [offer.kind for offer in await able.consoles(running.uuid) if offer.available]
        known = [kind for kind in offers if kind in console_dialogues]
        if not known:
            pytest.skip("override the fixture `console_dialogues` of the suite to test this")
        for kind in known:
            stream = (await able.open_console(running.uuid, kind)).stream
            try:
                await self.talk(stream, kind, console_dialogues[kind])
            finally:
                await stream.close()

    async def talk(self, stream: ByteStream, kind: str, dialogue: Dialogue) -> None:
        """Say each line of the dialogue, and hold the answer to it."""
        for said, answer in dialogue:
            if said:
                await stream.write(said)
            heard = b""
            try:
                async with asyncio.timeout(self.patience):
                    while len(heard) < max(1, len(answer)) and (more := await stream.read(max(1, len(answer)))):
                        heard += more
            except TimeoutError:
                pytest.fail(f"the {kind} console carries no bytes: {said!r} was answered by {heard!r} and no more")
            assert heard, f"the {kind} console ended where {answer!r} was to come"
            assert heard.startswith(answer), f"the {kind} console answered {said!r} with {heard!r}, not {answer!r}"
