"""The smallest HTTP load: so many connections that each ask again as soon as they are answered."""

import asyncio
from time import perf_counter


async def rate(port: int, path: str, *, requests: int, connections: int = 8, headers: str = "") -> float:
    """Return how many requests a second were answered with 200."""
    began = perf_counter()
    share = requests // connections
    await asyncio.gather(*(_ask(port, path, share, headers) for _ in range(connections)))
    return share * connections / (perf_counter() - began)


async def _ask(port: int, path: str, times: int, headers: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n".encode()
    try:
        for _ in range(times):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise ConnectionError(head.decode(errors="replace"))
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
    finally:
        writer.close()
