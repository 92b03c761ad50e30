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


def read_definitions(folder: Path, told: set[str] | None = None) -> Mapping[str, Definition]:
    """Return the VMs of a folder by UUID; paths of disks are those below it. Raises `OSError`.

    What is wrong with a file is said in the log, once for each text in `told`.
    """
    found: dict[str, Definition] = {}
    told = set() if told is None else told
    for file in sorted(folder.iterdir()):
        if file.suffix != ".toml":
            continue
        try:
            definition = msgspec.toml.decode(file.read_bytes(), type=Definition)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            _tell(told, f"{file} is no definition of a VM: {error}")
            continue
        if any(definition.id == other.id or definition.name == other.name for other in found.values()):
            _tell(told, f"{file} has the name or the UUID of another VM, and is left out")
            continue
        disks = tuple(msgspec.structs.replace(disk, path=str(folder / disk.path)) for disk in definition.disks)
        found[definition.id] = msgspec.structs.replace(definition, disks=disks)
    return found


def _tell(told: set[str], text: str) -> None:
    if text not in told:
        told.add(text)
        log.warning("%s", text)
