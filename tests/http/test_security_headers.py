"""What browsers are told with every answer, and who may say where a request came from."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.errors import ConfigError
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import Server, listen, server_settings, url_of

FORGED = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Any]:
    async with asyncio.TaskGroup() as tasks:
        servers: list[tuple[Server, asyncio.Task[None]]] = []

        async def start(bind: str = "127.0.0.1", **flags: Any) -> tuple[str, Any]:
            config = load_config(None, {}, {"database.url": f"sqlite://{tmp_path}/v.db", "server.auth": "off"} | flags)
            application = await create_app(config, load_plugins(["libvirt"])).__aenter__()
            listener, started = listen(bind, 0), asyncio.Event()
            server = Server(server_settings(application), started.set)

            async def run() -> None:
                await server.serve(sockets=[listener])
                listener.close()
                await application.__aexit__(None, None, None)

            servers.append((server, tasks.create_task(run())))
            await started.wait()
            return url_of(config, listener).replace("[::]", "127.0.0.1"), application

        yield start
        for server, _ in servers:
            server.should_exit = True


@pytest.mark.parametrize("path", ["/hosts", "/health", "/nothing", "/hosts/none", "/openapi.json"])
async def test_every_answer_is_safe_to_open_in_a_browser(client: httpx2.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers

    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if path == "/openapi.json" else "no-store")
    assert "strict-transport-security" not in headers


async def _address_on_record(serve: Any, **flags: Any) -> str:
    url, application = await serve(**flags)
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", trust_env=False) as client:
        await client.post("/hosts/none/connect", headers=FORGED)
    return str([record.address async for record in application.services.audit.records()][-1])


async def test_a_client_cannot_forge_where_it_comes_from(serve: Any) -> None:
    assert await _address_on_record(serve) == "127.0.0.1"


async def test_a_trusted_proxy_says_where_a_request_comes_from(serve: Any) -> None:
    assert await _address_on_record(serve, **{"server.trusted_proxies": ["127.0.0.0/8"]}) == "203.0.113.9"


async def test_a_trusted_proxy_is_known_on_a_socket_for_ipv4_and_ipv6_too(serve: Any) -> None:
    flags = {"server.trusted_proxies": ["127.0.0.1"], "bind": "::"}
    assert await _address_on_record(serve, **flags) == "203.0.113.9"


async def test_a_client_of_a_socket_for_ipv4_and_ipv6_is_on_record_by_the_address_it_is_known_by(serve: Any) -> None:
    assert await _address_on_record(serve, bind="::") == "127.0.0.1"


async def test_another_proxy_is_not_believed(serve: Any) -> None:
    assert await _address_on_record(serve, **{"server.trusted_proxies": ["10.0.0.1"]}) == "127.0.0.1"


async def test_a_page_behind_a_trusted_proxy_with_tls_is_of_the_same_origin(serve: Any) -> None:
    url, _ = await serve(**{"server.trusted_proxies": ["127.0.0.1"]})
    origin = url.replace("http:", "https:")
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", trust_env=False) as client:
        answers = [
            await client.post("/hosts/none/connect", headers={"Origin": origin} | more)
            for more in ({"X-Forwarded-Proto": "https"}, {})
        ]

    assert [answer.json()["code"] for answer in answers] == ["host-not-found", "forbidden"]


def test_a_proxy_is_an_address_or_a_network(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'server.trusted_proxies.*"proxy.example" is not an address'):
        load_config(None, {"HOME": str(tmp_path)}, {"server.trusted_proxies": ["proxy.example"]})


def test_only_a_proxy_spares_the_certificate(tmp_path: Path) -> None:
    flags = {"server.auth": "token", "server.bind": "192.0.2.1"}
    with pytest.raises(ConfigError, match="behind_proxy = true"):
        load_config(None, {"HOME": str(tmp_path)}, flags)

    config = load_config(None, {"HOME": str(tmp_path)}, flags | {"server.behind_proxy": True})

    assert config.server.bind == "192.0.2.1"
