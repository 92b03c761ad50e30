"""Many readers of the event stream in a process of their own: prints, for each, when which event came."""

import asyncio
import sys
import time

MARK = b'"name":"change-'


async def read(host: str, port: int, ready: asyncio.Semaphore, out: list[tuple[int, float]], last: int) -> None:
    """Follow the stream until the last change was told; notes the number of each change and when it came."""
    reader, writer = await asyncio.open_connection(host, port, limit=2**20)
    request = f"GET /api/v1/events?type=vm.changed HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n"
    writer.write(request.encode())
    seen = b""
    while b"retry:" not in seen:
        seen += await reader.read(65536)
    ready.release()
    number = -1
    rest = b""
    while number < last:
        data = await reader.read(65536)
        came = time.monotonic()
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if MARK in line:
                number = int(line.partition(MARK)[2].partition(b'"')[0])
                out.append((number, came))
    writer.close()


async def main(port: int, readers: int, last: int) -> None:
    """Say `ready` once all streams are open, and then everything that came."""
    ready, out = asyncio.Semaphore(0), list[tuple[int, float]]()
    async with asyncio.TaskGroup() as group:
        for _ in range(readers):
            group.create_task(read("127.0.0.1", port, ready, out, last))
        for _ in range(readers):
            await ready.acquire()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
    sys.stdout.writelines(f"{number} {came}\n" for number, came in out)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:4])))
