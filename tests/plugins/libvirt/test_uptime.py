"""Since when VMs run: starts that were seen, and pid files of those before."""

import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtumancer_libvirt.ssh.exec import LARGEST_OUTPUT
from virtumancer_libvirt.uri.uri import parse
from virtumancer_libvirt.vms.process_age import local_ages, remote_ages
from virtumancer_libvirt.vms.uptime import Uptimes, age_command, ages_in_folder, ages_in_output

ODD_NAMES = ["web01", "two words", "line\nbreak", "quote'\"$(id)", "-n", "ümlaut", "a.pid"]


def pid_file(folder: Path, name: str, age: float) -> None:
    file = folder / f"{name}.pid"
    file.write_text("1")
    os.utime(file, (time.time() - age, time.time() - age))


def test_a_start_that_was_seen_counts_from_then() -> None:
    uptimes = Uptimes()
    uptimes.started("u")
    assert uptimes.of("u", "web01") == 0


def test_a_vm_nobody_knows_about_has_no_uptime() -> None:
    assert Uptimes().of("u", "web01") == -1


def test_a_vm_that_ran_before_has_the_age_of_its_pid_file() -> None:
    uptimes = Uptimes()
    uptimes.load({"web01": 100.5})
    assert uptimes.of("u", "web01") == 100


def test_a_start_that_was_seen_is_known_better_than_a_pid_file() -> None:
    uptimes = Uptimes()
    uptimes.started("u")
    uptimes.load({"web01": 100.0})
    assert uptimes.of("u", "web01") == 0


def test_a_vm_that_stopped_is_forgotten() -> None:
    uptimes = Uptimes()
    uptimes.load({"web01": 100.0})
    uptimes.stopped("u", "web01")
    assert uptimes.of("u", "web01") == -1


def test_pid_files_of_this_machine_are_read(tmp_path: Path) -> None:
    pid_file(tmp_path, "web01", 50)
    (tmp_path / "web01.xml").touch()
    assert {name: round(age) for name, age in ages_in_folder(tmp_path).items()} == {"web01": 50}


def test_a_folder_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert ages_in_folder(tmp_path / "none") == {}


def test_the_remote_command_tells_every_name_whatever_it_holds(tmp_path: Path) -> None:
    for number, name in enumerate(ODD_NAMES):
        pid_file(tmp_path, name, 100 * (number + 1))
    output = subprocess.run(age_command((str(tmp_path),)), shell=True, capture_output=True, check=True).stdout.decode()
    ages = ages_in_output(output)
    assert set(ages) == set(ODD_NAMES)
    assert ages["web01"] == pytest.approx(100, abs=3)


def test_the_remote_command_works_with_busybox(tmp_path: Path) -> None:
    busybox = subprocess.run(["which", "busybox"], capture_output=True, text=True, check=False).stdout.strip()
    if not busybox:
        pytest.skip("no busybox here")
    for name in ("sh", "stat", "date"):
        (tmp_path / name).symlink_to(busybox)
    files = tmp_path / "pids"
    files.mkdir()
    pid_file(files, "two words", 60)
    command = age_command((str(files),))
    output = subprocess.run(
        ["/bin/sh", "-c", command], env={"PATH": str(tmp_path)}, capture_output=True, check=True, text=True
    ).stdout
    assert ages_in_output(output)["two words"] == pytest.approx(60, abs=3)


@pytest.mark.parametrize("greeting", ["Welcome!", "Authorized users only.\n\n", "1234\n"])
def test_a_login_shell_that_greets_hides_nothing(tmp_path: Path, greeting: str) -> None:
    pid_file(tmp_path, "web01", 60)
    command = f"printf {shlex.quote(greeting)}; {age_command((str(tmp_path),))}"
    output = subprocess.run(command, shell=True, capture_output=True, check=True, text=True).stdout
    assert ages_in_output(output) == {"web01": pytest.approx(60, abs=3)}


def test_the_remote_command_is_one_that_csh_takes() -> None:
    command = age_command(("/run/libvirt/qemu",))
    assert "\n" not in command
    assert "!" not in command


@pytest.mark.parametrize("shell", ["tcsh", "fish"])
def test_the_remote_command_works_in_other_shells(tmp_path: Path, shell: str) -> None:
    if not (program := shutil.which(shell)):
        pytest.skip(f"no {shell} here")
    pid_file(tmp_path, "two words", 60)
    output = subprocess.run([program, "-c", age_command((str(tmp_path),))], capture_output=True, check=True, text=True)
    assert ages_in_output(output.stdout) == {"two words": pytest.approx(60, abs=3)}


def test_more_names_than_a_command_takes_are_told(tmp_path: Path) -> None:
    for number in range(12_000):
        (tmp_path / f"{number:0200}.pid").touch()  # 2.4 MB in all; Linux takes 2 MiB
    output = subprocess.run(age_command((str(tmp_path),)), shell=True, capture_output=True, check=True, text=True)
    assert len(ages_in_output(output.stdout)) == 12_000
    assert len(output.stdout) < LARGEST_OUTPUT


@pytest.mark.parametrize("name", ['a&b <x> "q" \'s', "a&amp;b"])
def test_a_name_is_the_vms_where_libvirt_wrote_its_file_as_xml(tmp_path: Path, name: str) -> None:
    pid_file(tmp_path, escape(name, {'"': "&quot;", "'": "&apos;"}), 60)
    output = subprocess.run(age_command((str(tmp_path),)), shell=True, capture_output=True, check=True, text=True)
    assert list(ages_in_folder(tmp_path)) == list(ages_in_output(output.stdout)) == [name]


def test_a_vm_that_ended_just_now_hides_no_other(tmp_path: Path) -> None:
    pid_file(tmp_path, "web01", 50)
    (tmp_path / "gone.pid").symlink_to(tmp_path / "nowhere")
    assert list(ages_in_folder(tmp_path)) == ["web01"]


def test_when_starts_were_missed_nothing_is_known() -> None:
    uptimes = Uptimes()
    uptimes.started("u")
    uptimes.load({"db01": 100.0})
    uptimes.forget()
    assert (uptimes.of("u", "web01"), uptimes.of("v", "db01")) == (-1, -1)


def test_a_folder_without_pid_files_is_no_error(tmp_path: Path) -> None:
    output = subprocess.run(age_command((str(tmp_path),)), shell=True, capture_output=True, check=True, text=True)
    assert ages_in_output(output.stdout) == {}


@given(st.text())
def test_whatever_a_host_prints_is_survived(output: str) -> None:
    assert all(age >= 0 for age in ages_in_output(output).values())


async def test_a_session_looks_below_its_own_run_time_folder() -> None:
    commands: list[str] = []

    class Shell:
        async def run(self, command: str, *, timeout: float) -> str:
            commands.append(command)
            return "virtumancer-tells-the-time\n100\n40 web01.pid\0"

    read = remote_ages(parse("qemu+ssh://me@kvm1/session"), Shell())
    assert read is not None
    assert await read() == {"web01": 60}
    assert "XDG_RUNTIME_DIR" in commands[0]


def test_only_qemu_has_pid_files() -> None:
    assert remote_ages(parse("xen+ssh://kvm1/system"), None) is None  # type: ignore[arg-type]


def test_the_files_of_this_machine_say_nothing_about_another() -> None:
    assert local_ages(parse("qemu+tcp://kvm1/system"), None) is None  # type: ignore[arg-type]
