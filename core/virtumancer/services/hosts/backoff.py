"""How long sessions wait between what they do."""

from msgspec import Struct

__all__ = ["RetryTiming"]


class RetryTiming(Struct, frozen=True):
    """Seconds: between attempts at least and at most, after a refusal, and between two looks at everything."""

    retry_min: float = 1.0
    retry_max: float = 60.0
    refused_retry: float = 300.0
    reconcile_interval: float = 60.0
