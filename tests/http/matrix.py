"""Who may what: the rules of the routes, the callers, and what each of them must get, for the permission matrix."""

from typing import Any

from tests.http.access_kit import DB, OTHER, WEB

__all__ = ["ACTIONS", "CALLERS", "OBJECTS", "RULES", "TAGS", "expected_of", "kind_of"]

# What each route needs, and on what; written by hand, so that a rule that changes has to be changed twice.
RULES: dict[str, tuple[str, str]] = {
    "GET /api/v1/health": ("public", ""),
    "GET /livez": ("public", ""),
    "GET /readyz": ("public", ""),
    "GET /api/v1/openapi.json": ("anybody", ""),
    "GET /api/v1/me": ("anybody", ""),
    "PUT /api/v1/me/password": ("anybody", ""),
    "GET /api/v1/session": ("public", ""),
    "POST /api/v1/session": ("public", ""),
    "DELETE /api/v1/session": ("anybody", ""),
    "POST /api/v1/session/links": ("anybody", ""),
    "GET /api/v1/session/oidc/start": ("public", ""),
    "GET /api/v1/session/oidc/callback": ("public", ""),
    "GET /api/v1/sessions": ("everything", "access"),
    "DELETE /api/v1/sessions/{session}": ("everything", "access"),
    "GET /api/v1/users": ("everything", "access"),
    "POST /api/v1/users": ("everything", "access"),
    "GET /api/v1/users/{user}": ("everything", "access"),
    "PATCH /api/v1/users/{user}": ("everything", "access"),
    "DELETE /api/v1/users/{user}": ("everything", "access"),
    "GET /api/v1/tokens": ("everything", "access"),
    "POST /api/v1/tokens": ("everything", "access"),
    "GET /api/v1/tokens/{token}": ("everything", "access"),
    "PATCH /api/v1/tokens/{token}": ("everything", "access"),
    "DELETE /api/v1/tokens/{token}": ("everything", "access"),
    "GET /api/v1/audit": ("everything", "audit"),
    "GET /api/v1/plugins": ("everything", "read"),
    "GET /api/v1/plugins/{plugin}": ("everything", "read"),
    "GET /api/v1/plugins/extras/count": ("everything", "count"),
    "GET /api/v1/hosts": ("anybody", ""),
    "POST /api/v1/hosts": ("everything", "hosts"),
    "GET /api/v1/hosts/{host}": ("host", "read"),
    "PATCH /api/v1/hosts/{host}": ("host", "hosts"),
    "DELETE /api/v1/hosts/{host}": ("host", "hosts"),
    "GET /api/v1/hosts/{host}/info": ("host", "read"),
    "POST /api/v1/hosts/{host}/connect": ("host", "hosts"),
    "POST /api/v1/hosts/{host}/disconnect": ("host", "hosts"),
    "POST /api/v1/host-keys/scan": ("everything", "hosts"),
    "GET /api/v1/hosts/{host}/host-keys": ("host", "hosts"),
    "POST /api/v1/hosts/{host}/host-keys": ("host", "hosts"),
    "POST /api/v1/hosts/{host}/host-keys/scan": ("host", "hosts"),
    "POST /api/v1/hosts/{host}/host-keys/rotate": ("host", "hosts"),
    "DELETE /api/v1/hosts/{host}/host-keys/{fingerprint}": ("host", "hosts"),
    "GET /api/v1/hosts/{host}/samples": ("host", "read"),
    "GET /api/v1/hosts/{host}/networks": ("host", "read"),
    "GET /api/v1/hosts/{host}/networks/{network}": ("host", "read"),
    "GET /api/v1/hosts/{host}/networks/{network}/leases": ("host", "read"),
    "GET /api/v1/hosts/{host}/networks/{network}/leases/{lease}": ("host", "read"),
    "GET /api/v1/hosts/{host}/metadata": ("host", "read"),
    "PUT /api/v1/hosts/{host}/metadata": ("host", "metadata"),
    "PATCH /api/v1/hosts/{host}/metadata": ("host", "metadata"),
    "GET /api/v1/hosts/{host}/actions": ("host", "read"),
    "POST /api/v1/hosts/{host}/{action}": ("host", "hosts"),
    "GET /api/v1/hosts/{host}/vms": ("within host", "read"),
    "GET /api/v1/hosts/{host}/vms/db": ("within host", "read"),
    "GET /api/v1/hosts/{host}/vms/{vm}": ("vm", "read"),
    "GET /api/v1/hosts/{host}/vms/{vm}/actions": ("vm", "read"),
    "GET /api/v1/hosts/{host}/vms/{vm}/stats": ("vm", "read"),
    "GET /api/v1/hosts/{host}/vms/{vm}/hardware": ("vm", "read"),
    "GET /api/v1/hosts/{host}/vms/{vm}/consoles": ("vm", "read"),
    "POST /api/v1/hosts/{host}/vms/{vm}/consoles": ("vm", "console-view"),
    "GET /api/v1/hosts/{host}/vms/{vm}/screenshot": ("vm", "console-view"),
    "GET /api/v1/hosts/{host}/vms/{vm}/metadata": ("vm", "read"),
    "PUT /api/v1/hosts/{host}/vms/{vm}/metadata": ("vm", "metadata"),
    "PATCH /api/v1/hosts/{host}/vms/{vm}/metadata": ("vm", "metadata"),
    "POST /api/v1/hosts/{host}/vms/{vm}/{action}": ("vm", "power"),
    "POST /api/v1/vms/actions": ("anybody", ""),
    "GET /api/v1/events": ("anybody", ""),
    "GET /api/v1/vms": ("anybody", ""),
    "GET /api/v1/resources": ("anybody", ""),
    "GET /api/v1/operations": ("anybody", ""),
    "GET /api/v1/operations/{operation}": ("anybody", ""),
    "DELETE /api/v1/operations/{operation}": ("anybody", ""),
    "GET /api/v1/consoles": ("anybody", ""),
    "GET /api/v1/consoles/{session}": ("anybody", ""),
    "DELETE /api/v1/consoles/{session}": ("anybody", ""),
    "WEBSOCKET /ws": ("anybody", ""),
    "WEBSOCKET /api/v1/ws": ("anybody", ""),
    "WEBSOCKET /api/v1/events": ("anybody", ""),
    "WEBSOCKET /api/v1/hosts/{host}/vms/{vm}/plain": ("vm", "console"),
    "WEBSOCKET /api/v1/hosts/{host}/vms/{vm}/{action}": ("nowhere", ""),
}
# Actions share one route, and each has a right; that of a plugin brings its own.
ACTIONS = {
    "POST /api/v1/hosts/{host}/vms/{vm}/hibernate": ("vm", "hibernate"),
}
ALL = {"*"}
OPERATOR = {"read", "power", "console", "console-view", "metadata"}
# name -> grants, and the same as (rights, host, VM) for a model of our own
CALLERS: dict[str, list[tuple[dict[str, Any], tuple[set[str], str, str]]]] = {
    "administrator": [({"role": "admin"}, (ALL, "", ""))],
    "viewer": [({"role": "viewer"}, ({"read"}, "", ""))],
    "operator": [({"role": "operator"}, (OPERATOR, "", ""))],
    "administrator of a": [({"role": "admin", "host": "a"}, (ALL, "a", ""))],
    "viewer of a": [({"role": "viewer", "host": "a"}, ({"read"}, "a", ""))],
    "operator of web": [({"role": "operator", "host": "a", "vm": WEB}, (OPERATOR, "a", "web"))],
    "viewer of a, operator of db": [
        ({"role": "viewer", "host": "a"}, ({"read"}, "a", "")),
        ({"role": "operator", "host": "a", "vm": DB}, (OPERATOR, "a", "db")),
    ],
    "viewer of b": [({"role": "viewer", "host": "b"}, ({"read"}, "b", ""))],
    "onlooker of other": [
        ({"rights": ["read", "console-view"], "host": "b", "vm": OTHER}, ({"read", "console-view"}, "b", "other"))
    ],
    "operator of what is tagged night": [({"role": "operator", "tag": "night"}, (OPERATOR, "a", "web"))],
    "viewer of what is tagged rack on b": [({"role": "viewer", "host": "b", "tag": "rack"}, ({"read"}, "b", ""))],
    "administrator of a tag that nothing has": [({"role": "admin", "tag": "none"}, (set(), "", ""))],
    "hibernator of web": [
        ({"rights": ["read", "hibernate"], "host": "a", "vm": WEB}, ({"read", "hibernate"}, "a", "web"))
    ],
    "counter": [({"rights": ["count"]}, ({"count"}, "", ""))],
    "nothing": [],
}
# what is tagged, and how
TAGS = {"/hosts/a/vms/web": ["night"], "/hosts/a/vms/db": ["rack"], "/hosts/b": ["rack"]}
OBJECTS = [("a", "web"), ("a", "db"), ("b", "other"), ("a", "none"), ("none", "web")]
EXISTING = {("a", "web"), ("a", "db"), ("b", "other")}


def _has(caller: str, right: str, host: str, vm: str) -> bool:
    return any(
        (on_host, on_vm) in {("", ""), (host, ""), (host, vm)} and (right in rights or "*" in rights)
        for _, (rights, on_host, on_vm) in CALLERS[caller]
    )


def expected_of(caller: str, scope: str, right: str, host: str, vm: str, missing: str) -> set[str]:
    """Return what may come: `ok`, `404`, `403`; `missing` also where an object below that of the rule is not there."""
    if scope == "nowhere":
        return {"404"}
    if scope in {"public", "anybody"}:
        return {"ok", "404"}
    if scope == "everything":
        return {"ok", "404"} if _has(caller, right, "", "") else {"403"}
    if scope == "within host":
        readable = any(_has(caller, "read", host, name) for name in ("", "web", "db", "other"))
        return {"ok"} if readable and host in {"a", "b"} else {"404"}
    name = vm if scope == "vm" else ""
    exists = (host, vm) in EXISTING if scope == "vm" else host in {"a", "b"}
    if not exists and _has(caller, "read", "", ""):
        return {"404", "403", "ok"}  # who may read everything learns nothing; a body may be refused first
    if not exists or not _has(caller, "read", host, name):
        return {"404"}
    return {"ok", missing} if _has(caller, right, host, name) else {"403"}


def kind_of(status: int) -> str:
    return {401: "401", 403: "403", 404: "404"}.get(status, "ok")
