"""What plugins add to the OpenAPI document: actions, consoles and routes, each under its owner's name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx2
import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta, Struct
from openapi_spec_validator import OpenAPIV31SpecValidator

from virtumancer.app import create_app
from virtumancer.config import LogConfig, load_config
from virtumancer.contracts import (
    Host,
    NoParams,
    PluginInfo,
    PluginState,
    Route,
    RouteRequest,
    StaticFiles,
    SupportsScreenshot,
    VMAction,
    VMState,
)
from virtumancer.http.openapi import build_document
from virtumancer.logs import configure_logging
from virtumancer.plugins import Plugins, load_plugins
from virtumancer.testing import FakeHypervisor, fake_plugin

VM = "/api/v1/hosts/{host}/vms/{vm}"


class CycleParams(Struct, frozen=True, forbid_unknown_fields=True):
    """How to switch off and on."""

    seconds: Annotated[float, Meta(ge=0, le=30)] = 3.0
    """How long the VM stays off."""


class RenameParams(Struct, frozen=True, rename="camel"):
    """What to call it."""

    new_name: str


class Report(Struct, frozen=True):
    """What a plugin answers."""

    host: Host
    lines: tuple[str, ...] = ()


class Undescribable:
    """No JSON Schema says what this is."""


class OddParams(Struct, frozen=True):
    thing: Undescribable


async def run(*_arguments: Any) -> None: ...


async def handle(_request: RouteRequest) -> Any: ...


def action(name: str, params: type[Struct] = NoParams, **more: Any) -> VMAction:
    return VMAction(name=name, title=name.title(), description=f"Do {name}.", run=run, params=params, **more)


def route(path: str, **more: Any) -> Route:
    return Route(**{"method": "GET", "summary": "Report on disks.", "handle": handle} | more, path=path)


def document_of(
    actions: Mapping[str, VMAction] | None = None, routes: Mapping[str, tuple[Route | StaticFiles, ...]] | None = None
) -> dict[str, Any]:
    """Write the document for these actions and routes by plugin, as a client gets it."""
    actions, routes = actions or {}, routes or {}
    infos = tuple(
        PluginInfo(name=name, module=name, distribution="", version="", state=PluginState.ACTIVE)
        for name in dict.fromkeys([*actions, *routes])
    )
    plugins = Plugins(
        infos, {}, {action.name: (plugin, action) for plugin, action in actions.items()}, {}, {}, routes=routes
    )
    document = msgspec.json.decode(msgspec.json.encode(build_document({}, plugins)))
    OpenAPIV31SpecValidator(document).validate()
    return document


def body_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    return document["paths"][f"{VM}/{name}"]["post"]["requestBody"]


def test_an_action_is_an_operation_with_what_its_descriptor_says() -> None:
    states = frozenset({VMState.RUNNING, VMState.PAUSED})
    document = document_of(
        {"cycler": action("power-cycle", CycleParams, states=states, destructive=True, needs=SupportsScreenshot)}
    )

    operation = document["paths"][f"{VM}/power-cycle"]["post"]

    assert (operation["operationId"], operation["summary"]) == ("powerCycleVm", "Power-Cycle")
    assert operation["description"].startswith("Do power-cycle.")
    assert {key: value for key, value in operation.items() if key.startswith("x-")} == {
        "x-plugin": "cycler",
        "x-permission": "power",
        "x-destructive": True,
        "x-use": "shared",
        "x-timeout": 60.0,
        "x-states": [1, 3],
        "x-needs": "screenshot",
    }
    assert {"204", "404", "409", "422", "501", "503"} <= set(operation["responses"])


def test_the_body_of_an_action_is_its_struct_and_needed_when_a_field_is() -> None:
    cycle = document_of({"cycler": action("power-cycle", CycleParams)})
    rename = document_of({"namer": action("rename", RenameParams)})

    assert body_of(cycle, "power-cycle")["required"] is False
    assert body_of(rename, "rename")["required"] is True
    schema = cycle["components"]["schemas"]["cycler.CycleParams"]
    assert schema["properties"]["seconds"] == {
        "type": "number",
        "minimum": 0,
        "maximum": 30,
        "default": 3.0,
        "description": "How long the VM stays off.",
    }
    assert rename["components"]["schemas"]["namer.RenameParams"]["required"] == ["newName"]


def test_structs_of_one_name_get_one_component_each() -> None:
    other = msgspec.defstruct("CycleParams", [("gently", bool)], frozen=True)
    document = document_of({"one": action("cycle", CycleParams), "two": action("cycle-too", other)})

    schemas = document["components"]["schemas"]

    assert body_of(document, "cycle")["content"]["application/json"]["schema"]["$ref"].endswith("/one.CycleParams")
    assert list(schemas["one.CycleParams"]["properties"]) == ["seconds"]
    assert list(schemas["two.CycleParams"]["properties"]) == ["gently"]


def test_a_struct_of_ours_keeps_its_name_and_one_that_only_sounds_like_it_does_not() -> None:
    sounds_alike = msgspec.defstruct("Problem", [("severity", int)], frozen=True)
    document = document_of(
        routes={"reports": (route("problem", answer=sounds_alike), route("nothing", answer=NoParams))}
    )

    schemas = document["components"]["schemas"]

    assert list(schemas["reports.Problem"]["properties"]) == ["severity"]
    assert "code" in schemas["Problem"]["properties"]
    assert "reports.NoParams" not in schemas


def test_a_struct_that_cannot_be_described_is_left_open_and_its_plugin_named(capsys: pytest.CaptureFixture) -> None:
    configure_logging(LogConfig())
    document = document_of(
        {"odd": action("oddly", OddParams), "cycler": action("power-cycle", CycleParams)},
        {"odd": (route("fine", answer=Report),)},
    )

    operation = document["paths"][f"{VM}/oddly"]["post"]

    assert "left open in the OpenAPI document" in capsys.readouterr().err
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {}
    assert "plugin 'odd'" in operation["x-problem"]
    assert "x-problem" not in document["paths"][f"{VM}/power-cycle"]["post"]
    assert "x-problem" not in document["paths"]["/api/v1/plugins/odd/fine"]["get"]
    assert "odd.Report" in document["components"]["schemas"]


def test_a_schema_that_is_no_json_stays_its_plugins_trouble() -> None:
    odd = msgspec.defstruct("Odd", [("a", Annotated[int, Meta(extra_json_schema={"default": object()})], 0)])

    document = document_of({"odd": action("oddly", odd)})

    assert "plugin 'odd'" in document["paths"][f"{VM}/oddly"]["post"]["x-problem"]


def test_two_actions_that_would_be_one_method_of_a_client_are_kept_apart() -> None:
    document = document_of({"one": action("power-cycle"), "two": action("power--cycle")})

    ids = [document["paths"][f"{VM}/{name}"]["post"]["operationId"] for name in ("power-cycle", "power--cycle")]

    assert ids == ["powerCycleVm", "powerCycleVm2"]


def test_a_route_of_a_plugin_has_its_body_its_answer_and_its_path() -> None:
    routes = (
        route("disks/{disk}", answer=list[Report], permission="storage", description="All of it."),
        route("disks", method="POST", body=RenameParams),
        StaticFiles("page", Path("/nowhere")),
    )
    document = document_of(routes={"reports": routes})

    disk = document["paths"]["/api/v1/plugins/reports/disks/{disk}"]["get"]
    made = document["paths"]["/api/v1/plugins/reports/disks"]["post"]

    assert (disk["operationId"], disk["summary"], disk["description"]) == (
        "reportsGetDisksDisk",
        "Report on disks.",
        "All of it.",
    )
    assert [(one.get("name"), one.get("in"), one.get("$ref", "")) for one in disk["parameters"]] == [
        ("disk", "path", ""),
        (None, None, "#/components/parameters/If-None-Match"),
    ]
    assert disk["responses"]["200"]["content"]["application/json"]["schema"]["items"]["$ref"].endswith("reports.Report")
    assert (disk["x-plugin"], disk["x-permission"]) == ("reports", "storage")
    assert "default" in disk["responses"]
    assert made["requestBody"]["required"] is True
    assert "204" in made["responses"]
    assert not [path for path in document["paths"] if "page" in path]


async def test_a_vm_offers_the_schema_that_the_document_has(tmp_path: Path) -> None:
    kvm1 = FakeHypervisor("kvm1")
    kvm1.define("web", VMState.RUNNING)
    loaded = load_plugins(disabled=["libvirt"], extra={"fake": fake_plugin(kvm1)})
    actions = {**loaded.actions}
    for plugin, added in (("cycler", action("power-cycle", CycleParams)), ("odd", action("oddly", OddParams))):
        actions[added.name] = (plugin, added)
    infos = tuple(
        PluginInfo(name=name, module=name, distribution="", version="", state=PluginState.ACTIVE)
        for name in ("cycler", "odd")
    )
    plugins = msgspec.structs.replace(loaded, actions=actions, infos=(*loaded.infos, *infos))
    config = load_config(None, {"HOME": str(tmp_path)}, {"database.url": "sqlite://:memory:", "server.auth": "off"})

    async with create_app(config, plugins) as application:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
            await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})
            document = (await client.get("/openapi.json")).json()
            offers = {offer["name"]: offer for offer in (await client.get("/hosts/a/vms/web/actions")).json()}

    params = offers["power-cycle"]["params"]
    Draft202012Validator.check_schema(params)
    assert params["$defs"]["CycleParams"] == document["components"]["schemas"]["cycler.CycleParams"]
    assert offers["oddly"]["params"] == {}
