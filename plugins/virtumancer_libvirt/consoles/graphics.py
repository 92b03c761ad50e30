"""The consoles of a VM as its live XML tells them: where its displays listen, and whether it has a serial port."""

from collections.abc import Mapping

from msgspec import Struct

from virtumancer_libvirt.binding.domain_xml import Element, attribute, parse_xml

__all__ = ["ConsoleDevices", "Display", "parse_consoles", "password_in"]

DISPLAY_KINDS = ("vnc", "spice")


class Display(Struct, frozen=True):
    """One display: a unix socket, or an address with ports, 0 where there is none; without both it listens nowhere.

    `index` is its number among all displays of the VM. `secure` says that some of its channels insist on TLS.
    """

    kind: str
    index: int
    socket: str = ""
    address: str = ""
    port: int = 0
    tls_port: int = 0
    secure: bool = False
    password_ends: str = ""

    @property
    def listens(self) -> bool:
        """Whether anybody can connect to it by a socket or a port."""
        return bool(self.socket or self.port or self.tls_port)

    @property
    def needs_tls(self) -> bool:
        """Whether its TLS port has to be taken."""
        return bool(self.tls_port) and (self.secure or not self.port)


class ConsoleDevices(Struct, frozen=True):
    """All consoles of one VM. `run` tells its runs apart, None when it is not active.

    `serial` is the type of what the first serial console is connected to, empty when there is none.
    """

    name: str
    run: int | None
    displays: Mapping[str, Display]
    serial: str


def parse_consoles(document: str) -> ConsoleDevices:
    """Read the consoles out of a domain's XML; of two displays of a kind the first counts."""
    domain = parse_xml(document)
    run = attribute(domain, "id")
    displays: dict[str, Display] = {}
    for index, graphics in enumerate(domain.iterfind("devices/graphics")):
        kind = attribute(graphics, "type")
        if kind in DISPLAY_KINDS:
            displays.setdefault(kind, _display(graphics, kind, index))
    # libvirt opens the first console, or the first serial port of a VM without one.
    serial = domain.find("devices/console")
    serial = domain.find("devices/serial") if serial is None else serial
    return ConsoleDevices(
        name=domain.findtext("name") or "",
        run=int(run) if run.isdigit() else None,
        displays=displays,
        serial=attribute(serial, "type"),
    )


def password_in(document: str, kind: str) -> str | None:
    """Return the password of the first display of a kind; only XML that was asked for with its secrets has it."""
    graphics = parse_xml(document).find(f"devices/graphics[@type='{kind}']")
    return None if graphics is None else graphics.get("passwd")


def _display(graphics: Element, kind: str, index: int) -> Display:
    listen = graphics.find("listen")
    listen_type = attribute(listen, "type")
    socket = attribute(listen, "socket") if listen_type == "socket" else attribute(graphics, "socket")
    by_address = listen_type not in {"socket", "none"} and not socket
    return Display(
        kind=kind,
        index=index,
        socket=socket,
        address=(attribute(listen, "address") or attribute(graphics, "listen")) if by_address else "",
        port=_port(graphics, "port") if by_address else 0,
        tls_port=_port(graphics, "tlsPort") if by_address else 0,
        secure=_insists_on_tls(graphics),
        password_ends=attribute(graphics, "passwdValidTo"),
    )


def _port(graphics: Element, name: str) -> int:
    digits = attribute(graphics, name)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else 0


def _insists_on_tls(graphics: Element) -> bool:
    modes = [attribute(graphics, "defaultMode"), *(attribute(channel, "mode") for channel in graphics.iter("channel"))]
    return "secure" in modes
