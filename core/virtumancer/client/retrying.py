"""When a request is sent once more: how often, after how long, and never in vain."""

import random
import time

from msgspec import Struct

from virtumancer.client.problems import ApiError, ServerUnreachable
from virtumancer.errors import RequestInProgress, VirtumancerError

__all__ = ["NEVER", "Attempts", "Retries"]

SERVICE_UNAVAILABLE = 503


class Retries(Struct, frozen=True):
    """How often a request is sent again, and for how many seconds it may be waited between in all.

    A request that may change something has an `Idempotency-Key`, the same each time, so it is never done twice.
    """

    attempts: int = 4
    """How often it is sent at most, when nobody answers or the server says 503 with `Retry-After`."""
    patience: float = 30.0
    """Also for how long the answer to a request that was sent before, and is still at work, is asked for."""
    longest_retry_after: float = 30.0
    """A server that says to come back later than that is an error at once."""
    first_pause: float = 0.1
    longest_pause: float = 5.0


NEVER = Retries(attempts=1, patience=0.0)


class Attempts:
    """The attempts of one request."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._until = time.monotonic() + retries.patience
        self._sent = 1

    def pause_after(self, error: VirtumancerError, *, replayed: bool = False) -> float | None:
        """Return after how many seconds to try again; None when there is no sense in it.

        `replayed` says that the answer is the one that an earlier attempt had: asking again changes nothing.
        """
        if isinstance(error, RequestInProgress):
            return self._within(error.retry_after or 1.0)
        if self._sent >= self._retries.attempts or replayed:
            return None
        if isinstance(error, ServerUnreachable):
            pause = self._back_off()
        elif isinstance(error, ApiError) and error.status == SERVICE_UNAVAILABLE and error.retry_after is not None:
            if error.retry_after > self._retries.longest_retry_after:
                return None
            pause = max(error.retry_after, self._back_off())
        else:
            return None
        self._sent += 1
        return self._within(pause)

    def _back_off(self) -> float:
        """Double the pause each time, with some chance in it, so that many clients do not come back together."""
        longest = min(self._retries.first_pause * 2.0 ** min(self._sent - 1, 30), self._retries.longest_pause)
        return float(longest * random.uniform(0.5, 1.0))  # noqa: S311 - nobody has to be kept from guessing it  # nosec B311

    def _within(self, pause: float) -> float | None:
        return pause if time.monotonic() + pause <= self._until else None
