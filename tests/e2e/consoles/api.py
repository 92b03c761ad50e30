"""The consoles of one host, as a user of the API has them."""

import json
from typing import Any
from urllib.parse import urlencode

from websockets.exceptions import InvalidStatus

from tests.e2e.consoles.viewers import RfbViewer, Viewer
from tests.e2e.manager import Manager


class Consoles:
    """Makes WebSocket URLs for the VMs of a host, with tickets and without, and watches the sessions."""

    def __init__(self, manager: Manager, host: str, origin: str) -> None:
        self.manager = manager
        self.host = host
        self.origin = origin

    def url(self, vm: str, suffix: str, **query: str) -> str:
        """The WebSocket of a console, without a ticket."""
        base = self.manager.url.replace("http", "ws", 1)
        return f"{base}/api/v1{self.host}/vms/{vm}/{suffix}" + (f"?{urlencode(query)}" if query else "")

    def ask(self, vm: str, kind: str, *, origin: str | None = None, **terms: Any) -> Any:
        """The answer to a request for a ticket, from a page of this origin."""
        headers = {"Origin": self.origin if origin is None else origin}
        return self.manager.post(f"{self.host}/vms/{vm}/consoles", {"kind": kind, **terms}, headers=headers)

    def ticket(self, vm: str, kind: str, **terms: Any) -> str:
        """A WebSocket URL with a ticket."""
        answer = self.ask(vm, kind, **terms)
        assert answer.status_code == 201, answer.text
        url: str = answer.json()["url"]
        return url

    def only_ticket(self, vm: str, kind: str, **terms: Any) -> str:
        """One that does not mind a viewer of an earlier test that is still on its way out."""
        return self.ticket(vm, kind, on_busy="takeover", **terms)

    def offers(self, vm: str) -> dict[str, dict[str, Any]]:
        """What a VM offers, by kind."""
        answer = self.manager.get(f"{self.host}/vms/{vm}/consoles")
        assert answer.status_code == 200, answer.text
        return {offer["kind"]: offer for offer in answer.json()}

    def sessions(self, vm: str) -> list[dict[str, Any]]:
        """The sessions on a VM."""
        answer = self.manager.get("/consoles")
        assert answer.status_code == 200, answer.text
        return [session for session in answer.json() if session["vm_name"] == vm]

    def vnc(self, vm: str, **terms: Any) -> RfbViewer:
        """A viewer of the VNC console that has shaken hands."""
        return RfbViewer(self.ticket(vm, "vnc", **terms), self.origin).begin()

    def refusal(self, url: str, origin: str | None = None) -> tuple[int, dict[str, Any]]:
        """The status and the problem document that answer the upgrade; an empty origin sends none."""
        try:
            with Viewer(url, self.origin if origin is None else origin) as viewer:
                raise AssertionError(f"it was let in; it ended with {viewer.farewell()}")
        except InvalidStatus as refused:
            return refused.response.status_code, json.loads(refused.response.body or b"{}")
