"""Reading libvirt's XML safely: one parser for all of it, no entities, no document types, no giants."""

from typing import TypeAlias

from lxml import etree

from virtumancer.errors import HypervisorError

__all__ = ["Element", "attribute", "parse_xml", "text"]

Element: TypeAlias = etree._Element  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] -- it has no other name

_MAX_BYTES = 8 * 1024 * 1024
"""Real definitions are a few KiB; one with thousands of devices stays below 2 MiB."""


def parse_xml(document: str) -> Element:
    """Parse a document that libvirt gave us; the host it comes from may be hostile."""
    data = document.encode("utf-8", "surrogatepass")
    if len(data) > _MAX_BYTES:
        raise HypervisorError(f"The host sent an XML document of {len(data)} bytes, more than we read.")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise HypervisorError(f"The host sent XML that cannot be read: {error}.") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise HypervisorError("The host sent XML with a document type, which libvirt never does; it is not read.")
    return root


def attribute(element: Element | None, name: str) -> str:
    """Return an attribute, empty when it or the element is absent."""
    return "" if element is None else str(element.get(name, ""))


def text(parent: Element, path: str) -> str:
    """Return the text below a path, empty when absent."""
    return (parent.findtext(path) or "").strip()
