"""Idempotency: the same key of a caller never acts twice, across restarts and while the first is at work too."""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import structlog
from argon2 import DEFAULT_MEMORY_COST, DEFAULT_PARALLELISM, DEFAULT_TIME_COST, Type
from argon2.low_level import hash_secret_raw
from msgspec import Struct, structs

from virtumancer.config import IdempotencyConfig
from virtumancer.errors import (
    AnswerNotKept,
    KeyReused,
    OutcomeUnknown,
    RequestInProgress,
    StoreUnavailable,
    TooManyKeys,
)
from virtumancer.services.runtime.clock import wall_clock
from virtumancer.services.runtime.cluster import ClusterMembers
from virtumancer.services.runtime.periodic_task import PeriodicTask
from virtumancer.store import IdempotencyRepository, StoredKey

__all__ = ["Idempotency", "KeptAnswer", "KeyedRequest"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

FORGET_INTERVAL = 600.0
# Digests of secrets: each takes 64 MiB of memory while it is computed.
AT_ONCE = 2


class KeyedRequest(Struct, frozen=True, kw_only=True):
    """A request that came with a key: `content` is all that makes it this request, `look_at` tells what it changed.

    `secret` says that the content may hold something that people can guess.
    """

    caller: str
    key: str
    content: bytes
    request_id: str
    look_at: str
    secret: bool = False


class KeptAnswer(Struct, frozen=True):
    """An answer as it was given first."""

    status: int
    headers: dict[str, str]
    body: bytes


class Idempotency(PeriodicTask):
    """Remembers keys and answers, for as long as the configuration says; runs while the application is open."""

    def __init__(
        self,
        store: IdempotencyRepository,
        processes: ClusterMembers,
        config: IdempotencyConfig,
        *,
        now: Callable[[], datetime] = wall_clock,
        latest: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._store = store
        self._processes = processes
        self._config = config
        # A key grows old by the time that is believed, and no key is older than what was believed when it came.
        self._now = now
        self._latest = latest
        self._retention = timedelta(seconds=config.retention)
        self._at_work: dict[str, str] = {}
        self._costly = asyncio.Semaphore(AT_ONCE)
        super().__init__(
            "idempotency keys",
            self.forget,
            min(FORGET_INTERVAL, config.retention),
            failing="old idempotency keys could not be removed",
            at_once=True,
        )

    async def begin(self, request: KeyedRequest) -> StoredKey | KeptAnswer:
        """Take the key of a request that may act now, or return what its first one was answered.

        Raises `KeyReused`, `RequestInProgress`, `OutcomeUnknown`, `AnswerNotKept`, `TooManyKeys`.
        """
        digest = hashlib.sha256(msgspec.json.encode((request.caller, request.key))).hexdigest()
        content = await self._content_digest(digest, request)
        now = self._now()
        mine = StoredKey(
            digest=digest,
            caller=request.caller,
            request=content,
            request_id=request.request_id,
            owner=self._processes.own,
            look_at=request.look_at,
            created_at=self._latest(),
        )
        if digest in self._at_work:  # its row may not be there yet
            if self._at_work[digest] != mine.request:
                raise _reused()
            raise _in_progress()
        self._at_work[digest] = mine.request
        taken = False
        try:
            found = await self._store.take(mine, now - self._retention, self._config.max_per_caller)
            if isinstance(found, datetime):
                raise self._too_many(found, now)
            taken = found.request_id == mine.request_id
        finally:
            if not taken:
                del self._at_work[digest]
        return found if taken else await self._first(found, mine)

    async def _content_digest(self, digest: str, request: KeyedRequest) -> str:
        """Return what is kept of a request, bound to its key, so that equal requests are not seen to be equal.

        A secret must not be guessed from it, whoever reads the store: that costs as much as with a stored password.
        """
        if not request.secret:
            return hashlib.sha256(digest.encode() + request.content).hexdigest()
        async with self._costly:
            made = await asyncio.to_thread(
                hash_secret_raw,
                hashlib.sha256(request.content).digest(),
                bytes.fromhex(digest)[:16],
                time_cost=DEFAULT_TIME_COST,
                memory_cost=DEFAULT_MEMORY_COST,
                parallelism=DEFAULT_PARALLELISM,
                hash_len=32,
                type=Type.ID,
            )
        return made.hex()

    async def answer(self, key: StoredKey, answer: KeptAnswer | None, status: int, location: str) -> None:
        """Keep what was answered; None for an answer that holds a secret, or too much."""
        try:
            if answer is None or len(answer.body) > self._config.max_answer:
                headers = {"Location": location} if location else {}
                kept = structs.replace(key, status=status, headers=_json(headers), body=None)
            else:
                kept = structs.replace(key, status=answer.status, headers=_json(answer.headers), body=answer.body)
            await self._store.answer(kept)
        except StoreUnavailable as error:
            log.warning("an answer could not be kept for its Idempotency-Key", reason=error.message)
        finally:
            self._at_work.pop(key.digest, None)

    async def free(self, key: StoredKey) -> None:
        """Forget the key of a request that was refused before anything was done, and may be tried again."""
        try:
            await self._store.free(key)
        except StoreUnavailable as error:
            log.warning("an Idempotency-Key could not be given up", reason=error.message)
        finally:
            self._at_work.pop(key.digest, None)

    def abandon(self, key: StoredKey) -> None:
        """Note that a request was broken off: from now on its outcome is unknown."""
        self._at_work.pop(key.digest, None)

    async def forget(self) -> None:
        """Remove the keys that are older than they are kept."""
        await self._store.forget(self._now() - self._retention)

    async def _first(self, found: StoredKey, mine: StoredKey) -> KeptAnswer:
        if found.request != mine.request:
            raise _reused()
        if found.status is not None:
            if found.body is None:
                raise _not_kept(found, found.status)
            return KeptAnswer(found.status, msgspec.json.decode(found.headers, type=dict[str, str]), found.body)
        if found.owner != self._processes.own and found.owner in await self._processes.living():
            raise _in_progress()
        raise OutcomeUnknown(
            "the first request with this Idempotency-Key was broken off, because the server ended or could not write "
            "its answer down, and whether it was done is not known; it is not done again. Look at "
            f"{found.look_at}, and ask with a new key if it has to be done",
            look_at=found.look_at,
            first_request=found.request_id,
        )

    def _too_many(self, oldest: datetime, now: datetime) -> TooManyKeys:
        left = min(oldest + self._retention - now, self._retention).total_seconds()
        return TooManyKeys(
            f"{self._config.max_per_caller} keys of this caller are remembered already (idempotency.max_per_caller)",
            retry_after=max(left, 1.0),
        )


def _reused() -> KeyReused:
    return KeyReused(
        "this Idempotency-Key came before with another request: another method, path, query, Prefer or body; use a new "
        "key for a new request"
    )


def _in_progress() -> RequestInProgress:
    return RequestInProgress("the first request with this Idempotency-Key is still at work; ask again for its answer")


def _not_kept(found: StoredKey, status: int) -> AnswerNotKept:
    headers = msgspec.json.decode(found.headers, type=dict[str, str])
    facts = {"first_location": headers["Location"]} if "Location" in headers else {}
    return AnswerNotKept(
        f"this was answered with {status} already and is not done again; its answer held a secret that is shown once, "
        "or was too large to keep. If it is lost, withdraw what was made and make another with a new key",
        first_status=status,
        first_request=found.request_id,
        **facts,
    )


def _json(headers: dict[str, str]) -> str:
    return msgspec.json.encode(headers).decode()
