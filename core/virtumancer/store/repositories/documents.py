"""What the columns of stored VMs hold: JSON documents and times."""

import logging
from datetime import datetime

from msgspec import DecodeError
from msgspec.json import Decoder, Encoder
from msgspec.structs import replace

from virtumancer.contracts import VM, VMState

__all__ = ["VMDocuments", "as_datetime"]


def as_datetime(value: str | datetime) -> datetime:
    """Read a time column: SQLite stores the text of a UTC time, PostgreSQL has the type."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


class VMDocuments:
    """Encodes VMs for storage and reads them back."""

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._decoder = Decoder(VM)

    def encoded(self, vm: VM, db_id: int) -> str:
        """Return the JSON of a VM that knows its row."""
        return self._encoder.encode(replace(vm, db_id=db_id)).decode()

    def decoded(self, document: str, *, db_id: int, uuid: str, name: str) -> VM:
        """Read a stored VM.

        A document that another version wrote and this one cannot read becomes a VM that is equal to none on any
        host: the next sync writes it anew, or deletes its row.
        """
        try:
            return self._decoder.decode(document)
        except DecodeError as error:
            log = logging.getLogger(__name__)
            log.warning("The stored document of VM %s (%s) cannot be read: %s", name, uuid, error)
            return _unreadable(db_id, uuid, name)


def _unreadable(db_id: int, uuid: str, name: str) -> VM:
    return VM(
        id=0,
        name=name,
        state=VMState.NOSTATE,
        max_mem=0,
        memory=0,
        vcpu=0,
        cpu_time=0,
        uuid=uuid,
        vcpu_count=0,
        memory_bytes=0,
        db_id=db_id,
    )
