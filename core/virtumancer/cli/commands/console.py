"""`virtumancer console`: a VM's serial console in this terminal, or its VNC console at a port of this machine."""

from typing import Annotated

from cyclopts import Parameter

from virtumancer.cli.server_discovery import HERE, Server, connected
from virtumancer.cli.vm_lookup import find_vm
from virtumancer.contracts.responses import OnBusy
from virtumancer.errors import UsageError

__all__ = ["console"]


async def console(
    vm: Annotated[str, Parameter(help="NAME, HOST/NAME or UUID.")],
    /,
    *,
    host: Annotated[
        tuple[str, ...], Parameter(name="--host", help="Only on this host; several times for several.", negative=())
    ] = (),
    vnc: Annotated[bool, Parameter(help="Offer the VNC console at a port of this machine.", negative=())] = False,
    port: Annotated[int, Parameter(help="Which port, with --vnc; 0 for any that is free.")] = 0,
    once: Annotated[bool, Parameter(help="With --vnc, end when the first viewer has left.", negative=())] = False,
    view_only: Annotated[bool, Parameter(help="Look, and touch nothing.", negative=())] = False,
    take_over: Annotated[bool, Parameter(help="Send away who has the console.", negative=())] = False,
    server: Server = HERE,
) -> None:
    """Open the serial console of a VM in this terminal; Ctrl-] ends it.

    With --vnc, print the URL of a port of this machine for a VNC viewer, and serve it until Ctrl-C. It asks for no
    password: while it is open, every user of this machine can use it.
    """
    from virtumancer.cli.terminal import attach  # noqa: PLC0415 - `--help` should not wait for it
    from virtumancer.cli.vnc_port import serve_vnc  # noqa: PLC0415

    if not vnc and (port or once):
        raise UsageError("--port and --once belong to --vnc")
    on_busy: OnBusy = "takeover" if take_over else "share"
    async with connected(server) as client:
        target = await find_vm(client, vm, host)
        if vnc:
            await serve_vnc(client, target, port, once=once, on_busy=on_busy, view_only=view_only)
        else:
            stream = await client.consoles.open(
                target.host, target.uuid, "serial", on_busy=on_busy, view_only=view_only
            )
            await attach(stream, str(target))
