"""A descriptor on its way from a thread reaches its taker or is closed."""

import os

import pytest

from virtumancer_libvirt.consoles.fd_handoff import Handover


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.fixture
def descriptor() -> int:
    return os.open("/dev/null", os.O_RDONLY)


def test_what_was_put_is_taken(descriptor: int) -> None:
    handover = Handover()
    handover.put(lambda: descriptor)
    assert handover.take() == descriptor
    handover.abandon()
    assert is_open(descriptor), "it is the taker's"
    os.close(descriptor)


def test_what_nobody_took_is_closed(descriptor: int) -> None:
    handover = Handover()
    handover.put(lambda: descriptor)
    handover.abandon()
    assert not is_open(descriptor)


def test_what_comes_too_late_is_closed(descriptor: int) -> None:
    handover = Handover()
    handover.abandon()
    handover.put(lambda: descriptor)
    assert not is_open(descriptor)


def test_nothing_can_be_taken_when_nothing_was_put() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Handover().take()
