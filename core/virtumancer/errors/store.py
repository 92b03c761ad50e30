"""The database does not do its work."""

from virtumancer.errors.base import VirtumancerError
from virtumancer.errors.startup import UsageError

__all__ = ["StoreUnavailable", "StoreUnusable"]


class StoreUnavailable(VirtumancerError):
    """The database does not do its work just now; whether what was begun was written is not known."""

    code = "store-unavailable"
    retry_after = 2.0


class StoreUnusable(UsageError, StoreUnavailable):
    """The database cannot be used as it is, or another process has it; waiting does not cure that."""

    code = "store-unusable"
