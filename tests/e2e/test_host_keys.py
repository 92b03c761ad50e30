"""SSH host keys and user keys: nobody is trusted unasked, and a key that changed is never forgiven."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.hosts import IMPATIENT, add_host, detail, host_sshd, pinned, ssh_uri, wait_for_host
from tests.e2e.manager import Manager
from tests.lab import PrivateLibvirtd, PrivateSshd

pytestmark = pytest.mark.lab

ACCEPT_NEW = IMPATIENT + '\nunknown_host_keys = "accept-new"\n'


def refusal_of(manager: Manager, host: str, uri: str, **more: object) -> tuple[int, dict[str, Any]]:
    answer = manager.post("/hosts", {"id": host, "uri": uri, **more})
    return answer.status_code, answer.json()


def test_an_unknown_host_key_is_refused_with_its_type_and_fingerprint(
    impatient: Manager, sshd: PrivateSshd, strange: str
) -> None:
    status, problem = refusal_of(impatient, "strange", strange)

    assert (status, problem["code"]) == (409, "host-key-unknown")
    assert problem["host_key"]["type"] == "ssh-ed25519"
    assert problem["host_key"]["fingerprint"] == sshd.host_key_fingerprint
    assert problem["host_key"]["address"] == f"[127.0.0.1]:{sshd.port}"
    assert sshd.host_key_fingerprint in problem["detail"]
    assert '"host_key"' in problem["detail"]


def test_a_host_with_an_unknown_key_gets_no_login_and_is_not_stored(
    impatient: Manager, sshd: PrivateSshd, strange: str
) -> None:
    refusal_of(impatient, "strange", strange)

    assert sshd.login_count() == 0
    assert impatient.get("/hosts/strange").status_code == 404


def test_another_fingerprint_approves_nothing(impatient: Manager, strange: str) -> None:
    status, problem = refusal_of(impatient, "strange", strange, host_key=f"SHA256:{'A' * 43}")

    assert (status, problem["code"]) == (409, "host-key-unknown")


def test_an_approved_host_key_is_pinned_and_survives_a_restart(
    new_manager: Callable[..., Manager], sshd: PrivateSshd, strange: str
) -> None:
    manager = new_manager(IMPATIENT)
    host = add_host(manager, "approved", strange, host_key=sshd.host_key_fingerprint)

    manager.restart()

    assert wait_for_host(manager, host, "connected")["code"] == ""


def test_accept_new_pins_what_it_sees_first(
    new_manager: Callable[..., Manager], sshd: PrivateSshd, strange: str
) -> None:
    manager = new_manager(ACCEPT_NEW)
    host = add_host(manager, "accepted", strange)
    sshd.new_host_key()

    changed = wait_for_host(manager, host, "refused")

    assert changed["code"] == "host-key-changed"


def test_a_changed_host_key_is_refused_with_both_fingerprints_and_never_heals(
    impatient: Manager, sshd: PrivateSshd, strange: str
) -> None:
    old = sshd.host_key_fingerprint
    host = add_host(impatient, "changed", strange, host_key=old)
    logins = sshd.login_count()
    sshd.new_host_key()

    refused = wait_for_host(impatient, host, "refused")
    time.sleep(2.5)  # it is tried again every second here
    approval = impatient.post(f"{host}/connect", {"host_key": sshd.host_key_fingerprint})

    assert refused["code"] == "host-key-changed"
    assert old in refused["reason"]
    assert sshd.host_key_fingerprint in refused["reason"]
    assert detail(impatient, host)["state"] == "refused"
    assert (approval.status_code, approval.json()["code"]) == (409, "host-key-changed")
    assert sshd.login_count() == logins
    impatient.delete(host)


def test_the_problem_of_a_changed_host_key_names_both_keys(
    impatient: Manager, sshd: PrivateSshd, tmp_path: Path
) -> None:
    old_file, old = sshd.known_hosts, sshd.host_key_fingerprint
    sshd.new_host_key()

    status, problem = refusal_of(impatient, "changed", ssh_uri(sshd, known_hosts=old_file))

    assert (status, problem["code"]) == (409, "host-key-changed")
    assert problem["host_key"]["fingerprint"] == sshd.host_key_fingerprint
    assert [key["fingerprint"] for key in problem["trusted_host_keys"]] == [old]


def test_a_changed_host_key_stays_refused_after_a_restart_under_accept_new(
    new_manager: Callable[..., Manager], sshd: PrivateSshd, strange: str
) -> None:
    manager = new_manager(ACCEPT_NEW)
    host = add_host(manager, "accepted", strange)
    manager.terminate()
    sshd.new_host_key()

    manager.start()

    assert wait_for_host(manager, host, "refused")["code"] == "host-key-changed"


def test_a_host_that_shows_its_old_key_again_is_connected_again(
    new_manager: Callable[..., Manager], sshd: PrivateSshd, strange: str, libvirtd: PrivateLibvirtd, tmp_path: Path
) -> None:
    manager = new_manager(IMPATIENT)
    host = add_host(manager, "returns", strange, host_key=sshd.host_key_fingerprint)
    sshd.kill()
    with host_sshd(tmp_path / "impostor", libvirtd) as impostor:
        impostor.stop()
        config = impostor.folder / "sshd_config"
        config.write_text(config.read_text().replace(str(impostor.port), str(sshd.port)))
        impostor.port = sshd.port
        impostor.start()
        wait_for_host(manager, host, "refused")

    sshd.start()

    wait_for_host(manager, host, "connected")


def test_a_wrong_user_key_is_an_authentication_failure(
    impatient: Manager, sshd: PrivateSshd, libvirtd: PrivateLibvirtd, tmp_path: Path
) -> None:
    with host_sshd(tmp_path / "other", libvirtd) as other:
        status, problem = refusal_of(impatient, "stranger", ssh_uri(sshd, keyfile=other.user_key))

    assert (status, problem["code"]) == (502, "authentication-failed")
    assert "root" in problem["detail"]
    assert "authorized_keys" in problem["detail"]


def test_a_user_key_that_is_taken_away_makes_the_host_refused_until_it_is_back(
    impatient: Manager, sshd: PrivateSshd
) -> None:
    host = add_host(impatient, "locked-out", ssh_uri(sshd))
    keys = sshd.authorized_keys.read_text()
    sshd.authorized_keys.write_text("")
    sshd.kill()
    sshd.start()

    refused = wait_for_host(impatient, host, "refused")
    sshd.authorized_keys.write_text(keys)

    assert refused["code"] == "authentication-failed"
    wait_for_host(impatient, host, "connected")
    impatient.delete(host)


@pytest.mark.parametrize(
    "parameter", ["no_verify=1", "command=/bin/true", "netcat=/bin/nc", "known_hosts_verify=ignore"]
)
def test_a_parameter_that_weakens_the_connection_is_refused_before_any_dialling(
    impatient: Manager, sshd: PrivateSshd, parameter: str
) -> None:
    status, problem = refusal_of(impatient, "weak", f"{ssh_uri(sshd)}&{parameter}")

    assert (status, problem["code"]) == (422, "invalid-value")
    assert [field["field"] for field in problem["fields"]] == ["uri"]
    assert parameter.split("=", maxsplit=1)[0] in problem["detail"]
    assert sshd.connection_count() == 0


def test_a_pinned_key_is_listed_and_given_up(impatient: Manager, sshd: PrivateSshd, strange: str) -> None:
    host = add_host(impatient, "kept", strange, host_key=sshd.host_key_fingerprint)
    path = f"{host}/host-keys/{quote(sshd.host_key_fingerprint, safe='')}"
    assert pinned(impatient, host) == [sshd.host_key_fingerprint]

    assert [impatient.delete(path).status_code for _ in range(2)] == [204, 404]

    assert pinned(impatient, host) == []
    assert detail(impatient, host)["state"] == "connected"
    impatient.post(f"{host}/disconnect")
    refused = impatient.post(f"{host}/connect")
    assert (refused.status_code, refused.json()["code"]) == (409, "host-key-unknown")


def test_a_key_that_was_changed_on_purpose_is_rotated_and_no_other(
    impatient: Manager, sshd: PrivateSshd, strange: str
) -> None:
    old = sshd.host_key_fingerprint
    host = add_host(impatient, "rotated", strange, host_key=old)
    sshd.new_host_key()
    new = sshd.host_key_fingerprint
    wrong = impatient.post(f"{host}/host-keys/rotate", {"old": old, "new": f"SHA256:{'A' * 43}"})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "host-key-unknown")
    assert pinned(impatient, host) == [old], "nothing is lost"

    rotated = impatient.post(f"{host}/host-keys/rotate", {"old": old, "new": new})

    assert (rotated.status_code, rotated.json()["state"]) == (200, "connected")
    assert pinned(impatient, host) == [new]
    assert impatient.post(f"{host}/host-keys/rotate", {"old": old, "new": new}).status_code == 404


def test_accept_new_does_not_weaken_a_rotation(
    new_manager: Callable[..., Manager], sshd: PrivateSshd, strange: str
) -> None:
    manager = new_manager(ACCEPT_NEW)
    host, old = add_host(manager, "rotated", strange), sshd.host_key_fingerprint
    sshd.new_host_key()
    logins = sshd.login_count()

    wrong = manager.post(f"{host}/host-keys/rotate", {"old": old, "new": f"SHA256:{'A' * 43}"})

    assert (wrong.status_code, wrong.json()["code"]) == (409, "host-key-unknown")
    assert (pinned(manager, host), sshd.login_count()) == ([old], logins)


def test_a_rotation_that_fails_leaves_a_connection_alone_and_a_disconnected_host_stays_so(
    impatient: Manager, sshd: PrivateSshd, strange: str
) -> None:
    old = sshd.host_key_fingerprint
    host = add_host(impatient, "calm", strange, host_key=old)
    since = detail(impatient, host)["since"]

    wrong = impatient.post(f"{host}/host-keys/rotate", {"old": old, "new": f"SHA256:{'A' * 43}"})

    assert (wrong.status_code, wrong.json()["code"]) == (409, "host-key-unknown")
    assert (detail(impatient, host)["state"], detail(impatient, host)["since"]) == ("connected", since)
    impatient.post(f"{host}/disconnect")
    sshd.new_host_key()
    rotated = impatient.post(f"{host}/host-keys/rotate", {"old": old, "new": sshd.host_key_fingerprint})
    assert (rotated.status_code, rotated.json()["state"]) == (200, "stopped")
    assert pinned(impatient, host) == [sshd.host_key_fingerprint]
