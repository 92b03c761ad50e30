"""`virtumancer tokens`, `users` and `me`: who may do what."""

import getpass
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from virtumancer.cli.options import JSONOutput
from virtumancer.cli.output import say
from virtumancer.cli.server_discovery import HERE, Server, connected
from virtumancer.cli.tables import say_done, say_fields, say_json, say_list, time_of
from virtumancer.contracts.access import Grant, Role
from virtumancer.errors import UsageError

__all__ = ["me", "tokens", "users"]

tokens = cyclopts.App(name="tokens", help="API tokens: list, make, withdraw.")
users = cyclopts.App(name="users", help="Users, who sign in to the web page with a password: list, make, remove.")
RoleOption = Annotated[Role | None, Parameter(help="viewer, operator or admin.")]
Rights = Annotated[
    tuple[str, ...], Parameter(name="--right", help="A single right, as console; several times.", negative=())
]
OnHost = Annotated[str, Parameter(name="--on-host", help="Only on this host and its VMs, not on everything.")]
OnTag = Annotated[str, Parameter(name="--on-tag", help="Only on what has this tag; with --on-host, only of that host.")]
OnVM = Annotated[str, Parameter(name="--on-vm", help="Only on the VM of this UUID, of the host named by --on-host.")]


@dataclass(frozen=True)
class GrantOptions:
    """What somebody may do, and where."""

    role: RoleOption = None
    right: Rights = ()
    on_host: OnHost = ""
    on_vm: OnVM = ""
    on_tag: OnTag = ""

    @property
    def grant(self) -> Grant:
        """The same for the server."""
        return Grant(self.role, self.right, self.on_host, self.on_vm, self.on_tag)


NOTHING = GrantOptions()
May = Annotated[GrantOptions, Parameter(name="*")]


async def me(*, json: JSONOutput = False, server: Server = HERE) -> None:
    """Say who the server takes you for, and what you may do."""
    async with connected(server) as client:
        caller = await client.access.me()
    if json:
        say_json(caller)
        return
    fields = [("You are", caller.actor), *(("You may", _words(grant)) for grant in caller.grants)]
    say_fields([*fields, ("Until", time_of(caller.expires_at))])


@tokens.command(name="list")
async def list_tokens(*, json: JSONOutput = False, server: Server = HERE) -> None:
    """List the tokens; the tokens themselves are shown nowhere again."""
    async with connected(server) as client:
        found = await client.access.tokens()
    say_list(
        found,
        ("ID", "NAME", "MAY", "LAST USED", "EXPIRES"),
        lambda t: (t.id, t.name, _may(t.grants), time_of(t.last_used_at), time_of(t.expires_at)),
        json=json,
    )


@tokens.command(name="create")
async def create_token(
    name: Annotated[str, Parameter(help="What it is for.")],
    /,
    *,
    may: May = NOTHING,
    expires: Annotated[datetime | None, Parameter(help="Until when it is valid, as 2027-01-31T12:00.")] = None,
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """Make a token and print it, this once."""
    async with connected(server) as client:
        made = await client.access.make_token(name, [may.grant], expires.astimezone() if expires else None)
    say_done(made, made.token, json=json)


@tokens.command(name="remove")
async def remove_token(
    token: Annotated[str, Parameter(help="The id of a token, as `list` shows it.")], /, *, server: Server = HERE
) -> None:
    """Withdraw a token; what lives by it ends."""
    async with connected(server) as client:
        await client.access.remove_token(token)
    say(f"Token {token} is withdrawn.")


@users.command(name="list")
async def list_users(*, json: JSONOutput = False, server: Server = HERE) -> None:
    """List the users."""
    async with connected(server) as client:
        found = await client.access.users()
    say_list(
        found,
        ("NAME", "MAY", "CREATED", "BY"),
        lambda u: (u.name, _may(u.grants), time_of(u.created_at), u.created_by),
        json=json,
    )


@users.command(name="create")
async def create_user(
    name: Annotated[str, Parameter(help="What the user is called.")],
    /,
    *,
    may: May = NOTHING,
    json: JSONOutput = False,
    server: Server = HERE,
) -> None:
    """Make a user; the password is asked for, or read from the first line of standard input."""
    password = _password()
    async with connected(server) as client:
        made = await client.access.make_user(name, password, [may.grant])
    say_done(made, f"User {made.name} is made.", json=json)


@users.command(name="remove")
async def remove_user(name: Annotated[str, Parameter(help="A user.")], /, *, server: Server = HERE) -> None:
    """Remove a user; their sessions end."""
    async with connected(server) as client:
        await client.access.remove_user(name)
    say(f"User {name} is removed.")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Once more: "):
        raise UsageError("that was not the same password")
    return password


def _may(grants: Sequence[Grant]) -> str:
    return "; ".join(map(_words, grants))


def _words(grant: Grant) -> str:
    may = ", ".join([*([grant.role] if grant.role else []), *grant.rights]) or "nothing"
    if grant.vm:
        return f"{may} on VM {grant.vm} of host {grant.host}"
    if grant.tag:
        return f"{may} on what has the tag {grant.tag}{f' on host {grant.host}' if grant.host else ''}"
    return f"{may} on host {grant.host}" if grant.host else f"{may} on everything"
