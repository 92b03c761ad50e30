"""The pytest plugin that looks for secrets in clear in all that any test makes the program write or answer."""

import json
import os
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from tests.canaries import CANARIES, Leak

_HOLDS_SECRET = ("token", "ticket", "path")
"""Keys of the answers that show a secret once; `path` is that of a link to sign in."""


@pytest.fixture(scope="session", autouse=True)
def canary_watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Plant one in the environment, watch every answer, and look through what is left when everything has ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY_SECRET", CANARIES.plant("environment"))
        if "PYTEST_WITHOUT_CANARIES" not in os.environ:
            _watch_clients(patch)
        yield
    CANARIES.check_files(tmp_path_factory.getbasetemp())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test when what it made the program print or log holds a secret."""
    report = yield
    if report.when == "teardown" and report.passed:
        for name, text in report.sections:
            try:
                CANARIES.check(text, name)
            except Leak as leak:
                report.outcome, report.longrepr = "failed", f"{item.nodeid}: {leak}"
    return report


def _watch_clients(patch: pytest.MonkeyPatch) -> None:
    try:
        import httpx2  # noqa: PLC0415 - the tests of the distributions do without
    except ModuleNotFoundError:
        return
    plain_send: Callable[..., Any] = httpx2.Client.send
    async_send: Callable[..., Any] = httpx2.AsyncClient.send

    def send(self: Any, request: Any, **options: Any) -> Any:
        _learn_from_request(request)
        response = plain_send(self, request, **options)
        _check_answer(response)
        return response

    async def send_async(self: Any, request: Any, **options: Any) -> Any:
        _learn_from_request(request)
        response = await async_send(self, request, **options)
        _check_answer(response)
        return response

    patch.setattr(httpx2.Client, "send", send)
    patch.setattr(httpx2.AsyncClient, "send", send_async)


def _learn_from_request(request: Any) -> None:
    CANARIES.learn("token", request.headers.get("Authorization", ""))
    for pair in request.headers.get("Cookie", "").split(";"):
        CANARIES.learn("cookie", pair.strip())
    CANARIES.learn("ticket", request.url.params.get("ticket", ""))


def _check_answer(response: Any) -> None:
    """Hold an answer against the secrets known before it, then learn those that it shows."""
    where = f"the answer to {response.request.method} {response.request.url.path}"
    for name, value in response.headers.items():
        if name.lower() != "set-cookie":
            CANARIES.check(value, f"{where}, header {name},")
    if response.is_closed:  # a stream is not read yet
        CANARIES.check(response.content, where)
        _learn_from_body(response)
    for cookie in response.headers.get_list("set-cookie"):
        CANARIES.learn("cookie", cookie.partition(";")[0])


def _learn_from_body(response: Any) -> None:
    if response.status_code != 201 or not response.content.startswith(b"{"):
        return
    document = json.loads(response.content)
    for key in _HOLDS_SECRET:
        if isinstance(document.get(key), str):
            CANARIES.learn(key, document[key])
