"""A program that imports once what nested programs need, and forks one of them for each request.

A nested program costs what it does, and not what Python and its imports cost. It is a process of its own as any other:
with its arguments, environment, folder, standard streams and end.
"""

import array
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Any

# What the commands, and the libraries below them, import at their first use.
IMPORTED = (
    "pytest",
    "virtumancer.client",
    "virtumancer.plugins",
    "virtumancer.server.runner",
    "virtumancer.services.auth",
    "virtumancer_libvirt",
    "anyio._backends._asyncio",
    "httpcore2",
    "pydantic",
    "truststore",
)
CAPACITY = 1 << 20
STREAMS = 3


def serve(requests: socket.socket) -> dict[str, Any]:
    """Fork for each request until nobody can ask any more; returns in the new program only, with what it was asked."""
    while True:
        message, fds, _, _ = socket.recv_fds(requests, CAPACITY, 1 + STREAMS)
        if not message:
            raise SystemExit(0)
        # Whoever waits for the program is a process too, which the kernel forgets when it has ended.
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer = socket.socket(fileno=fds[0])
            requests.close()
            pid = os.fork()
            if pid == 0:
                answer.close()
                for number, fd in enumerate(fds[1:]):
                    os.dup2(fd, number)
                    os.close(fd)
                asked: dict[str, Any] = json.loads(message)
                return asked
            for fd in fds[1:]:
                os.close(fd)
            answer.send(array.array("i", [pid]).tobytes())
            _, status = os.waitpid(pid, 0)
            answer.send(array.array("i", [os.waitstatus_to_exitcode(status)]).tobytes())
            os._exit(0)
        for fd in fds:
            os.close(fd)


def become(module: str, arguments: list[str], folder: str, environment: dict[str, str], own_session: bool) -> None:
    """Make this process what `python -m MODULE ARGUMENTS` is at its start."""
    if own_session:
        os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    paths = [folder, *(path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path)]
    sys.path[:] = [*paths, *(path for path in sys.path if path not in paths)]
    sys.argv = [module, *arguments]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        mode = "w" if number else "r"
        errors = "backslashreplace" if name == "stderr" else None
        buffering = 1 if name == "stderr" or os.isatty(number) else -1
        stream = os.fdopen(number, mode, buffering, encoding="utf-8", errors=errors, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def main() -> None:
    """Import, serve, and be the program that was asked for."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    del sys.path[0]  # the folder of this file
    commands = importlib.import_module("virtumancer.cli")
    for module in (*IMPORTED, *(found.name for found in pkgutil.walk_packages(commands.__path__, "virtumancer.cli."))):
        with suppress(ModuleNotFoundError):  # an extra that is not installed
            importlib.import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    asked = serve(requests)
    module = asked["module"]
    become(**asked)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
