"""A browser that signs in at a real provider, against an application that people sign in to there."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.http.access_kit import World
from tests.lab import OpenIDProvider

API = "/api/v1/session/oidc"
ATTEMPT = "__Host-virtumancer-oidc"
SESSION = "__Host-virtumancer"


class OIDCWorld(World):
    """The application; its address is http://localhost, as the provider knows it."""

    def __init__(self, folder: Path, provider: OpenIDProvider, **flags: Any) -> None:
        settings = provider.settings(folder / "client-secret") | {"oidc.public_url": "http://localhost"}
        super().__init__(folder, **(settings | flags))
        self.provider = provider
        self._browsers = 0

    def browser(self, address: str = "") -> "Browser":
        """A browser at an address of its own: attempts are counted by address."""
        self._browsers += 1
        return Browser(self, address or f"192.0.2.{self._browsers}")


class Browser:
    """Keeps cookies as a browser does that reaches us without TLS on its own machine."""

    def __init__(self, world: OIDCWorld, address: str) -> None:
        self.client = world.client(None, address)
        self.client.headers["Origin"] = "http://localhost"
        self.cookies: dict[str, str] = {}
        self._provider = world.provider

    async def get(self, path: str, *, with_session: bool = True) -> httpx2.Response:
        """Ask for a path below `/api/v1`, or an address; what another site leads to goes without the session."""
        return await self.send("GET", path, with_session=with_session)

    async def send(self, method: str, path: str, *, with_session: bool = True) -> httpx2.Response:
        cookies = {name: value for name, value in self.cookies.items() if with_session or name != SESSION}
        header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
        answer = await self.client.request(method, path, headers=header)
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                assert morsel["secure"], line
                assert morsel["httponly"], line
                assert (morsel["path"], morsel["domain"]) == ("/", "")
                assert morsel["samesite"] == ("Lax" if name == ATTEMPT else "Strict")
                if parsedate_to_datetime(morsel["expires"]) < datetime.now(UTC):
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return answer

    async def start(self) -> str:
        """Begin; returns where the provider is."""
        answer = await self.get("session/oidc/start")
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def log_in(self, url: str, user: str, *, deny: bool = False) -> str:
        """Fill in the provider's form; returns the way back."""
        return self._provider.log_in(url, user, deny=deny)

    async def finish(self, url: str) -> httpx2.Response:
        """Come back."""
        return await self.get(url, with_session=False)

    async def sign_in(self, user: str, *, deny: bool = False) -> str:
        """Sign in; returns where it ends, as `/sign-in/`."""
        answer = await self.finish(self.log_in(await self.start(), user, deny=deny))
        assert answer.status_code == 303, answer.text
        assert answer.content == b""
        return str(answer.headers["location"])

    async def is_signed_in(self) -> bool:
        return bool((await self.get("session")).json()["signed_in"])


def asked(url: str) -> dict[str, str]:
    """The query of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
