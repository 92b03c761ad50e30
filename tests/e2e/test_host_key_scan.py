"""Looking at host keys and approving them, against a real sshd; and what a changed one leaves behind."""

from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.e2e.hosts import IMPATIENT, add_host, pinned, wait_for_host
from tests.e2e.manager import Manager
from tests.e2e.test_audit import exported
from tests.lab import PrivateSshd, wait_until

pytestmark = pytest.mark.lab


def test_keys_are_looked_at_before_a_host_is_added_and_nothing_of_the_api_is_sent(
    impatient: Manager, sshd: PrivateSshd, strange: str
) -> None:
    answer = impatient.post("/host-keys/scan", {"uri": strange})

    assert answer.status_code == 200, answer.text
    assert [(key["fingerprint"], key["trust"]) for key in answer.json()] == [(sshd.host_key_fingerprint, "unknown")]
    assert sshd.login_count() == 0
    assert "authenticating" not in sshd.log.read_text()


def test_a_key_is_approved_once_the_host_shows_it_and_counts_for_the_next_connection(
    impatient: Manager, sshd: PrivateSshd, strange: str
) -> None:
    fingerprint = sshd.host_key_fingerprint
    host = add_host(impatient, "approved-later", strange, host_key=fingerprint)
    impatient.post(f"{host}/disconnect")
    impatient.delete(f"{host}/host-keys/{quote(fingerprint, safe='')}")
    assert impatient.post(f"{host}/connect").json()["code"] == "host-key-unknown"

    wrong = impatient.post(f"{host}/host-keys", {"fingerprint": f"SHA256:{'A' * 43}"})
    right = impatient.post(f"{host}/host-keys", {"fingerprint": fingerprint})

    assert (wrong.status_code, right.status_code) == (409, 201)
    assert pinned(impatient, host) == [fingerprint]
    assert impatient.post(f"{host}/host-keys/scan").json()[0]["trust"] == "pinned"
    assert impatient.post(f"{host}/connect").json()["state"] == "connected"


def test_a_change_of_key_is_on_record_once_and_approving_does_not_heal_it(
    new_manager: Callable[..., Manager], sshd: PrivateSshd, strange: str
) -> None:
    manager = new_manager(IMPATIENT)
    old = sshd.host_key_fingerprint
    host = add_host(manager, "changed", strange, host_key=old)
    sshd.new_host_key()
    wait_for_host(manager, host, "refused")
    before = sshd.connection_count()
    wait_until(lambda: sshd.connection_count() >= before + 2, "it is tried again", 15)

    looked = manager.post(f"{host}/host-keys/scan").json()
    approval = manager.post(f"{host}/host-keys", {"fingerprint": sshd.host_key_fingerprint})

    assert [key["trust"] for key in looked] == ["changed"]
    assert (approval.status_code, approval.json()["code"]) == (409, "host-key-changed")
    assert pinned(manager, host) == [old]
    alarms = [record for record in exported(manager) if record["actor"] == "the server"]
    assert [record["outcome"] for record in alarms] == ["", "host-key-changed"]
    uri = alarms[0]["target"].pop("uri")
    assert uri == manager.get(host).json()["uri"]
    assert alarms[0]["target"] == {
        "host": "changed",
        "address": f"[127.0.0.1]:{sshd.port}",
        "shown": sshd.host_key_fingerprint,
        "trusted": old,
    }
