"""The bare framework's own hello-world, on the server that this program runs on: `python -m tests.bench.hello PORT`."""

import sys
from typing import Any

import falcon.asgi
import uvicorn
from falcon.asgi import Request, Response


class Hello:
    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = {"hello": "world"}


def main() -> None:
    app: falcon.asgi.App[Any, Any] = falcon.asgi.App()
    app.add_route("/", Hello())
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False, server_header=False)


if __name__ == "__main__":
    main()
