"""A small authenticator keeps the contract, and broken ones do not."""

import asyncio
import hmac
import time
from collections.abc import Mapping

import pytest

from virtumancer.contracts import Authenticator, AuthRequest, Identity
from virtumancer.testing.suites import AuthenticatorSuite

KNOWN = {"x-remote-user": "alice", "x-proxy-secret": "a secret"}, Identity("alice", ("staff",))


class ProxyUser(Authenticator):
    name = "proxy-user"
    headers = ("x-remote-user", "x-proxy-secret")

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        given = request.headers.get("x-proxy-secret", "")
        if not hmac.compare_digest(given.encode(), b"a secret"):
            return None
        user = request.headers.get("x-remote-user", "")
        return Identity(user, ("staff",)) if user else None


class TestProxyUser(AuthenticatorSuite):
    longest_block = 1.0  # on a machine that is shared with other work

    @pytest.fixture
    def authenticator(self) -> Authenticator:
        return ProxyUser()

    @pytest.fixture
    def known(self) -> tuple[Mapping[str, str], Identity]:
        return KNOWN


class Trusting(ProxyUser):
    """Believes everybody."""

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        return Identity(request.headers.get("x-remote-user", "nobody"))


class Raising(ProxyUser):
    """Raises for what it does not expect."""

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        return Identity(request.headers["x-remote-user"])


class Blocking(ProxyUser):
    """Stands in everybody's way."""

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        time.sleep(0.4)  # noqa: ASYNC251 - that is what is wrong with it
        return await super().authenticate(request)


class Hanging(ProxyUser):
    """Never answers."""

    timeout = 0.2

    async def authenticate(self, request: AuthRequest) -> Identity | None:
        await asyncio.sleep(3600)
        return None


async def test_who_believes_everybody_is_found_out() -> None:
    with pytest.raises(AssertionError):
        await AuthenticatorSuite().test_what_anybody_can_send_lets_nobody_in(Trusting(), "admin")
    with pytest.raises(AssertionError):
        await AuthenticatorSuite().test_it_knows_nobody_without_headers(Trusting())


async def test_who_raises_for_what_is_missing_is_found_out() -> None:
    with pytest.raises(KeyError):
        await AuthenticatorSuite().test_it_knows_nobody_without_headers(Raising())


async def test_who_blocks_is_found_out() -> None:
    with pytest.raises(AssertionError, match="stood still"):
        await AuthenticatorSuite().test_it_leaves_nothing_behind_and_blocks_nobody(Blocking(), KNOWN)


async def test_who_never_answers_is_found_out() -> None:
    with pytest.raises(TimeoutError):
        await AuthenticatorSuite().test_it_knows_who_is_known(Hanging(), KNOWN)
