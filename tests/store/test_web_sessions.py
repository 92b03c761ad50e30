"""Sessions of browsers in the store: they come back as they were, and those that have ended go."""

from datetime import UTC, datetime, timedelta

from msgspec import structs

from virtumancer.store import Database, StoredWebSession, WebSessionsRepository

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = StoredWebSession(
    id="0123456789abcdef",
    digest="d" * 64,
    owner="oidc:5f-alice",
    pending=False,
    created_at=NOW,
    expires_at=NOW + timedelta(hours=8),
    identity='{"subject":"5f-alice","groups":["Ünïcode"]}',
)


async def test_a_session_comes_back_with_the_identity_it_began_with(database: Database) -> None:
    repository = WebSessionsRepository(database)
    plain = structs.replace(SESSION, id="fedcba9876543210", owner="user:alice", identity="")

    await repository.add(SESSION)
    await repository.add(plain)

    assert {stored.id: stored for stored in await repository.list()} == {SESSION.id: SESSION, plain.id: plain}


async def test_sessions_that_have_ended_go_when_another_begins(database: Database) -> None:
    repository = WebSessionsRepository(database)
    await repository.add(SESSION)

    later = structs.replace(SESSION, id="fedcba9876543210", created_at=SESSION.expires_at)
    await repository.add(later)

    assert await repository.list() == (later,)


async def test_a_link_is_taken_once_and_a_session_is_no_link(database: Database) -> None:
    repository = WebSessionsRepository(database)
    link = structs.replace(SESSION, id="fedcba9876543210", pending=True)
    await repository.add(SESSION)
    await repository.add(link)

    assert [await repository.take_link(SESSION.id), await repository.take_link(link.id)] == [False, True]
    assert await repository.take_link(link.id) is False
    assert await repository.list() == (SESSION,)
