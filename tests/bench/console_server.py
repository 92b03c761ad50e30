"""The program with consoles that lead straight to a TCP port: `python -m tests.bench.console_server PORT TARGET…`.

`/api/v1/hosts/bench/vms/vm/direct` connects to TARGET; with `USER_KEY SSH_PORT KNOWN_HOSTS` after it, `…/ssh` does the
same through a channel of one SSH connection.
"""

import asyncio
import os
import sys
import tempfile
from types import ModuleType

from virtumancer import hookimpl
from virtumancer.app import create_app
from virtumancer.config import load_config
from virtumancer.contracts import (
    ByteStream,
    ChannelHead,
    ConnectContext,
    ConnectSettings,
    ConsoleOffer,
    ConsoleSession,
    ConsoleTransport,
    HostConnection,
    HostKeyPolicy,
    VMRef,
    VMState,
)
from virtumancer.plugins import load_plugins
from virtumancer.server.runner import listen, run
from virtumancer.streams import SocketStream
from virtumancer.testing import FakeHypervisor, fake_plugin
from virtumancer_libvirt.ssh.transport import SSHTransport
from virtumancer_libvirt.uri.uri import parse


def transports(target: int, ssh_uri: str) -> list[type[ConsoleTransport]]:
    tunnels: list[SSHTransport] = []
    dialling = asyncio.Lock()

    class Direct(ConsoleTransport):
        kind = suffix = "direct"

        async def open(
            self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
        ) -> ByteStream:
            return await SocketStream.connect(("127.0.0.1", target))

    class ThroughSSH(ConsoleTransport):
        kind = suffix = "ssh"

        async def open(
            self, connection: HostConnection, vm: VMRef, session: ConsoleSession, head: ChannelHead | None = None
        ) -> ByteStream:
            async with dialling:
                if not tunnels:
                    context = ConnectContext(ConnectSettings(), HostKeyPolicy(unknown="accept-new"))
                    tunnels.append(await SSHTransport.open(parse(ssh_uri), context))
            return await tunnels[0].open_stream(("127.0.0.1", target))

    return [Direct, ThroughSSH]


def main() -> None:
    port, target = int(sys.argv[1]), int(sys.argv[2])
    hypervisor = FakeHypervisor("bench")
    vm = hypervisor.define("vm", VMState.RUNNING)
    hypervisor.consoles[vm.uuid] = (ConsoleOffer("direct", True), ConsoleOffer("ssh", True))
    plugin = ModuleType("bench_transports")
    classes = transports(target, sys.argv[3] if len(sys.argv) > 3 else "")
    plugin.virtumancer_console_transports = hookimpl(lambda: classes)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        declared = f'[[hosts]]\nid = "bench"\nuri = "{hypervisor.uri}"\n[consoles]\nmax_per_vm = 1000\n'
        config_file = os.path.join(folder, "virtumancer.toml")  # noqa: PTH118
        with open(config_file, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(declared)
        flags = {
            "server.port": port,
            "database.url": f"sqlite://{folder}/v.db",
            "log.level": "warning",
            "server.auth": "off",
        }
        config = load_config(None, {"VIRTUMANCER_CONFIG": config_file}, flags)
        extra = {"fake": fake_plugin(hypervisor), "bench": plugin}
        application = create_app(config, load_plugins(["libvirt", "vnc", "spice", "serial"], extra))
        run(application, [listen("127.0.0.1", port)], lambda _link: None, with_link=False)


if __name__ == "__main__":
    main()
