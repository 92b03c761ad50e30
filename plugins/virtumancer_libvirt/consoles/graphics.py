"""The consoles of a VM as its live XML tells them: where its displays listen, and whether it has a serial port."""

from collections.abc import Mapping

from msgspec import Struct

from virtumancer_libvirt.binding.domain_xml import Element, attribute, parse_xml

__all__ = ["ConsoleDevices", "Display", "SerialPort", "parse_consoles", "password_in"]

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


class SerialPort(Struct, frozen=True):
    """A serial console: its alias, and the type of what it is connected to."""

    alias: str
    type: str


class ConsoleDevices(Struct, frozen=True):
    """All consoles of one VM. `run` tells its runs apart, None when it is not active.

    The first of `ports` is the one that libvirt opens unless another one is named.
    """

    name: str
    run: int | None
    displays: Mapping[str, Display]
    ports: tuple[SerialPort, ...] = ()

    @property
    def openable(self) -> tuple[SerialPort, ...]:
        """Those that libvirt can open."""
        return tuple(port for port in self.ports if port.type == "pty")

    @property
    def serial(self) -> str:
        """The type of the one to open, of the first where none can be; empty when there is none."""
        return next((port.type for port in (*self.openable, *self.ports)), "")


def parse_consoles(document: str) -> ConsoleDevices:
    """Read the consoles out of a domain's XML; of two displays of a kind the first counts."""
    domain = parse_xml(document)
    run = attribute(domain, "id")
    displays: dict[str, Display] = {}
    for index, graphics in enumerate(domain.iterfind("devices/graphics")):
        kind = attribute(graphics, "type")
        if kind in DISPLAY_KINDS:
            displays.setdefault(kind, _display(graphics, kind, index))
    return ConsoleDevices(
        name=domain.findtext("name") or "",
        run=int(run) if run.isdigit() else None,
        displays=displays,
        ports=_ports(domain),
    )


def _ports(domain: Element) -> tuple[SerialPort, ...]:
    """Read the serial consoles; the first console stands for the first port, and may do so twice."""
    ports: dict[str, SerialPort] = {}
    for kind in ("console", "serial"):
        for number, port in enumerate(domain.iterfind(f"devices/{kind}")):
            stands_for_port = kind == "console" and attribute(port.find("target"), "type") in {"", "serial"}
            alias = attribute(port.find("alias"), "name") or f"{'serial' if stands_for_port else kind}{number}"
            ports.setdefault(alias, SerialPort(alias, attribute(port, "type")))
    return tuple(ports.values())


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
