"""A TCP server that sends as fast as it can, or echoes: `python -m tests.bench.tcp_source PORT`.

The first byte of a connection says which: `B` sends 256 MB and closes, anything else is echoed with what follows.
"""

import asyncio
import sys

CHUNK = b"\x5a" * 262144
TOTAL = 256 * 1024 * 1024


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        first = await reader.read(65536)
        if first[:1] == b"B":
            for _ in range(TOTAL // len(CHUNK)):
                writer.write(CHUNK)
                await writer.drain()
        else:
            while first:
                writer.write(first)
                await writer.drain()
                first = await reader.read(65536)
    except ConnectionError:
        pass  # whoever was served has left
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
