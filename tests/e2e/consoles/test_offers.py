"""What a VM offers, and why something cannot be opened."""

from collections.abc import Callable

import pytest

from tests.e2e.consoles.api import Consoles
from tests.e2e.consoles.guests import LinuxGuest, without_graphics
from tests.lab import PrivateLibvirtd, plain_definition

pytestmark = pytest.mark.lab


def test_a_running_vm_offers_its_consoles(consoles: Consoles, linux: LinuxGuest) -> None:
    offers = consoles.offers(linux.name)

    assert set(offers) == {"vnc", "spice", "serial"}
    assert all(offer["available"] for offer in offers.values()), offers


def test_a_vm_that_is_off_says_why_its_consoles_are_not_available(
    consoles: Consoles, firmware: Callable[..., str]
) -> None:
    offers = consoles.offers(firmware("offers-off", running=False))

    assert set(offers) == {"vnc", "spice", "serial"}
    assert not any(offer["available"] for offer in offers.values())
    assert all("start" in offer["reason"] for offer in offers.values()), offers


def test_a_vm_without_consoles_offers_none(consoles: Consoles, libvirtd: PrivateLibvirtd) -> None:
    libvirtd.define(plain_definition("plain"))
    offers = consoles.offers("plain")
    libvirtd.virsh("undefine", "plain")

    assert offers == {}


def test_a_console_that_the_vm_does_not_have_is_refused_before_the_upgrade(
    consoles: Consoles, firmware: Callable[..., str]
) -> None:
    name = firmware("without-spice", lambda definition: without_graphics(definition, "spice"))

    status, problem = consoles.refusal(consoles.url(name, "spice"))

    assert (status, problem["code"]) == (404, "console-not-found")
    assert "spice" in problem["detail"]


def test_a_console_of_an_unknown_vm_is_refused_before_the_upgrade(consoles: Consoles) -> None:
    status, problem = consoles.refusal(consoles.url("nobody", "console"))

    assert (status, problem["code"]) == (404, "vm-not-found")
