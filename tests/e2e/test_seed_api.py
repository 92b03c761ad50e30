"""Every endpoint of the base API against a host over SSH, compared with what virsh says of the same host."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.hosts import add_host, rows, ssh_uri, vms
from tests.e2e.manager import Manager
from tests.e2e.observer import dominfo, domstats, dumpxml, facts, kib
from tests.lab import PrivateLibvirtd, PrivateSshd, firmware_guest, plain_definition

pytestmark = pytest.mark.lab

NETWORK = "<network><name>seed-net</name><bridge name='virbr-seed'/></network>"
VM_TYPES = {
    "id": int,
    "name": str,
    "state": int,
    "max_mem": int,
    "memory": int,
    "vcpu": int,
    "cpu_time": int,
    "uptime": int,
    "persistent": bool,
    "autostart": bool,
    "graphics": dict,
    "uuid": str,
    "db_id": int,
    "description": str,
    "vcpu_count": int,
    "memory_bytes": int,
    "is_template": bool,
    "cpu_model": str,
    "cpu_topology_json": str,
    "managed_save": bool,
    "state_reason": str,
    "state_since": type(None),
}
ROW_TYPES = {
    "ID": int,
    "CreatedAt": str,
    "UpdatedAt": str,
    "DeletedAt": type(None),
    "name": str,
    "host_id": str,
    "config_json": str,
}


def types(document: dict[str, object]) -> dict[str, type]:
    return {key: type(value) for key, value in document.items()}


@pytest.fixture(scope="module")
def seed(libvirtd: PrivateLibvirtd, kvm1: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running guest with a disk and a NIC on a bridge, and one that is shut off; returns the path of their host."""
    disk = tmp_path_factory.mktemp("seed") / "seed.img"
    disk.write_bytes(bytes(1024 * 1024))
    net = Path(libvirtd.folder) / "seed-net.xml"
    net.write_text(NETWORK)
    libvirtd.virsh("net-define", str(net))
    libvirtd.virsh("net-start", "seed-net")
    guest = firmware_guest("seed-running", vcpus=2, disks=[disk], networks=["seed-net"], description="A seed")
    libvirtd.define(guest, plain_definition("seed-off", memory_mib=96, vcpus=3))
    libvirtd.virsh("start", "seed-running")
    yield kvm1
    libvirtd.destroy("seed-running")
    for name in ("seed-running", "seed-off"):
        libvirtd.virsh("undefine", name)
    libvirtd.virsh("net-destroy", "seed-net")
    libvirtd.virsh("net-undefine", "seed-net")


def test_an_added_host_is_answered_with_its_location(manager: Manager, kvm1_sshd: PrivateSshd) -> None:
    uri = ssh_uri(kvm1_sshd)

    added = manager.post("/hosts", {"id": "added", "uri": uri})

    assert (added.status_code, added.json()) == (201, {"id": "added", "uri": uri})
    assert added.headers["location"] == "/api/v1/hosts/added"
    assert {"id": "added", "uri": uri} in manager.get("/hosts").json()
    manager.delete("/hosts/added")


def test_a_deleted_host_is_gone_with_its_rows(manager: Manager, kvm1_sshd: PrivateSshd) -> None:
    host = add_host(manager, "deleted", ssh_uri(kvm1_sshd))
    vms(manager, host)

    assert manager.delete(host).status_code == 204

    assert [manager.get(host + path).status_code for path in ("", "/info", "/vms", "/vms/db")] == [404] * 4
    assert "deleted" not in {host["id"] for host in manager.get("/hosts").json()}


def test_a_deleted_host_can_be_added_again_with_its_vms(manager: Manager, kvm1_sshd: PrivateSshd, seed: str) -> None:
    host = add_host(manager, "again", ssh_uri(kvm1_sshd))
    before = set(vms(manager, host))
    manager.delete(host)

    add_host(manager, "again", ssh_uri(kvm1_sshd))

    assert set(vms(manager, host)) == set(rows(manager, host)) == before
    manager.delete(host)


def test_info_is_what_virsh_says_of_the_host(manager: Manager, libvirtd: PrivateLibvirtd, kvm1: str) -> None:
    info = manager.get(f"{kvm1}/info").json()

    node = facts(libvirtd.virsh("nodeinfo"))
    # Not nodeinfo's memory: with some kinds of added memory it counts only a part.
    memory = facts(libvirtd.virsh("nodememstats"))
    assert info == {
        "hostname": libvirtd.virsh("hostname").strip(),
        "cpu": int(node["CPU(s)"]),
        "memory": kib(memory["total"]),
        "cores": int(node["Core(s) per socket"]),
        "threads": int(node["Thread(s) per core"]),
    }


@pytest.mark.parametrize("name", ["seed-running", "seed-off"])
def test_a_listed_vm_has_exactly_the_documented_keys(manager: Manager, seed: str, name: str) -> None:
    vm = vms(manager, seed)[name]

    assert types(vm) == VM_TYPES
    assert types(vm["graphics"]) == {"vnc": bool, "spice": bool}


def test_the_list_names_the_domains_of_virsh(manager: Manager, libvirtd: PrivateLibvirtd, seed: str) -> None:
    assert sorted(vms(manager, seed)) == sorted(libvirtd.domains())


@pytest.mark.parametrize("name", ["seed-running", "seed-off"])
def test_a_listed_vm_is_what_dominfo_says(manager: Manager, libvirtd: PrivateLibvirtd, seed: str, name: str) -> None:
    vm = vms(manager, seed)[name]

    info = dominfo(libvirtd, name)
    assert vm["id"] == int(info["Id"].replace("-", "0"))
    assert vm["uuid"] == info["UUID"]
    assert {1: "running", 5: "shut off"}[vm["state"]] == info["State"]
    assert (vm["max_mem"], vm["memory"]) == (kib(info["Max memory"]), kib(info["Used memory"]))
    assert vm["memory_bytes"] == vm["max_mem"] * 1024
    assert vm["vcpu"] == vm["vcpu_count"] == int(info["CPU(s)"])
    assert (vm["persistent"], vm["autostart"]) == (info["Persistent"] == "yes", info["Autostart"] == "enable")


def test_a_description_is_listed(manager: Manager, seed: str) -> None:
    assert vms(manager, seed)["seed-running"]["description"] == "A seed"


def test_the_cpu_time_of_a_listed_vm_is_that_of_domstats(
    manager: Manager, libvirtd: PrivateLibvirtd, seed: str
) -> None:
    before = int(domstats(libvirtd, "seed-running")["cpu.time"])

    listed = vms(manager, seed)["seed-running"]["cpu_time"]

    assert before <= listed <= int(domstats(libvirtd, "seed-running")["cpu.time"])


def test_a_vm_that_is_shut_off_has_no_cpu_time_and_no_uptime(manager: Manager, seed: str) -> None:
    vm = vms(manager, seed)["seed-off"]

    assert (vm["id"], vm["cpu_time"], vm["uptime"]) == (0, 0, -1)


def test_stored_rows_are_in_step_when_the_list_has_answered(manager: Manager, seed: str) -> None:
    live = vms(manager, seed)

    stored = rows(manager, seed)

    assert set(stored) == set(live)
    assert all(types(row) == ROW_TYPES for row in stored.values())
    for name, row in stored.items():
        document = json.loads(row["config_json"])
        assert (row["ID"], row["host_id"], document["uuid"]) == (live[name]["db_id"], "kvm1", live[name]["uuid"])
        assert (types(document), document["state"]) == (VM_TYPES, live[name]["state"])


def test_stats_are_those_of_domstats(manager: Manager, libvirtd: PrivateLibvirtd, seed: str) -> None:
    before = domstats(libvirtd, "seed-running")
    stats = manager.get(f"{seed}/vms/seed-running/stats").json()
    after = domstats(libvirtd, "seed-running")

    assert list(stats) == ["state", "memory", "max_mem", "vcpu", "cpu_time", "disk_stats", "net_stats"]
    assert stats["state"] == 1
    assert stats["memory"] == int(before["balloon.current"])
    assert stats["max_mem"] == int(before["balloon.maximum"])
    assert stats["vcpu"] == int(before["vcpu.current"])
    assert int(before["cpu.time"]) <= stats["cpu_time"] <= int(after["cpu.time"])
    (disk,), (nic,) = stats["disk_stats"], stats["net_stats"]
    assert (disk["device"], nic["device"]) == (before["block.0.name"], before["net.0.name"])
    assert int(before["block.0.rd.bytes"]) <= disk["read_bytes"] <= int(after["block.0.rd.bytes"])
    assert int(before["net.0.rx.bytes"]) <= nic["read_bytes"] <= int(after["net.0.rx.bytes"])
    assert int(before["net.0.tx.bytes"]) <= nic["write_bytes"] <= int(after["net.0.tx.bytes"])


def test_stats_of_a_vm_that_is_shut_off_are_zero(manager: Manager, seed: str) -> None:
    assert manager.get(f"{seed}/vms/seed-off/stats").json() == {
        "state": 5,
        "memory": 0,
        "max_mem": 96 * 1024,
        "vcpu": 3,
        "cpu_time": 0,
        "disk_stats": [],
        "net_stats": [],
    }


def test_hardware_is_that_of_the_live_xml(manager: Manager, libvirtd: PrivateLibvirtd, seed: str) -> None:
    hardware = manager.get(f"{seed}/vms/seed-running/hardware").json()

    xml = dumpxml(libvirtd, "seed-running")
    disk, nic = xml.find("devices/disk"), xml.find("devices/interface")
    assert disk is not None
    assert nic is not None
    file, driver = disk.find("source"), disk.find("driver")
    bridge, target, mac = nic.find("source"), nic.find("target"), nic.find("mac")
    assert not any(element is None for element in (file, driver, bridge, target, mac))
    (listed_disk,), (listed_nic,) = hardware["disks"], hardware["networks"]
    assert listed_disk == {
        "type": "file",
        "device": "disk",
        "driver": {"driver_name": "qemu", "driver_type": "raw", "type": "raw"},
        "source": listed_disk["source"],
        "path": file.get("file"),
        "target": {"dev": "vda", "bus": "virtio"},
    }
    assert listed_disk["source"]["file"] == file.get("file")
    assert listed_nic == {
        "type": "network",
        "mac": {"address": mac.get("address")},
        "source": listed_nic["source"],
        "model": {"model_type": "virtio", "type": "virtio"},
        "target": {"dev": target.get("dev")},
    }
    assert (listed_nic["source"]["network"], listed_nic["source"]["bridge"]) == ("seed-net", bridge.get("bridge"))


def test_hardware_of_a_vm_without_devices_has_empty_lists(manager: Manager, seed: str) -> None:
    assert manager.get(f"{seed}/vms/seed-off/hardware").json() == {"disks": [], "networks": []}


def test_a_vm_is_found_by_its_uuid_too(manager: Manager, seed: str) -> None:
    uuid = vms(manager, seed)["seed-off"]["uuid"]

    assert manager.get(f"{seed}/vms/{uuid}/stats").json() == manager.get(f"{seed}/vms/seed-off/stats").json()


def test_a_name_may_hold_any_character(manager: Manager, libvirtd: PrivateLibvirtd, kvm1: str) -> None:
    name = "a ü&?#%2F+\"b'"
    libvirtd.define(plain_definition(name))

    answer = manager.get(f"{kvm1}/vms/{quote(name, safe='')}/stats")

    libvirtd.virsh("undefine", name)
    assert (answer.status_code, answer.json().get("max_mem")) == (200, 64 * 1024), answer.text


@pytest.mark.parametrize("path", ["/stats", "/hardware"])
def test_an_unknown_vm_is_not_found(manager: Manager, kvm1: str, path: str) -> None:
    answer = manager.get(f"{kvm1}/vms/nobody{path}")

    assert (answer.status_code, answer.json()["code"]) == (404, "vm-not-found")


def test_graphics_of_vms_that_run_and_that_do_not(manager: Manager, libvirtd: PrivateLibvirtd, seed: str) -> None:
    libvirtd.define(firmware_guest("seed-screens"))

    listed = vms(manager, seed)

    libvirtd.virsh("undefine", "seed-screens")
    both, none = {"vnc": True, "spice": True}, {"vnc": False, "spice": False}
    assert listed["seed-running"]["graphics"] == listed["seed-screens"]["graphics"] == both
    assert listed["seed-off"]["graphics"] == none


def test_all_of_this_went_over_one_ssh_connection(manager: Manager, kvm1_sshd: PrivateSshd, seed: str) -> None:
    before = kvm1_sshd.connection_count()

    for path in ("/info", "/vms", "/vms/seed-running/stats", "/vms/seed-running/hardware"):
        assert manager.get(seed + path).status_code == 200
    assert manager.post(f"{seed}/vms/seed-running/forcereset").status_code == 204

    assert kvm1_sshd.connection_count() == before
