"""`virtumancer vms`: what it shows, does, and ends with."""

import json
import re

import pytest

from tests.http.cli.program import Program
from tests.lab import free_port
from virtumancer.contracts import VMState
from virtumancer.testing import FakeHypervisor

UUID = "11111111-1111-4111-8111-111111111111"


async def test_a_list_is_a_table_for_people_and_json_for_programs(program: Program, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01", VMState.RUNNING, UUID)
    shown = await program.run("vms", "list", "--fresh")
    assert shown.code == 0
    assert [line.split() for line in shown.out.splitlines()] == [
        ["HOST", "VM", "STATE", "CPUS", "MEMORY", "UUID"],
        ["kvm1", "web01", "running", "1", "256", "MiB", UUID],
    ]
    (listed,) = (await program.run("vms", "list", "--json")).json
    assert listed["host"] == "kvm1"


@pytest.mark.parametrize("name", ["web01", "kvm1/web01", UUID, UUID.upper()])
async def test_a_vm_is_named_in_several_ways(program: Program, kvm1: FakeHypervisor, name: str) -> None:
    kvm1.define("web01", VMState.RUNNING, UUID)
    await program.run("vms", "list", "--fresh")
    assert (await program.run("vms", "stats", name, "--json")).json["state"] == 1


async def test_who_misses_a_vm_is_told_which_host_could_not_be_asked(program: Program) -> None:
    await program.run("hosts", "disconnect", "kvm1")
    missed = await program.run("vms", "stats", "web01")
    assert missed.code == 3
    assert "no VM 'web01'; host kvm1 could not be asked: " in missed.err


async def test_an_action_is_done_and_waited_for(program: Program, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01", vm_uuid=UUID)
    await program.run("vms", "list", "--fresh")
    done = await program.run("vms", "start", "web01", "--host", "kvm1", "--wait")
    assert (done.code, done.out) == (0, "kvm1/web01: start: done\n")
    assert kvm1.vms[UUID].state is VMState.RUNNING
    again = await program.run("vms", "start", "web01")
    assert again.code == 4
    assert "running" in again.err
    already = await program.run("vms", "start", "web01", "--if-already-ok", "--json")
    assert [outcome["outcome"] for outcome in already.json] == ["already"]


async def test_an_action_on_many_says_what_became_of_each(program: Program, kvm1: FakeHypervisor) -> None:
    for number in range(3):
        kvm1.define(f"web{number}", VMState.RUNNING if number == 1 else VMState.SHUTOFF)
    await program.run("vms", "list", "--fresh")
    done = await program.run("vms", "start", "--all", "--host", "kvm1")
    assert done.code == 1
    outcomes = {line.split()[1]: line.split()[2] for line in done.out.splitlines()[1:]}
    assert outcomes == {"web0": "ok", "web1": "wrong-power-state", "web2": "ok"}
    waited = await program.run("vms", "forceoff", "web0", "web1", "web2", "--wait", "--json")
    assert {outcome["outcome"] for outcome in waited.json} == {"ok"}
    assert {vm.state for vm in kvm1.vms.values()} == {VMState.SHUTOFF}


async def test_an_action_can_be_begun_without_waiting(program: Program, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01", vm_uuid=UUID)
    await program.run("vms", "list", "--fresh")
    (begun,) = (await program.run("vms", "start", "web01", "--no-wait", "--json")).json
    assert begun["outcome"] == "begun"
    shown = await program.run("operations", "show", begun["operation"])
    assert "kvm1/web01" in shown.out
    ended = (await program.run("operations", "wait", begun["operation"], "--json")).json
    assert ended["state"] == "succeeded"
    (listed,) = (await program.run("operations", "list", "--json")).json
    assert listed["id"] == begun["operation"]


async def test_a_uuid_that_two_hosts_have_is_acted_on_where_it_was_meant(
    program: Program, kvm1: FakeHypervisor, kvm2: FakeHypervisor
) -> None:
    kvm1.define("web01", vm_uuid=UUID)
    kvm2.define("copy01", vm_uuid=UUID)
    kvm2.define("other")
    await program.run("hosts", "add", "kvm2", kvm2.uri)
    assert (await program.run("vms", "start", "web01", "other")).code == 0
    assert kvm1.vms[UUID].state is VMState.RUNNING
    assert kvm2.vms[UUID].state is VMState.SHUTOFF


@pytest.mark.parametrize("said", [UUID, f"kvm1/{UUID}"])
async def test_a_uuid_goes_before_a_name_that_is_like_it(program: Program, kvm1: FakeHypervisor, said: str) -> None:
    kvm1.define(UUID, VMState.RUNNING)
    await program.run("vms", "list", "--fresh")
    kvm1.define("web01", VMState.RUNNING, UUID)  # newer than what the server last saw
    assert (await program.run("vms", "forceoff", said)).code == 0
    assert {vm.name: vm.state for vm in kvm1.vms.values()} == {"web01": VMState.SHUTOFF, UUID: VMState.RUNNING}


async def test_a_vm_that_was_just_made_is_found(program: Program, kvm1: FakeHypervisor) -> None:
    kvm1.define("new01", vm_uuid=UUID)
    assert (await program.run("vms", "stats", "new01")).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["vms", "stats", "ghost"], 3, "no VM 'ghost'"),
        (["vms", "list", "--host", "nowhere"], 3, "no host 'nowhere'"),
        (["vms", "dance", "web01"], 3, "dance"),
        (["vms", "start"], 2, "on which VMs"),
        (["vms", "start", "--all"], 2, "--host"),
        (["vms", "start", "--filter", "name = 'none'"], 3, "no VM fits"),
        (["vms", "reboot", "web01", "--wait"], 2, "--wait-for"),
        (["vms", "start", "web01", "--force", "yes"], 2, "no parameter 'force'"),
        (["operations", "show", "nothing"], 3, "nothing"),
        (["vms", "list", "--colour"], 2, "--help"),
        (["dance"], 2, "--help"),
        (["vms", "list", "--url", "here"], 2, "no URL"),
        (["vms", "list", "--token-file", "/nowhere/token"], 2, "/nowhere/token"),
        (["api", "GET", "/nowhere"], 3, "nowhere"),
        (["api", "POST", "/hosts", "--data", "{"], 2, "JSON"),
    ],
)
async def test_what_goes_wrong_is_a_sentence_and_an_exit_code(
    program: Program, kvm1: FakeHypervisor, arguments: list[str], code: int, said: str
) -> None:
    kvm1.define("web01")
    done = await program.run(*arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err


async def test_a_server_that_is_not_there_is_exit_code_5(program: Program) -> None:
    done = await program.run("hosts", "list", VIRTUMANCER_URL=f"http://127.0.0.1:{free_port()}")
    assert done.code == 5
    assert "does not answer" in done.err


async def test_a_host_that_is_away_is_named_and_its_vms_are_as_they_were(
    program: Program, kvm1: FakeHypervisor, kvm2: FakeHypervisor
) -> None:
    kvm1.define("web01")
    kvm2.define("db01")
    await program.run("hosts", "add", "kvm2", kvm2.uri)
    await program.run("vms", "list", "--fresh")
    await program.run("hosts", "disconnect", "kvm2")
    done = await program.run("vms", "list")
    assert done.code == 0
    assert "web01" in done.out
    assert re.search(r"db01 +shutoff \(as of", done.out)
    assert "host kvm2" in done.err
    assert (await program.run("vms", "list", "--fresh")).code == 5
    assert (await program.run("vms", "list", "--fresh", "--host", "kvm1")).code == 0


async def test_vms_are_chosen_by_a_filter(program: Program, kvm1: FakeHypervisor) -> None:
    for name in ("web01", "web02", "db01"):
        kvm1.define(name)
    await program.run("vms", "list", "--fresh")
    wanted = ("--filter", 'name prefix "web"')
    listed = (await program.run("vms", "list", *wanted, "--sort", "-name", "--json")).json
    assert [vm["name"] for vm in listed] == ["web02", "web01"]
    done = (await program.run("vms", "start", *wanted, "--json")).json
    assert {outcome["name"] for outcome in done} == {"web01", "web02"}
    assert (await program.run("vms", "list", "--filter", "name like")).code == 2
    assert (await program.run("vms", "start", "db01", *wanted)).code == 2


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "a/b", "--odd"])
async def test_a_vm_is_found_whatever_its_name(program: Program, kvm1: FakeHypervisor, name: str) -> None:
    vm = kvm1.define(name)
    await program.run("vms", "list", "--fresh")
    assert (await program.run("vms", "start", f"kvm1/{name}")).code == 0
    assert kvm1.vms[vm.uuid].state is VMState.RUNNING


async def test_a_name_that_two_vms_have_is_asked_back(
    program: Program, kvm1: FakeHypervisor, kvm2: FakeHypervisor
) -> None:
    kvm1.define("web01")
    kvm2.define("web01")
    await program.run("hosts", "add", "kvm2", kvm2.uri)
    await program.run("vms", "list", "--fresh")
    done = await program.run("vms", "start", "web01")
    assert done.code == 2
    assert "kvm1/web01, kvm2/web01" in done.err
    assert (await program.run("vms", "start", "kvm2/web01")).code == 0
    assert [vm.state for vm in kvm1.vms.values()] == [VMState.SHUTOFF]


async def test_titles_notes_and_tags_are_written_and_used(program: Program, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01")
    await program.run("vms", "list", "--fresh")
    assert (await program.run("vms", "describe", "web01", "--title", "Shop", "--tag", "a", "--tag", "b")).code == 0
    await program.run("vms", "describe", "web01", "--notes", "one\ntwo")
    told = (await program.run("vms", "describe", "web01", "--json")).json
    assert (told["title"], told["notes"], told["tags"]) == ("Shop", "one\ntwo", ["a", "b"])
    assert "web01" in (await program.run("vms", "list", "--filter", 'tags = "a"')).out
    assert (await program.run("vms", "describe", "web01", "--no-tags", "--json")).json["tags"] == []
    assert "Rack 4" in (await program.run("hosts", "describe", "kvm1", "--title", "Rack 4")).out


async def test_progress_is_shown_while_waiting_and_gone_at_the_end(program: Program, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01")
    await program.run("vms", "list", "--fresh")
    kvm1.faults.delay("power", 0.5)
    async with program.at_terminal("vms", "start", "web01") as terminal:
        await terminal.shows("start: ")
        assert await terminal.ends() == 0
    assert terminal.shown.replace("\r\n", "\n").endswith("\x1b[2Kkvm1/web01: start: done\n")


async def test_ctrl_c_while_waiting_is_calm_and_the_operation_goes_on(program: Program, kvm1: FakeHypervisor) -> None:
    kvm1.define("web01", vm_uuid=UUID)
    await program.run("vms", "list", "--fresh")
    kvm1.faults.delay("power", 2.0)
    async with program.at_terminal("vms", "start", "web01") as terminal:
        await terminal.shows("start: ")
        terminal.process.send_signal(2)
        assert await terminal.ends() == 130
    (operation,) = (await program.run("operations", "list", "--json")).json
    assert (await program.run("operations", "wait", operation["id"])).code == 0
    assert kvm1.vms[UUID].state is VMState.RUNNING


async def test_a_name_cannot_send_commands_to_the_terminal(program: Program, kvm1: FakeHypervisor) -> None:
    kvm1.define("evil\x1b]0;owned\x07\r\n\u202e[red]", VMState.RUNNING)
    async with program.at_terminal("vms", "list") as terminal:
        assert await terminal.ends() == 0
    assert "\x1b]0;owned" not in terminal.shown
    assert "\\x1b]0;owned" in terminal.shown
    assert "[red]" in terminal.shown


async def test_json_has_nothing_that_a_terminal_obeys_and_means_the_same(
    program: Program, kvm1: FakeHypervisor
) -> None:
    name = "evil\x9b31m\x85\u202e\u2066\x7f\U000e0041 ümlaut 名"
    kvm1.define(name, VMState.RUNNING)
    answer = await program.run("vms", "list", "--fresh", "--json")
    assert name in [vm["name"] for vm in answer.json]
    assert all(character.isprintable() or character == "\n" for character in answer.out)
    assert "ümlaut 名" in answer.out


async def test_colours_are_left_out_when_nobody_wants_them(program: Program, kvm1: FakeHypervisor) -> None:
    program.environment |= {"NO_COLOR": "1", "TERM": "xterm-256color"}
    kvm1.define("web01")
    async with program.at_terminal("vms", "list") as terminal:
        assert await terminal.ends() == 0
    assert "web01" in terminal.shown
    assert "\x1b[3" not in terminal.shown


async def test_a_reader_that_has_seen_enough_is_no_error(program: Program, kvm1: FakeHypervisor) -> None:
    for number in range(2000):
        kvm1.define(f"web{number}")
    async with program.piped("vms", "list") as (process, out, reads):
        assert await out.readline()
        reads.close()
        assert process.stderr
        assert b"Traceback" not in await process.stderr.read()
        await process.wait()


async def test_the_api_is_reached_where_there_is_no_command(program: Program) -> None:
    assert (await program.run("api", "GET", "/hosts/kvm1")).json["id"] == "kvm1"
    assert (await program.run("api", "GET", "/api/v1/operations?limit=1")).json == []
    body = json.dumps({"action": "start", "selector": {"hosts": ["kvm1"]}})
    assert (await program.run("api", "POST", "/vms/actions", "--data", "-", typed=body.encode())).json[
        "action"
    ] == "start"
    assert (await program.run("openapi")).json["openapi"].startswith("3.1")
