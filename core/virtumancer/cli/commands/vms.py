"""`virtumancer vms`: the virtual machines, and what can be done with them."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from msgspec import UNSET, structs

from virtumancer.cli.action_params import params_of, takes
from virtumancer.cli.commands.vm_actions import Job, goal_of, run, run_on
from virtumancer.cli.exit_codes import Exit
from virtumancer.cli.metadata_options import NoTags, Notes, Tags, Title, Wanted, say_metadata
from virtumancer.cli.options import JSONOutput
from virtumancer.cli.output import say
from virtumancer.cli.server_discovery import HERE, Server, connected
from virtumancer.cli.tables import clean, say_fields, say_json, say_list, time_of
from virtumancer.cli.vm_lookup import Target, filter_on, find_vm, find_vms, targets_on
from virtumancer.client import AsyncClient
from virtumancer.client.vms import WaitFor
from virtumancer.contracts import ActionOffer, HardwareInfo, VMState
from virtumancer.contracts.listings import ListedVM
from virtumancer.errors import UsageError, VMNotFound

__all__ = ["app"]

app = cyclopts.App(
    name="vms",
    help="The virtual machines: list, look at, and act on them. A VM is NAME, HOST/NAME or a UUID.",
)
Hosts = Annotated[
    tuple[str, ...],
    Parameter(name="--host", help="Only on this host; several times for several.", negative=(), show_default=False),
]
Filter = Annotated[
    str, Parameter(help='Only those that fit, as \'state = "running" and name prefix "web"\'.', show_default=False)
]
VMName = Annotated[str, Parameter(help="NAME, HOST/NAME or UUID.")]


@app.command(name="list")
async def list_(
    *,
    host: Hosts = (),
    filter: Filter = "",  # noqa: A002 - as the API calls it
    sort: Annotated[str | None, Parameter(help="Fields to sort by, as -state,name.", allow_leading_hyphen=True)] = None,
    fresh: Annotated[bool, Parameter(help="Ask each host now; exit code 5 when one cannot be.", negative=())] = False,
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """List the VMs of all hosts, or of some, as they were last seen.

    A host that cannot be asked just now is named on standard error.
    """
    async with connected(server) as client:
        page = await client.vms.find(filter=await filter_on(client, host, filter), sort=sort, fresh=fresh)
    say_list(page.items, ("HOST", "VM", "STATE", "CPUS", "MEMORY", "UUID"), _row, json=json)
    missing = [stale for stale in page.stale_hosts if not host or stale.host in host]
    for stale in missing:
        sys.stderr.write(f"virtumancer: host {clean(stale.host)}: {clean(stale.detail)}\n")
    if fresh and missing:
        raise SystemExit(Exit.UNREACHABLE)


def _row(vm: ListedVM) -> tuple[Any, ...]:
    state = f"{_state(vm.state)} (as of {time_of(vm.observed_at)})" if vm.stale else _state(vm.state)
    return vm.host, vm.name, state, vm.vcpu, _memory(vm.max_mem), vm.uuid


def _state(state: VMState) -> str:
    return state.name.lower().replace("_", " ")


def _memory(kib: int) -> str:
    return f"{kib / 1024:.0f} MiB" if kib < 1024**2 else f"{kib / 1024**2:.1f} GiB"


@app.command
async def show(vm: VMName, /, *, host: Hosts = (), json: JSONOutput = False, server: Server = HERE) -> None:
    """Describe a VM: state, hardware and consoles."""
    async with connected(server) as client:
        target = await find_vm(client, vm, host)
        found = await client.vms.get(target.host, target.uuid, include=("hardware", "consoles"), fresh=True)
    hardware, consoles = found.hardware or HardwareInfo(), found.consoles or ()
    if json:
        alone = structs.replace(found, hardware=UNSET, consoles=UNSET)
        say_json({"host": found.host, "vm": alone, "hardware": hardware, "consoles": consoles})
        return
    fields: list[tuple[str, Any]] = [
        ("VM", found.name),
        ("Host", found.host),
        ("UUID", found.uuid),
        ("State", _state(found.state)),
        ("CPUs", found.vcpu),
        ("Memory", _memory(found.max_mem)),
        ("Running for", f"{found.uptime} s" if found.uptime >= 0 else "-"),
        ("Starts with its host", "yes" if found.autostart else "no"),
        ("Description", found.description),
    ]
    fields += [(f"Disk {disk.target.dev}", disk.path or disk.device) for disk in hardware.disks]
    fields += [("Network", f"{n.mac.address} {n.model.type} {' '.join(n.source.values())}") for n in hardware.networks]
    fields += [(f"Console {each.kind}", "available" if each.available else each.reason) for each in consoles]
    say_fields(fields)


@app.command
async def stats(vm: VMName, /, *, host: Hosts = (), json: JSONOutput = False, server: Server = HERE) -> None:
    """Read the counters of a VM, which only ever go up while it runs."""
    async with connected(server) as client:
        target = await find_vm(client, vm, host)
        counters = await client.vms.stats(target.host, target.uuid)
    if json:
        say_json(counters)
        return
    fields = [
        ("VM", str(target)),
        ("State", _state(counters.state)),
        ("Memory", f"{_memory(counters.memory)} of {_memory(counters.max_mem)}"),
        ("CPU time", f"{counters.cpu_time / 1e9:.1f} s on {counters.vcpu} CPUs"),
    ]
    fields += [(f"Disk {d.device}", f"{d.read_bytes} B read, {d.write_bytes} B written") for d in counters.disk_stats]
    fields += [(f"Network {d.device}", f"{d.read_bytes} B in, {d.write_bytes} B out") for d in counters.net_stats]
    say_fields(fields)


@app.command
async def actions(vm: VMName, /, *, host: Hosts = (), json: JSONOutput = False, server: Server = HERE) -> None:
    """List what can be done with a VM in its present state, and the parameters of each."""
    async with connected(server) as client:
        target = await find_vm(client, vm, host)
        offers = await client.vms.actions(target.host, target.uuid)
    say_list(
        offers, ("ACTION", "PARAMETERS", "WHAT IT DOES"), lambda o: (o.name, _parameters(o), o.description), json=json
    )


def _parameters(offer: ActionOffer) -> str:
    return " ".join(f"--{name}" for name in takes(offer))


@app.command
async def describe(
    vm: VMName,
    /,
    *,
    host: Hosts = (),
    title: Title = None,
    notes: Notes = None,
    tag: Tags = (),
    no_tags: NoTags = False,
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """Show title, notes and tags of a VM, or change those that are given."""
    wanted = Wanted(title, notes, tag if tag or no_tags else None)
    async with connected(server) as client:
        target = await find_vm(client, vm, host)
        if wanted.is_nothing:
            metadata = await client.vms.metadata(target.host, target.uuid)
        else:
            metadata = await client.vms.change_metadata(
                target.host, target.uuid, title=title, notes=notes, tags=wanted.tags
            )
    say_metadata(metadata, json=json)


@app.command
async def screenshot(
    vm: VMName,
    file: Annotated[Path, Parameter(help="Where the PNG is written.")],
    /,
    *,
    host: Hosts = (),
    server: Server = HERE,
) -> None:
    """Take a picture of a VM's screen."""
    async with connected(server) as client:
        target = await find_vm(client, vm, host)
        picture = await client.vms.screenshot(target.host, target.uuid)
    try:
        await asyncio.to_thread(file.write_bytes, picture)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error
    say(f"{file}: the screen of {clean(target)}")


@app.default
async def act(
    action: Annotated[str, Parameter(help="What to do, as start, shutdown, reboot, forceoff, forcereset.")],
    /,
    *vms: Annotated[str, Parameter(help="The VMs, each as NAME, HOST/NAME or UUID.")],
    host: Hosts = (),
    filter: Filter = "",  # noqa: A002 - as the API calls it
    all: Annotated[bool, Parameter(name="--all", help="All VMs of the hosts named by --host.", negative=())] = False,  # noqa: A002
    wait: Annotated[
        bool | None,
        Parameter(
            help="Wait until it runs, or is shut off, as the action wants it; with --no-wait for nothing at all."
        ),
    ] = None,
    wait_for: Annotated[WaitFor | None, Parameter(help="Wait until the VM is in this state.")] = None,
    timeout: Annotated[float, Parameter(help="For how many seconds to wait for the state.")] = 60.0,
    if_already_ok: Annotated[bool, Parameter(help="A VM that is already as wanted is a success.", negative=())] = False,
    json: JSONOutput = False,
    server: Server = HERE,
    **params: Annotated[str, Parameter(help="Parameters of the action, as `actions VM` lists them.")],
) -> None:
    """Do something with VMs: whatever the server and its plugins offer, as `virtumancer vms start web01`.

    It is done when the hypervisor has accepted it, unless --wait says otherwise. The exit code is 1 when it failed on
    one of several VMs, and the table says on which.
    """
    if all and (vms or filter or not host):
        raise UsageError("--all wants the hosts by --host, and neither names of VMs nor a filter beside it")
    if filter and vms:
        raise UsageError("name the VMs, or say by --filter which are meant")
    if not (all or filter or vms):
        raise UsageError(f"say on which VMs: virtumancer vms {action} NAME")
    async with connected(server) as client:
        targets = await (find_vms(client, vms, host) if vms else targets_on(client, host, filter))
        if not targets:
            raise VMNotFound("no VM fits")
        job = Job(
            action=action,
            params=await _params(client, action, params, targets),
            wait_for=wait_for or (goal_of(action) if wait else None),
            timeout=timeout,
            if_already="ok" if if_already_ok else "refuse",
            detached=wait is False,
        )
        if vms or job.wait_for:
            await run(client, job, targets, json=json)
        else:
            await run_on(client, job, host, filter, json=json)


async def _params(client: AsyncClient, action: str, words: dict[str, str], targets: Sequence[Target]) -> dict[str, Any]:
    """Read the parameters by what the first VM says of the action."""
    if not words or not targets:
        return {}
    return params_of(action, words, await client.vms.actions(targets[0].host, targets[0].uuid))
