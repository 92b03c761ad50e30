"""The suite for authenticators: who is known is known, and whatever else somebody sends lets nobody in."""

import asyncio
import re
from collections.abc import Mapping

import pytest

from virtumancer.contracts import Authenticator, AuthRequest, Identity
from virtumancer.testing.suites.extending import left_behind, standing_still

__all__ = ["AuthenticatorSuite"]

HEADER = re.compile(r"[a-z0-9][a-z0-9-]*")
ADDRESS = "192.0.2.1"
# What people send who try what happens.
HOSTILE = ("", " ", ",", "admin", "Bearer ", "Basic Og==", "a" * 10_000, "\x00", "é", "' OR 1=1 --", "../../etc/passwd")


@pytest.mark.asyncio(loop_scope="function")
class AuthenticatorSuite:
    """Holds an authenticator against the contract. Inherit from it, and say which one, and whom it knows::

        import pytest
        from virtumancer.contracts import Identity
        from virtumancer.testing.suites import AuthenticatorSuite
        from virtumancer_mylogin import MyAuthenticator

        class TestMyAuthenticator(AuthenticatorSuite):
            @pytest.fixture
            def authenticator(self):
                return MyAuthenticator("secret")

            @pytest.fixture
            def known(self):
                return {"x-remote-user": "alice", "x-proxy-secret": "secret"}, Identity("alice")

    `authenticator` and `known` are needed.
    """

    patience: float = 5.0
    """Seconds that anything may take."""
    longest_block: float = 0.25
    """Seconds that the event loop may stand still; raise it where the machine of the tests is slow."""

    @pytest.fixture
    def authenticator(self) -> Authenticator:
        """The authenticator to test; override it."""
        pytest.fail("override the fixture `authenticator` to return your Authenticator", pytrace=False)

    @pytest.fixture
    def known(self) -> tuple[Mapping[str, str], Identity]:
        """Headers of somebody whom it knows, and who that is; override it."""
        pytest.fail("override the fixture `known` to return headers and an Identity", pytrace=False)

    async def test_it_has_a_name_and_time(self, authenticator: Authenticator) -> None:
        assert authenticator.name
        assert authenticator.timeout > 0

    async def test_it_looks_at_headers_and_at_no_cookies(self, authenticator: Authenticator) -> None:
        assert authenticator.headers
        assert all(HEADER.fullmatch(header) and header != "cookie" for header in authenticator.headers)

    async def test_it_knows_who_is_known(
        self, authenticator: Authenticator, known: tuple[Mapping[str, str], Identity]
    ) -> None:
        headers, identity = known
        assert set(headers) <= set(authenticator.headers), "it is shown no headers but its own"
        assert await self.asked(authenticator, headers) == identity

    async def test_it_knows_nobody_without_headers(self, authenticator: Authenticator) -> None:
        assert await self.asked(authenticator, {}) is None

    @pytest.mark.parametrize("text", HOSTILE, ids=ascii)
    async def test_what_anybody_can_send_lets_nobody_in(self, authenticator: Authenticator, text: str) -> None:
        assert await self.asked(authenticator, dict.fromkeys(authenticator.headers, text)) is None

    async def test_who_leaves_a_header_out_becomes_nobody_else(
        self, authenticator: Authenticator, known: tuple[Mapping[str, str], Identity]
    ) -> None:
        headers, identity = known
        for name in headers:
            rest = {other: value for other, value in headers.items() if other != name}
            assert await self.asked(authenticator, rest) in {None, identity}

    async def test_many_are_answered_at_once(
        self, authenticator: Authenticator, known: tuple[Mapping[str, str], Identity]
    ) -> None:
        headers, identity = known
        wrong = dict.fromkeys(authenticator.headers, "nobody's")
        answers = await asyncio.gather(*(self.asked(authenticator, h) for h in (headers, wrong) * 8))
        assert answers == [identity, None] * 8

    async def test_it_leaves_nothing_behind_and_blocks_nobody(
        self, authenticator: Authenticator, known: tuple[Mapping[str, str], Identity]
    ) -> None:
        before = asyncio.all_tasks()
        still = await standing_still(self.asked(authenticator, known[0]))
        assert not left_behind(before)
        assert still <= self.longest_block, f"the event loop stood still for {still:.2f} s"

    async def asked(self, authenticator: Authenticator, headers: Mapping[str, str]) -> Identity | None:
        """Ask it as the server does."""
        async with asyncio.timeout(min(self.patience, authenticator.timeout)):
            return await authenticator.authenticate(AuthRequest(headers, ADDRESS))
