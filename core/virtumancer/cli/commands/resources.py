"""`virtumancer NAME VERB`: the resources that plugins add, by what the server says of them."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, cast

import cyclopts
from cyclopts import Parameter

from virtumancer.cli.action_params import params_of
from virtumancer.cli.options import JSONOutput
from virtumancer.cli.server_discovery import HERE, Server, connected
from virtumancer.cli.tables import say_done, say_fields, say_json, say_list, say_rows
from virtumancer.client import AsyncClient
from virtumancer.config import did_you_mean
from virtumancer.contracts import ActionOffer
from virtumancer.contracts.responses import ResourceTypeInfo
from virtumancer.errors import UsageError

__all__ = ["app", "resources"]

VERBS = {"list": "list", "show": "get", "create": "create", "change": "change", "delete": "delete"}
app = cyclopts.App(name="virtumancer", help="Resources that plugins add.", result_action="return_value")


async def resources(*, json: JSONOutput = False, server: Server = HERE) -> None:
    """List the types of resources that plugins add; each is a command, as `virtumancer snapshots list`."""
    async with connected(server) as client:
        types = await client.server.resources()
    say_list(types, ("NAME", "PLUGIN", "CAN", "PATH"), _row, json=json)


def _row(info: ResourceTypeInfo) -> tuple[str, ...]:
    words = [word for word, verb in VERBS.items() if verb in info.rights]
    return (info.name, info.plugin, " ".join((*words, *(action.name for action in info.actions))), info.path)


@app.default
async def use(
    name: str,
    verb: Annotated[str, Parameter(help="list, show, create, change, delete, or an action.")],
    key: Annotated[str, Parameter(help="Which item.")] = "",
    /,
    *,
    json: JSONOutput = False,
    server: Server = HERE,
    **words: Annotated[str, Parameter(help="Where it is, as --host and --vm, and the members of the body.")],
) -> None:
    """Use a resource that a plugin adds, as `virtumancer resources` lists them."""
    async with connected(server) as client:
        info = _named(name, await client.server.resources())
        given = dict(words)
        place = _place(info, given)
        action = next((one for one in info.actions if one.name == verb), None)
        if verb not in VERBS and action is None:
            known = [*VERBS, *(one.name for one in info.actions)]
            near = f"; did you mean {found[0]}?" if (found := get_close_matches(verb, known, n=1)) else ""
            raise UsageError(f"{name} know no {verb!r}{near}; there are: {', '.join(known)}")
        if verb not in {"list", "create"} and not key and not info.singleton:
            raise UsageError(f"say which one: virtumancer {name} {verb} {info.singular.upper()}")
        if verb == "list":
            rows = await client.of(name, *place).list(**given)
            _say_table(info, rows, json=json)
        elif action is not None:
            body = params_of(verb, given, [_offer(verb, action.params)])
            answer = await client.of(name, *place).act(key, verb, body)
            _say(answer, f"{name} {verb} {key}: done", json=json)
        else:
            await _plain(client, info, verb, key, place, given, json=json)


async def _plain(
    client: AsyncClient,
    info: ResourceTypeInfo,
    verb: str,
    key: str,
    place: Sequence[str],
    given: Mapping[str, str],
    *,
    json: bool,
) -> None:
    items = client.of(info.name, *place)
    if verb == "show":
        _say(await items.get(key, **given), "", json=json)
    elif verb == "create":
        named = {info.key: key, **given} if key and info.key else given
        made = await items.create(params_of(verb, named, [_offer(verb, info.create or {})]))
        _say(made, "", json=json)
    elif verb == "change":
        _say(await items.change(key, params_of(verb, given, [_offer(verb, info.change or {})])), "", json=json)
    else:
        await items.delete(key, **given)
        say_done(None, f"{info.singular} {key}: deleted", json=json)


def _named(name: str, types: Sequence[ResourceTypeInfo]) -> ResourceTypeInfo:
    for info in types:
        if info.name == name:
            return info
    known = [info.name for info in types]
    some = f"; resources of this server: {', '.join(known)}" if known else ""
    raise UsageError(f"there is no command {name!r}{did_you_mean(name, known)}{some}; try: virtumancer --help")


def _place(info: ResourceTypeInfo, given: dict[str, str]) -> tuple[str, ...]:
    """Take out of the options what says where it is."""
    names = [part.strip("{}") for part in info.path.split("/") if part.startswith("{")]
    missing = [name for name in names if name not in given]
    if missing:
        raise UsageError(f"say where: {' '.join(f'--{name} …' for name in missing)}")
    return tuple(given.pop(name) for name in names)


def _offer(verb: str, schema: Mapping[str, Any]) -> ActionOffer:
    return ActionOffer(verb, verb, "", "", "", destructive=False, params=schema)


def _say_table(info: ResourceTypeInfo, rows: Sequence[Mapping[str, Any]], *, json: bool) -> None:
    if json:
        say_json(rows)
    else:
        head = [name.upper().replace("_", " ") for name in info.columns]
        say_rows(head, ([row.get(name) for name in info.columns] for row in rows))


def _say(answer: Any, words: str, *, json: bool) -> None:
    if json or not isinstance(answer, dict):
        say_done(answer, words, json=json)
    else:
        say_fields(cast("dict[str, Any]", answer).items())
