"""Rows with several writers: each changes what is its own, and brings nothing back that another one has withdrawn."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from tests.canaries import CANARIES
from tests.http.access_kit import callers_of
from tests.store.test_operations import NOON, operation
from virtumancer.contracts import Host, OperationState
from virtumancer.errors import Conflict, Forbidden, NotFound, Unauthenticated
from virtumancer.services.auth import BUILT_IN, EVERYTHING, Grant, Principal, PrincipalDirectory, Users
from virtumancer.services.auth.passwords import Passwords
from virtumancer.services.auth.principals import Permissions
from virtumancer.services.auth.tag_index import TagIndex
from virtumancer.services.auth.tokens import Tokens
from virtumancer.services.auth.users import proof_of
from virtumancer.services.auth.web_sessions import WebSessions
from virtumancer.store import (
    Database,
    HostsRepository,
    IdempotencyRepository,
    OperationsRepository,
    StoredKey,
    StoredToken,
    StoredUser,
    StoredWebSession,
    TokensRepository,
    UsersRepository,
    WebSessionsRepository,
)

pytest_plugins = ["tests.lab.fixtures"]

ADMIN = Principal("the test", EVERYTHING)
ALL, LITTLE = (Grant(role="admin"),), (Grant(role="viewer", host="kvm1"),)
OLD, NEW = CANARIES.plant("old password"), CANARIES.plant("new password")
PASSWORDS = Passwords()


@pytest.fixture
def url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    """PostgreSQL for the tests of the lab, which costs seconds, and a file for the others."""
    lab = request.node.get_closest_marker("lab")
    url: str = request.getfixturevalue("postgresql_url") if lab else sqlite_url
    return url


def helper(*grants: Grant) -> Principal:
    return Principal("a helper", Permissions(grants, TagIndex()), grants=grants)


async def two_processes(database: Database) -> tuple[PrincipalDirectory, PrincipalDirectory]:
    """Two processes on one database; the second does not know yet what the first one does from now on."""
    one, other = callers_of(database), callers_of(database)
    await one.users.create("x", OLD, ALL, ADMIN)
    await one.load()
    await other.load()
    return one, other


async def proved(callers: PrincipalDirectory, password: str = OLD) -> StoredUser:
    found = await callers.users.fit("x", password)
    assert found is not None
    return found


@pytest.mark.lab
async def test_a_new_password_does_not_bring_withdrawn_grants_back(database: Database) -> None:
    one, other = await two_processes(database)
    mine = await proved(other)
    await one.users.change("x", LITTLE, None, ADMIN)

    await other.users.set_own(mine, NEW)
    await other.users.change("x", None, NEW, ADMIN)

    await one.load()
    assert one.users.info("x").grants == other.users.info("x").grants == LITTLE
    assert await one.users.fit("x", NEW)


async def test_other_grants_do_not_bring_an_old_password_back(database: Database) -> None:
    one, other = await two_processes(database)
    await one.users.change("x", None, NEW, ADMIN)

    await other.users.change("x", LITTLE, None, ADMIN)

    await one.load()
    assert await one.users.fit("x", OLD) is None
    assert await one.users.fit("x", NEW)


async def test_who_proved_an_old_password_sets_no_other_one(database: Database) -> None:
    one, other = await two_processes(database)
    stolen = await proved(other)
    await one.users.change("x", None, NEW, ADMIN)

    with pytest.raises(Conflict):
        await other.users.set_own(stolen, "a third password of mine")
    assert await other.users.fit("x", OLD) is None  # the other process has not looked yet

    assert await one.users.fit("x", NEW)


@pytest.mark.lab
async def test_a_session_that_an_old_password_began_is_none_whatever_the_clocks_say(database: Database) -> None:
    one, other = await two_processes(database)
    proof = proof_of(await proved(other))
    await one.users.change("x", None, NEW, ADMIN)

    begun = await other.sessions.begin("user:x", proof)  # with a later time than the change

    await other.load()
    with pytest.raises(Unauthenticated):
        other.sessions.authenticate(begun.secret)


@pytest.mark.lab
async def test_nobody_changes_a_user_or_token_that_has_got_more_rights_meanwhile(database: Database) -> None:
    one, other = await two_processes(database)
    token = (await one.tokens.create("mine", LITTLE, None, ADMIN)).info.id
    await one.users.change("x", LITTLE, None, ADMIN)
    await other.load()
    await one.users.change("x", ALL, None, ADMIN)
    await one.tokens.change(token, ALL, ADMIN)

    by = helper(Grant(role="viewer"), Grant(rights=("access",)))
    with pytest.raises(Forbidden):
        await other.users.change("x", None, NEW, by)
    with pytest.raises(Forbidden):
        await other.users.remove("x", by)
    with pytest.raises(Forbidden):
        await other.tokens.change(token, LITTLE, by)
    with pytest.raises(Forbidden):
        await other.tokens.revoke(token, by)

    await one.load()
    assert one.users.info("x").grants == one.tokens.info(token).grants == ALL


async def test_what_is_gone_is_not_changed(database: Database) -> None:
    one, other = await two_processes(database)
    token = (await one.tokens.create("mine", LITTLE, None, ADMIN)).info.id
    await other.load()
    await one.users.remove("x", ADMIN)
    await one.tokens.revoke(token, ADMIN)

    with pytest.raises(NotFound):
        await other.users.change("x", LITTLE, None, ADMIN)
    with pytest.raises(NotFound):
        await other.tokens.change(token, LITTLE, ADMIN)

    assert (await UsersRepository(database).list(), await TokensRepository(database).list()) == ((), ())


@pytest.mark.lab
async def test_noting_the_use_of_a_token_brings_no_grants_back(database: Database) -> None:
    one, other = await two_processes(database)
    made = await one.tokens.create("mine", ALL, None, ADMIN)
    await other.load()
    other.tokens.authenticate(made.token)
    await one.tokens.change(made.info.id, LITTLE, ADMIN)

    await other.tokens.note_uses()

    await one.load()
    assert one.tokens.info(made.info.id).grants == LITTLE
    assert one.tokens.info(made.info.id).last_used_at is not None


class _Reads:
    """Holds up what was read, for as long as a test needs for a change in between."""

    def __init__(self) -> None:
        self.hold = False
        self.read, self.go_on = asyncio.Event(), asyncio.Event()

    async def done(self) -> None:
        if self.hold:
            self.read.set()
            await self.go_on.wait()


class SlowUsers(UsersRepository, _Reads):
    def __init__(self, database: Database) -> None:
        super().__init__(database)
        _Reads.__init__(self)

    async def list(self) -> tuple[StoredUser, ...]:
        found = await super().list()
        await self.done()
        return found


class SlowTokens(TokensRepository, _Reads):
    def __init__(self, database: Database) -> None:
        super().__init__(database)
        _Reads.__init__(self)

    async def list(self) -> tuple[StoredToken, ...]:
        found = await super().list()
        await self.done()
        return found


class SlowSessions(WebSessionsRepository, _Reads):
    def __init__(self, database: Database) -> None:
        super().__init__(database)
        _Reads.__init__(self)

    async def list(self) -> tuple[StoredWebSession, ...]:
        found = await super().list()
        await self.done()
        return found


async def _meanwhile(slow: _Reads, load: Callable[[], Awaitable[None]], change: Awaitable[object]) -> None:
    """Let a change come while a load has read the store and has not taken it in yet."""
    slow.hold = True
    loading = asyncio.ensure_future(load())
    await slow.read.wait()
    changing = asyncio.ensure_future(change)
    await asyncio.wait({changing}, timeout=0.2)
    slow.hold = False
    slow.go_on.set()
    await asyncio.gather(loading, changing)


async def test_a_load_that_has_read_before_a_change_does_not_undo_it_in_memory(database: Database) -> None:
    slow_users, slow_tokens, slow_sessions = SlowUsers(database), SlowTokens(database), SlowSessions(database)
    users = Users(slow_users, PASSWORDS, TagIndex(), lambda: None, BUILT_IN, now=lambda by: by, asked=True)
    tokens = Tokens(slow_tokens, TagIndex(), BUILT_IN, now=lambda by: by, asked=True)
    sessions = WebSessions(slow_sessions, lambda _: ADMIN, lambda: None)
    await users.create("x", OLD, ALL, ADMIN)
    token = await tokens.create("mine", ALL, None, ADMIN)
    session = await sessions.begin("user:x")

    await _meanwhile(slow_users, users.load, users.change("x", LITTLE, None, ADMIN))
    await _meanwhile(slow_tokens, tokens.load, tokens.revoke(token.info.id, ADMIN))
    await _meanwhile(slow_sessions, sessions.load, sessions.end(session.secret.partition("_")[0]))

    assert users.info("x").grants == LITTLE
    assert not tokens.is_valid(token.token)
    with pytest.raises(Unauthenticated):
        sessions.authenticate(session.secret)


async def test_a_start_with_the_declared_hosts_connects_none_that_was_disconnected(hosts: HostsRepository) -> None:
    await hosts.upsert_declared([Host("a", "fake://a")])
    await hosts.set_disconnected("a", True)

    await hosts.upsert_declared([Host("a", "fake://b")])

    (stored,) = await hosts.list()
    assert (stored.host.uri, stored.disconnected) == ("fake://b", True)


async def test_a_key_is_given_up_by_its_own_request_alone(database: Database) -> None:
    keys = IdempotencyRepository(database)
    first = StoredKey(digest="d", caller="", request="r", request_id="first", owner="o", look_at="", created_at=NOON)
    second = structs.replace(first, request_id="second", created_at=NOON + timedelta(days=2))
    await keys.take(first, NOON - timedelta(days=1), 10)
    await keys.answer(structs.replace(first, status=204))
    assert await keys.take(second, NOON + timedelta(days=1), 10) == second

    await keys.free(first)

    again = structs.replace(second, request_id="third")
    assert await keys.take(again, NOON + timedelta(days=1), 10) == second


async def test_a_report_opens_no_operation_again_that_has_ended(database: Database) -> None:
    operations = OperationsRepository(database)
    running = operation("one")
    await operations.add(running)
    ended = structs.replace(running.info, state=OperationState.INTERRUPTED, ended_at=datetime.now(UTC))
    assert await operations.interrupt(structs.replace(running, info=ended))

    assert not await operations.update(structs.replace(running, info=structs.replace(running.info, step="later")))

    found = await operations.find("one")
    assert found is not None
    assert found.info.state is OperationState.INTERRUPTED
