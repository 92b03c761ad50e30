"""Values that several tables have."""

from typing import Annotated

from msgspec import Meta

__all__ = ["Seconds"]

# A day at most: so a value given in milliseconds shows, and no timer is asked to wait for ever.
Seconds = Annotated[float, Meta(gt=0, le=86400, extra={"unit": "seconds"})]
