"""`virtumancer hosts`: the hypervisors, their connections and their SSH host keys."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from virtumancer.cli.action_params import params_of, takes
from virtumancer.cli.credentials import Credentials, read_credentials
from virtumancer.cli.host_keys import with_approval
from virtumancer.cli.metadata_options import NoTags, Notes, Tags, Title, Wanted, say_metadata
from virtumancer.cli.options import JSONOutput
from virtumancer.cli.output import say
from virtumancer.cli.progress import Progress
from virtumancer.cli.results import shown_result
from virtumancer.cli.server_discovery import HERE, Server, connected
from virtumancer.cli.tables import say_done, say_fields, say_json, say_list, time_of
from virtumancer.client import AsyncClient, succeeded
from virtumancer.contracts import HostDetail
from virtumancer.errors import HostNotFound

__all__ = ["app"]

app = cyclopts.App(name="hosts", help="The hypervisor hosts: add, look at, connect, remove.")
HostName = Annotated[str, Parameter(help="The id of a host.")]
HostKeys = Annotated[
    tuple[str, ...],
    Parameter(
        name="--host-key",
        help="Trust the SSH host key of this fingerprint, as SHA256:…; several times for jump hosts.",
        negative=(),
    ),
]


@app.command(name="list")
async def list_(*, json: JSONOutput = False, server: Server = HERE) -> None:
    """List the hosts, and how the connection to each stands."""
    async with connected(server) as client:
        details = await _details(client)
    say_list(details, ("HOST", "STATE", "SINCE", "URI", "REASON"), _row, json=json)


async def _details(client: AsyncClient) -> Sequence[HostDetail]:
    async def detail(host: str) -> HostDetail | None:
        try:
            return await client.hosts.get(host)
        except HostNotFound:  # removed since, or only one of its VMs may be read
            return None

    found = await asyncio.gather(*(detail(host.id) for host in await client.hosts.list()))
    return [detail for detail in found if detail]


def _row(detail: HostDetail) -> tuple[str, ...]:
    reason = "" if detail.reason == detail.state.value else detail.reason
    return (detail.id, detail.state.value, time_of(detail.since), detail.uri, reason)


@app.command
async def actions(host: HostName, /, *, json: JSONOutput = False, server: Server = HERE) -> None:
    """List what can be done with a host itself, and with which parameters."""
    async with connected(server) as client:
        offers = await client.hosts.actions(host)
    say_list(
        offers,
        ("ACTION", "PLUGIN", "NEEDS RIGHT", "PARAMETERS", "DESCRIPTION"),
        lambda o: (o.name, o.plugin, o.permission, " ".join(f"--{name}" for name in takes(o)), o.description),
        json=json,
    )


@app.command
async def act(
    host: HostName,
    action: Annotated[str, Parameter(help="What to do, as `actions HOST` lists it.")],
    /,
    *,
    wait: Annotated[bool, Parameter(help="Wait for its end; with --no-wait only begin it.")] = True,
    json: JSONOutput = False,
    server: Server = HERE,
    **params: Annotated[str, Parameter(help="Parameters of the action.")],
) -> None:
    """Do something with a host: whatever the plugins of the server offer, and print what it answers."""
    async with connected(server) as client:
        wanted = params_of(action, params, await client.hosts.actions(host)) if params else {}
        operation = await client.hosts.begin(host, action, wanted)
        if wait:
            with Progress() as progress:
                operation = succeeded(await client.operations.wait(operation.id, on_progress=progress.tell))
    said = shown_result(operation.result) or "done" if wait else f"begun, operation {operation.id}"
    say_done(operation, f"{host}: {action}: {said}", json=json)


@app.command
async def show(host: HostName, /, *, json: JSONOutput = False, server: Server = HERE) -> None:
    """Describe a host: its connection, what it can do, and, when it is connected, what it has."""
    async with connected(server) as client:
        detail = await client.hosts.get(host)
        info = await client.hosts.info(host) if detail.state.value in {"connected", "degraded"} else None
    if json:
        say_json({"host": detail, "info": info})
        return
    fields = [
        ("Host", detail.id),
        ("URI", detail.uri),
        ("State", detail.state.value),
        ("Reason", detail.reason),
        ("Since", time_of(detail.since)),
        ("Next attempt", time_of(detail.retry_at)),
        ("Driver", detail.driver),
        ("Abilities", ", ".join(detail.abilities)),
        ("Credentials", ", ".join(detail.credential_names)),
        ("From the configuration file", "yes" if detail.declared else "no"),
    ]
    if info:
        fields += [
            ("Name", info.hostname),
            ("CPUs", f"{info.cpu} ({info.cores} cores a socket, {info.threads} threads a core)"),
            ("Memory", f"{info.memory / 1024**2:.1f} GiB"),
        ]
    say_fields(fields)


@app.command
async def add(
    host: Annotated[str, Parameter(help="What the host is called from now on: A-Z a-z 0-9 . _ -")],
    uri: Annotated[str, Parameter(help="How to reach it, as qemu+ssh://root@kvm1.example.org/system.")],
    /,
    *,
    host_key: HostKeys = (),
    credential: Credentials = (),
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """Connect to a host and add it.

    An SSH host key that is not known is shown with its fingerprint, and asked about. Without a terminal nobody can be
    asked: the exit code is 6, and the command to repeat with --host-key is printed.
    """
    credentials = await read_credentials(credential)
    named = [part for option in credential for part in ("--credential", option)]
    async with connected(server) as client:
        added = await with_approval(
            lambda keys: client.hosts.add(host, uri, host_keys=keys, credentials=credentials),
            host_key,
            ["virtumancer", "hosts", "add", host, uri, *named, *_said(server)],
        )
    say_done(added, f"Host {added.id} is added.", json=json)


@app.command
async def remove(host: HostName, /, *, server: Server = HERE) -> None:
    """Disconnect a host and forget it; its VMs are not touched."""
    async with connected(server) as client:
        await client.hosts.remove(host)
    say(f"Host {host} is removed.")


@app.command
async def credentials(
    host: HostName,
    /,
    *,
    credential: Credentials = (),
    remove: Annotated[tuple[str, ...], Parameter(help="Remove the credential of this name.", negative=())] = (),
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """Show which credentials of a host are set, or set and remove some, and connect it anew with them.

    Their values are never shown.
    """
    changes: dict[str, str | None] = {**dict.fromkeys(remove), **await read_credentials(credential)}
    async with connected(server) as client:
        detail = await (client.hosts.change_credentials(host, changes) if changes else client.hosts.get(host))
    names = ", ".join(detail.credential_names) or "none"
    say_done(detail, f"Credentials of host {detail.id}: {names}. It is {detail.state.value}.", json=json)


@app.command
async def connect(
    host: HostName, /, *, host_key: HostKeys = (), json: JSONOutput = False, server: Server = HERE
) -> None:
    """Connect a host now, and keep it connected from now on; asks about an unknown SSH host key as `add` does."""
    async with connected(server) as client:
        detail = await with_approval(
            lambda keys: client.hosts.connect(host, host_keys=keys),
            host_key,
            ["virtumancer", "hosts", "connect", host, *_said(server)],
        )
    _say_state(detail, json=json)


@app.command
async def disconnect(host: HostName, /, *, json: JSONOutput = False, server: Server = HERE) -> None:
    """Disconnect a host until it is connected again."""
    async with connected(server) as client:
        detail = await client.hosts.disconnect(host)
    _say_state(detail, json=json)


@app.command
async def describe(
    host: HostName,
    /,
    *,
    title: Title = None,
    notes: Notes = None,
    tag: Tags = (),
    no_tags: NoTags = False,
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """Show title, notes and tags of a host, or change those that are given."""
    wanted = Wanted(title, notes, tag if tag or no_tags else None)
    async with connected(server) as client:
        if wanted.is_nothing:
            metadata = await client.hosts.metadata(host)
        else:
            metadata = await client.hosts.change_metadata(host, title=title, notes=notes, tags=wanted.tags)
    say_metadata(metadata, json=json)


@app.command
async def keys(host: HostName, /, *, json: JSONOutput = False, server: Server = HERE) -> None:
    """List the SSH host keys that were approved for a host."""
    async with connected(server) as client:
        pinned = await client.hosts.host_keys(host)
    say_list(
        pinned, ("ADDRESS", "TYPE", "FINGERPRINT"), lambda key: (key.address, key.type, key.fingerprint), json=json
    )


@app.command
async def rotate_key(
    host: HostName,
    old: Annotated[str, Parameter(help="The fingerprint of the key that is given up.")],
    new: Annotated[str, Parameter(help="The fingerprint of the key that the host shows now, which you have compared.")],
    /,
    *,
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """Trust a host's new SSH key in place of an old one, once the host has shown that it has it."""
    async with connected(server) as client:
        detail = await client.hosts.rotate_host_key(host, old=old, new=new)
    _say_state(detail, json=json)


@app.command
async def remove_key(
    host: HostName,
    fingerprint: Annotated[str, Parameter(help="The fingerprint of the key, as `keys` shows it.")],
    /,
    *,
    server: Server = HERE,
) -> None:
    """Trust an SSH host key no longer: the next connection needs an approval."""
    async with connected(server) as client:
        await client.hosts.remove_host_key(host, fingerprint)
    say(f"The key {fingerprint} of host {host} is not trusted any more.")


def _say_state(detail: HostDetail, *, json: bool) -> None:
    say_done(detail, f"Host {detail.id} is {detail.state.value}.", json=json)


def _said(server: Server) -> list[str]:
    """Repeat the options that say which server is meant."""
    options = (
        ("--url", server.url),
        ("--token-file", server.token_file),
        ("--ca-file", server.ca_file),
        ("--config", server.config),
    )
    return [part for name, value in options if value for part in (name, str(value))]
