"""The VMs of a folder: one TOML file each."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

log = logging.getLogger(__name__)


class DiskDefinition(Struct, frozen=True, forbid_unknown_fields=True):
    """A disk image."""

    path: Annotated[str, Meta(min_length=1)]
    format: Literal["qcow2", "raw"] = "qcow2"


class Definition(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a VM is made of; `arguments` are handed to QEMU as they are."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    uuid: UUID
    memory_mib: Annotated[int, Meta(ge=1, le=2**24)] = 256
    vcpus: Annotated[int, Meta(ge=1, le=1024)] = 1
    disks: tuple[DiskDefinition, ...] = ()
    network: bool = False
    vnc: bool = True
    arguments: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The UUID as text."""
        return str(self.uuid)


def read_definitions(folder: Path) -> Mapping[str, Definition]:
    """Return the VMs of a folder by UUID; a file that cannot be read as one is said in the log. Raises `OSError`."""
    found: dict[str, Definition] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix != ".toml":
            continue
        try:
            definition = msgspec.toml.decode(file.read_bytes(), type=Definition)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("%s is no definition of a VM: %s", file, error)
            continue
        if definition.id in found:
            log.warning("%s has the UUID of VM %s, and is left out", file, found[definition.id].name)
            continue
        found[definition.id] = definition
    return found
