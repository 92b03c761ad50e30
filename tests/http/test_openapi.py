"""The OpenAPI document: it describes what is there, all of it, and the answers are as it says."""

import re
from collections.abc import Iterator
from typing import Any

import falcon.asgi
import httpx2
import pytest
from falcon.inspect import inspect_routes
from jsonschema import Draft202012Validator
from msgspec import structs
from openapi_spec_validator import OpenAPIV31SpecValidator

from virtumancer.app import Application
from virtumancer.contracts import ConsoleOffer, Disk, DiskDriver, DiskTarget, HardwareInfo, Route, RouteRequest, VMState
from virtumancer.http.api_paths import plain_path
from virtumancer.http.endpoint import endpoints_of
from virtumancer.http.openapi import build_document
from virtumancer.http.openapi.document import TAGS
from virtumancer.http.routes import add_routes
from virtumancer.testing import FakeHypervisor

METHODS = ("get", "post", "put", "patch", "delete", "websocket")
VM = "/api/v1/hosts/{host}/vms/{vm}"
# Each action, and each console, has its own place instead.
GENERIC = {
    ("post", f"{VM}/{{action}}"),
    ("get", f"{VM}/{{action}}"),
    ("post", "/api/v1/hosts/{host}/{action}"),
}
# What the path parameters stand for in the calls below.
CALLED = {"host": "a", "vm": "web", "plugin": "power"}


class Called(dict[str, str]):
    """The same, and an id of nothing for all others."""

    def __missing__(self, _name: str) -> str:
        return "0123456789abcdef"


class Recording(falcon.asgi.App[Any, Any]):
    """A Falcon application that remembers what was mounted where."""

    def __init__(self) -> None:
        super().__init__()
        self.mounted: dict[str, object] = {}

    def add_route(self, uri_template: str, resource: object, **options: Any) -> None:
        self.mounted[uri_template] = resource
        super().add_route(uri_template, resource, **options)


@pytest.fixture
def mounted(application: Application) -> Recording:
    recording = Recording()
    add_routes(recording, application.services)
    return recording


@pytest.fixture
async def document(client: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


@pytest.fixture
async def host(client: httpx2.AsyncClient, kvm1: FakeHypervisor) -> None:
    web = kvm1.define("web", VMState.RUNNING)
    disk = Disk("file", "disk", DiskDriver("qemu"), {"file": "/x.qcow2"}, "/x.qcow2", DiskTarget("vda", "virtio"))
    kvm1.hardware[web.uuid] = HardwareInfo(disks=(disk,))
    kvm1.consoles[web.uuid] = (ConsoleOffer("vnc", available=True),)
    assert (await client.post("/hosts", json={"id": "a", "uri": kvm1.uri})).status_code == 201


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def check(document: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    """Hold a value against a schema whose references are those of the document."""
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def is_text(schema: dict[str, Any]) -> bool:
    """Whether any string fits; one may be given where several are."""
    return schema.get("type") == "array" or (schema.get("type") == "string" and not {"enum", "format"} & set(schema))


def success_of(operation: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    status = next(status for status in operation["responses"] if status.startswith(("1", "2", "3")))
    return int(status), operation["responses"][status]


def failures_of(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the error answers by status."""
    responses = document["components"]["responses"]
    return {
        status: responses[response["$ref"].rpartition("/")[2]]
        for status, response in operation["responses"].items()
        if status.startswith(("4", "5"))
    }


def routes_of(recording: Recording) -> set[tuple[str, str]]:
    """Return method and path of everything that Falcon serves."""
    return {
        (method.method.lower().replace("websocket", "get"), re.sub(r":\w+\}", "}", route.path))
        for route in inspect_routes(recording)
        for method in route.methods
        if method.method.lower() in METHODS and not method.internal
    }


async def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1")


async def test_every_route_is_in_the_document_and_the_other_way_round(
    document: dict[str, Any], application: Application, mounted: Recording
) -> None:
    routes = routes_of(mounted)
    actions = {("post", f"{VM}/{name}") for name in application.plugins.actions}

    assert actions
    assert routes >= GENERIC
    assert {(method, path) for method, path, _ in operations(document)} == (routes - GENERIC) | actions


async def test_every_route_of_a_plugin_is_in_the_document_and_the_other_way_round(application: Application) -> None:
    async def handle(_request: RouteRequest) -> None: ...

    routes = (
        Route(method="GET", path="disks/{disk}", summary="Describe a disk.", handle=handle),
        Route(method="DELETE", path="disks/{disk}", summary="Delete a disk.", handle=handle),
        Route(method="POST", path="disks", summary="Make a disk.", handle=handle),
    )
    provided = structs.replace(application.plugins, routes={"disks": routes})
    recording = Recording()
    add_routes(recording, structs.replace(application.services, provided=provided))

    document = build_document(recording.mounted.values(), provided)

    ours = "/api/v1/plugins/disks/"
    documented = {(method, path) for method, path, _ in operations(document) if path.startswith(ours)}
    assert len(documented) == 3
    assert documented == {(method, path) for method, path in routes_of(recording) if path.startswith(ours)}


def test_every_responder_says_what_it_is(mounted: Recording) -> None:
    responders = [
        (resource, method.upper())
        for resource in mounted.mounted.values()
        for method in METHODS
        if hasattr(resource, f"on_{method}")
    ]

    assert len(responders) > 20
    for resource, method in responders:
        record = endpoints_of(resource)[method]
        assert 0 < len(record.summary) < 110, record.name
        assert "\n" not in record.summary


def test_every_path_parameter_is_described_and_called_after_one_thing(mounted: Recording) -> None:
    found = {
        parameter
        for resource in mounted.mounted.values()
        for record in endpoints_of(resource).values()
        if not record.expanded
        for parameter in record.path.parameters
    }

    assert [parameter for parameter in found if not parameter.description] == []
    components = [parameter.component or parameter.name for parameter in found]
    assert len(set(components)) == len(components) > 5


def test_the_audit_log_names_a_route_as_its_record_does(mounted: Recording) -> None:
    for template, resource in mounted.mounted.items():
        assert plain_path(template) in {
            str(path) for record in endpoints_of(resource).values() for path in (record.path, *record.also_at)
        }


async def test_sessions_of_browsers_and_of_consoles_are_told_apart(document: dict[str, Any]) -> None:
    def described(path: str) -> str:
        reference = document["paths"][path]["delete"]["parameters"][0]["$ref"]
        parameter: dict[str, str] = document["components"]["parameters"][reference.rpartition("/")[2]]
        assert parameter["name"] == "session"
        return parameter["description"]

    assert described("/api/v1/sessions/{session}") == "The id of a browser's session."
    assert described("/api/v1/consoles/{session}") == "The id of a console session."


async def test_every_operation_can_become_a_method_of_a_client(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(set(ids)) == len(ids)
    assert [name for name in ids if not re.fullmatch(r"[a-z][a-zA-Z0-9]*", name)] == []
    assert {tag for _, _, operation in operations(document) for tag in operation["tags"]} <= set(TAGS)


async def test_every_component_has_a_name_that_generators_take(document: dict[str, Any]) -> None:
    names = [name for part in document["components"].values() for name in part]

    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9._-]+", name)] == []


async def test_every_error_is_a_problem_document_with_its_codes(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status, response in failures_of(document, operation).items():
            media = response["content"]["application/problem+json"]
            codes = media["schema"]["properties"]["code"]["enum"]
            assert media["example"]["status"] == int(status), (method, path)
            assert all(f"`{code}`" in response["description"] for code in codes)
            check(document, media["schema"], media["example"])


async def test_no_schema_is_a_const(document: dict[str, Any]) -> None:
    """Generators merge an `enum` of one with the type beside it, and give a `const` up."""

    def consts(node: Any, path: str) -> list[str]:
        if isinstance(node, list):
            return [found for i, item in enumerate(node) for found in consts(item, f"{path}/{i}")]
        if not isinstance(node, dict):
            return []
        here = [path] if "const" in node else []
        return here + [found for key, item in node.items() for found in consts(item, f"{path}/{key}")]

    assert consts(document, "") == []


async def test_every_body_and_every_answer_has_an_example_that_fits(document: dict[str, Any]) -> None:
    without = []
    for method, path, operation in operations(document):
        bodies = [operation.get("requestBody", {}), success_of(operation)[1]]
        for media in [body["content"].get("application/json", {}) for body in bodies if "content" in body]:
            if "example" in media:
                check(document, media["schema"], media["example"])
            elif media:
                without.append((method, path))

    # The document itself, and actions without parameters.
    assert [(method, path) for method, path in without if method != "post" and "openapi" not in path] == []
    power, suspend = "start shutdown reboot forceoff forcereset", "pause resume wakeup dropsave"
    assert {path for method, path in without if method == "post"} == {
        f"{VM}/{name}" for name in (*power.split(), *suspend.split())
    }


async def test_a_body_is_needed_only_when_one_of_its_fields_is(document: dict[str, Any]) -> None:
    paths = document["paths"]

    assert paths["/api/v1/hosts"]["post"]["requestBody"]["required"] is True
    assert paths["/api/v1/hosts/{host}/connect"]["post"]["requestBody"]["required"] is False
    assert paths[f"{VM}/start"]["post"]["requestBody"]["required"] is False


async def test_every_key_of_an_answer_is_always_there(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    # What a VM did not tell is named when there is something to name, so that the answer about a VM that is well stays
    # the one that clients have always known.
    assert set(schemas["VM"]["required"]) == set(schemas["VM"]["properties"]) - {"last_known"}
    assert set(schemas["VMStats"]["required"]) == set(schemas["VMStats"]["properties"]) - {"last_known"}
    assert {"ID", "DeletedAt", "config_json"} <= set(schemas["VMRow"]["required"])
    assert schemas["NewHost"]["required"] == ["id", "uri"]


async def test_a_field_is_described_as_the_source_does_it(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    assert (
        schemas["HostDetail"]["properties"]["declared"]["description"] == "The host comes from the configuration file."
    )
    assert schemas["VMState"]["x-enum-varnames"][5] == "SHUTOFF"
    names = schemas["HostState"]["x-enum-varnames"]
    assert schemas["HostState"]["x-enum-descriptions"][names.index("LOST")].startswith("Not reachable just now")


async def test_a_websocket_says_so_and_how_it_is_closed(document: dict[str, Any]) -> None:
    console = document["paths"][f"{VM}/console"]["get"]

    assert success_of(console)[0] == 101
    assert (console["operationId"], console["x-websocket"], console["x-plugin"]) == ("openVncConsole", True, "vnc")
    assert console["x-subprotocols"] == ["binary"]
    assert console["x-close-codes"]["4410"].startswith("The VM stopped")
    named = [parameter["name"] for parameter in console["parameters"] if "name" in parameter]
    assert named == ["ticket", "follow", "device"]
    assert document["paths"]["/ws"]["get"]["x-websocket"] is True


@pytest.mark.parametrize(("path", "other"), [("events", "text/event-stream"), ("audit", "application/x-ndjson")])
async def test_every_form_that_an_answer_may_have_is_in_the_document(
    document: dict[str, Any], path: str, other: str
) -> None:
    assert list(document["paths"][f"/api/v1/{path}"]["get"]["responses"]["200"]["content"]) == [
        "application/json",
        other,
    ]


@pytest.mark.usefixtures("host")
async def test_real_answers_are_as_the_document_says(document: dict[str, Any], client: httpx2.AsyncClient) -> None:
    called = []
    for method, path, operation in operations(document):
        status, response = success_of(operation)
        skipped = ("{session}", "{token}", "{user}", "{fingerprint}", "{operation}", "/networks")
        if method != "get" or status in {101, 303} or any(part in path for part in skipped):
            continue
        media_type, media = next(iter(response["content"].items()))
        answer = await client.get(f"http://localhost{path.format(**CALLED)}", headers={"Accept": media_type})
        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["Content-Type"] == media_type
        # There is no Link on the last page.
        assert set(response["headers"]) - {"Link"} <= {name.title() for name in answer.headers} | {"ETag"}, path
        if media_type == "application/json":
            check(document, media["schema"], answer.json())
        called.append(path)

    assert len(called) >= 14


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("method", "path", "template", "body"),
    [
        ("get", "/hosts/nowhere", "/hosts/{host}", None),
        ("get", "/hosts/a/vms/nothing/stats", "/hosts/{host}/vms/{vm}/stats", None),
        ("post", "/hosts/a/vms/web/start", "/hosts/{host}/vms/{vm}/start", None),
        ("post", "/hosts/a/vms/web/start", "/hosts/{host}/vms/{vm}/start", {"fast": True}),
        ("post", "/hosts", "/hosts", {"id": "b"}),
        ("post", "/hosts", "/hosts", {"id": "b", "uri": "fake://not-there"}),
        ("post", "/hosts", "/hosts", {"id": "a", "uri": "fake://kvm1"}),
        ("delete", "/consoles/0123456789abcdef", "/consoles/{session}", None),
        ("get", "/plugins/none", "/plugins/{plugin}", None),
    ],
)
async def test_real_errors_are_as_the_document_says(
    document: dict[str, Any], client: httpx2.AsyncClient, method: str, path: str, template: str, body: object
) -> None:
    answer = await client.request(method, path, **({"json": body} if body else {}))

    failures = failures_of(document, document["paths"][f"/api/v1{template}"][method])
    check(document, failures[str(answer.status_code)]["content"]["application/problem+json"]["schema"], answer.json())


@pytest.mark.usefixtures("host")
async def test_a_parameter_that_is_no_text_is_never_empty(document: dict[str, Any], client: httpx2.AsyncClient) -> None:
    taken = []
    for method, path, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            if parameter.get("in") != "query" or operation.get("x-websocket") or is_text(parameter["schema"]):
                continue
            url = f"http://localhost{path.format_map(Called(CALLED))}?{parameter['name']}="
            answer = await client.request(method, url, headers={"Accept": "application/json"})
            taken.append((method, path, parameter["name"], answer.status_code))
            if answer.status_code in {400, 422}:
                assert parameter["name"] in answer.text

    assert len(taken) > 10
    assert [call for call in taken if call[-1] not in {400, 422}] == []


@pytest.mark.usefixtures("host")
async def test_the_schema_of_an_action_is_the_one_that_the_vm_offers(
    document: dict[str, Any], client: httpx2.AsyncClient
) -> None:
    for offer in (await client.get("/hosts/a/vms/web/actions")).json():
        body = document["paths"][f"{VM}/{offer['name']}"]["post"]["requestBody"]["content"]["application/json"]
        name = body["schema"]["$ref"].rpartition("/")[2]
        assert document["components"]["schemas"][name] == offer["params"]["$defs"][name.rpartition(".")[2]]


async def test_a_client_that_has_the_document_is_told_so(client: httpx2.AsyncClient) -> None:
    first = await client.get("/openapi.json")

    same = await client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    other = await client.get("/openapi.json", headers={"If-None-Match": '"another"'})

    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert (other.status_code, other.content) == (200, first.content)
