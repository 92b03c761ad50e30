"""Debian's Chromium without a window, driven by Playwright in a thread of its own.

Playwright's blocking interface leaves an event loop running in the thread of the tests, where pytest-asyncio
then finds it; here the loop has its own thread, and the tests only wait for it.
"""

import asyncio
import base64
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image
from playwright.async_api import Browser, Page, Playwright, async_playwright

from tests.e2e.consoles.pictures import picture
from tests.lab import find_program
from virtumancer.masking import mask_text

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_CANVAS = "() => document.querySelector('#screen canvas')?.toDataURL('image/png') ?? ''"
# Playwright types a shifted character without the Shift key, as no keyboard does, and a guest sees keys.
_KEYS = {"\n": "Enter", " ": "Space", ">": "Shift+Period"}


class Chromium:
    """One browser; `open` gives a tab of a fresh profile."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chromium")
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.do(self._launch())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.do(self._quit())
        finally:
            self._end()

    def do(self, coroutine: Coroutine[Any, Any, Any], timeout: float = 30.0) -> Any:
        """Run a coroutine in the browser's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def open(self, url: str) -> "Tab":
        return Tab(self, self.do(self._open(url)))

    async def _open(self, url: str) -> Page:
        assert self._browser is not None
        page = await (await self._browser.new_context()).new_page()
        # Pytest shows these when the test fails; clients print the URLs that they open, with the tickets in them.
        page.on("pageerror", lambda error: print("error in the page:", mask_text(str(error))))
        page.on("console", lambda message: print("console of the page:", mask_text(message.text)))
        await page.goto(url)
        return page

    async def _launch(self) -> None:
        self._playwright = await async_playwright().start()
        self._browser = await self._playwright.chromium.launch(
            executable_path=find_program("chromium"), args=list(_FLAGS)
        )

    async def _quit(self) -> None:
        if self._browser:
            await self._browser.close()
        if self._playwright:
            await self._playwright.stop()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Tab:
    """A page with a client, which draws into `#screen`."""

    def __init__(self, browser: Chromium, page: Page) -> None:
        self._browser = browser
        self._page = page

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.do(self._page.context.close())

    def evaluate(self, script: str) -> Any:
        return self._browser.do(self._page.evaluate(script))

    def wait_for(self, script: str, timeout: float = 15.0) -> None:
        """Wait until an expression of the page is true."""
        waiting = self._page.wait_for_function(script, timeout=timeout * 1000)
        self._browser.do(waiting, timeout + 5)

    def type(self, text: str) -> None:
        """Type as on a US keyboard, into the client's screen."""
        self.evaluate("focusScreen()")
        self._browser.do(self._type(text))

    async def _type(self, text: str) -> None:
        for character in text:
            key = f"Shift+{character}" if character.isupper() else _KEYS.get(character, character)
            await self._page.keyboard.press(key, delay=20)  # a guest's keyboard has a short memory

    def canvas(self) -> Image.Image | None:
        """What the client has drawn, pixel by pixel; None as long as it has no canvas."""
        url: str = self.evaluate(_CANVAS)
        _, _, data = url.partition("base64,")
        return picture(base64.b64decode(data)) if data else None

    def save_screenshot(self, file: Path) -> None:
        """What a person sees."""
        self._browser.do(self._page.screenshot(path=file))

    @property
    def sockets(self) -> list[dict[str, Any]]:
        """Every WebSocket of the page: its URL, whether it opened, and the code and reason of its end."""
        found: list[dict[str, Any]] = self.evaluate("window.sockets")
        return found

    @property
    def events(self) -> list[str]:
        """What the client has said of itself."""
        found: list[str] = self.evaluate("window.events")
        return found
