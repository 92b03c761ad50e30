"""Functions of other plugins, run with libvirt's objects; what they return is plain data, and holds none of these."""

import traceback
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from virtumancer.errors import FunctionFailed, VirtumancerError
from virtumancer_libvirt.binding.api import libvirt

__all__ = ["handed"]

T = TypeVar("T")

_AS_THEY_ARE = (bytes, bytearray, memoryview, datetime, date, time, timedelta, UUID, Decimal)


def handed(function: Callable[[Any], T], thing: Any) -> T:
    """Run a function with an object of libvirt. Raises what libvirt raises, our errors, and `FunctionFailed`."""
    failure: BaseException
    try:
        returned = function(thing)
        msgspec.to_builtins(returned, builtin_types=_AS_THEY_ARE)
    except (libvirt.libvirtError, VirtumancerError):
        raise
    except BaseException as error:  # noqa: BLE001 - it is for who handed the function over
        failure = error
    else:
        return returned
    if isinstance(failure, TypeError) and "Encoding objects" in str(failure):
        failure = TypeError(f"only plain data leaves the thread of the driver: {failure}")
    traceback.clear_frames(failure.__traceback__)  # its frames would take the object out of its thread
    del thing
    raise FunctionFailed(failure) from failure
