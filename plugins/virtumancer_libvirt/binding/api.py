"""The border to libvirt: the only module that imports it, runs its event loop and turns its errors into ours."""

import importlib
import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

from virtumancer.errors import (
    AbilityMissing,
    AuthenticationFailed,
    HostLost,
    HostUnreachable,
    HypervisorError,
    VirtumancerError,
    VMNotFound,
    WrongPowerState,
)

__all__ = ["libvirt", "open_raw", "reason_of", "start_event_loop", "translated"]

log = logging.getLogger(__name__)


def _import_libvirt() -> Any:
    try:
        return importlib.import_module("libvirt")
    except ModuleNotFoundError as error:
        cure = "install virtumancer[libvirt], or the distribution's python3-libvirt"
        raise ImportError(f"The libvirt driver needs libvirt's Python binding: {cure}.") from error


libvirt = _import_libvirt()

# Without VIR_ERR_RPC: the daemon says that too, when an answer gets too big.
_CONNECTION_CODES = frozenset({libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR})
_AUTH_CODES = frozenset(
    {
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_CANCELLED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
        libvirt.VIR_ERR_ACCESS_DENIED,
    }
)


# What is in a wrong state there is a network or a pool, and no VM.
_NOT_OF_VMS = frozenset(
    {
        libvirt.VIR_FROM_NETWORK,
        libvirt.VIR_FROM_STORAGE,
        libvirt.VIR_FROM_NWFILTER,
        libvirt.VIR_FROM_INTERFACE,
        libvirt.VIR_FROM_NODEDEV,
        libvirt.VIR_FROM_SECRET,
    }
)


def _ignore(_context: object, _error: object) -> None:
    return


@cache
def _event_loop_guard() -> threading.Lock:
    return threading.Lock()


@cache
def _event_thread() -> threading.Thread:
    # Without a handler of our own libvirt prints every error to stderr; they all come as exceptions anyway.
    libvirt.registerErrorHandler(_ignore, None)
    libvirt.virEventRegisterDefaultImpl()
    thread = threading.Thread(target=_run_events, name="libvirt-events", daemon=True)
    thread.start()
    return thread


def start_event_loop() -> None:
    """Start libvirt's event loop on its own thread, once; libvirt has one per process and it cannot be stopped.

    It must run before the first connection is opened, or that connection has neither events nor keepalive.
    """
    with _event_loop_guard():
        _event_thread()


def _run_events() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            log.warning("libvirt's event loop failed and goes on: %s", error)
            time.sleep(0.1)  # a failure that repeats must not take a whole core


def open_raw(uri: str, label: str) -> Any:
    """Open a virConnect; blocks for as long as the other side likes. `label` names the host in errors."""
    try:
        return libvirt.open(uri)
    except libvirt.libvirtError as error:
        reason = reason_of(error)
        message = f"Host {label} cannot be connected: {reason}."
        if error.get_error_code() in _AUTH_CODES:
            cure = "Give the account access to libvirt, by its group or a polkit rule."
            raise AuthenticationFailed(f"Host {label} does not let us in: {reason}. {cure}") from error
        if error.get_error_domain() == libvirt.VIR_FROM_RPC:
            raise HostUnreachable(f"{message} Check that libvirt's daemon runs there and listens.") from error
        raise HypervisorError(message) from error


@contextmanager
def translated(raw: Any, label: str, doing: str) -> Generator[None, None, None]:
    """Turn a libvirt error inside the block into one of ours; `doing` completes "Host kvm1 cannot …"."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise _translate(error, raw, label, doing) from error


def _translate(error: Any, raw: Any, label: str, doing: str) -> VirtumancerError:
    code, message = error.get_error_code(), f"Host {label} cannot {doing}: {reason_of(error)}."
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return VMNotFound(message)
    if code == libvirt.VIR_ERR_OPERATION_INVALID and error.get_error_domain() not in _NOT_OF_VMS:
        return WrongPowerState(message)
    if code in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_UNSUPPORTED):
        return AbilityMissing(message, ability=doing)
    if _is_broken(error, raw):
        return HostLost(f"The connection to host {label} broke while we asked it to {doing}: {reason_of(error)}.")
    if code in _AUTH_CODES:
        return AuthenticationFailed(message)
    return HypervisorError(message)


def _is_broken(error: Any, raw: Any) -> bool:
    """Say whether this error means that the connection is of no use any more."""
    if error.get_error_domain() == libvirt.VIR_FROM_RPC and error.get_error_code() in _CONNECTION_CODES:
        return True
    try:
        return not raw.isAlive()
    except libvirt.libvirtError:  # a connection that cannot even say so is not alive
        return True


def reason_of(error: Any) -> str:
    """Return libvirt's own words on one line, without the full stop."""
    return " ".join(str(error).split()).rstrip(".")
