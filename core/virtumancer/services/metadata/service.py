"""Metadata: what people wrote down about hosts and VMs, in memory for whoever lists or filters them."""

import hashlib
import re
from collections.abc import Collection
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, structs

from virtumancer.contracts import Metadata, MetadataChanged
from virtumancer.errors import InvalidValue, PreconditionFailed
from virtumancer.services.auth import Principal, PrincipalDirectory, check_tags
from virtumancer.services.runtime.bus import EventBus
from virtumancer.store import MetadataRepository, StoredMetadata

__all__ = ["MAX_NOTES", "MAX_TAGS", "MAX_TITLE", "NOTES", "TITLE", "MetadataService", "MetadataWish", "version_of"]

MAX_TITLE = 200
MAX_NOTES = 4096
MAX_TAGS = 32
TITLE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*"
"""One line."""
NOTES = r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*"
"""Lines and tabulators."""
NOTHING = Metadata()


class MetadataWish(Struct, frozen=True):
    """What metadata should be; what is None stays."""

    title: str | None = None
    notes: str | None = None
    tags: Collection[str] | None = None


def version_of(metadata: Metadata) -> str:
    """Return what tells these metadata from any others."""
    return hashlib.sha256(msgspec.json.encode(metadata)).hexdigest()[:32]


class MetadataService:
    """Keeps metadata by host id and UUID, whatever the host says, and tells when they change."""

    def __init__(self, store: MetadataRepository, callers: PrincipalDirectory, bus: EventBus) -> None:
        self._store = store
        self._callers = callers
        self._bus = bus
        self._known: dict[tuple[str, str], StoredMetadata] = {}
        self._loaded = 0
        self.revision = 0
        """Another number whenever any metadata are others, in this process alone."""

    def of_host(self, host_id: str) -> Metadata:
        """Return the metadata of a host; empty ones when nobody wrote any."""
        return self._of(host_id, "")

    def of_vm(self, host_id: str, uuid: str) -> Metadata:
        """Return the metadata of a VM, whether or not it is there now."""
        return self._of(host_id, uuid)

    async def change(
        self, host_id: str, uuid: str, wish: MetadataWish, by: Principal, known: Collection[str] | None = None
    ) -> Metadata:
        """Change the metadata of a VM, or of a host without `uuid`; returns what they are now.

        `known` are the versions that the caller knows; any will do when it is None. Raises `InvalidValue`,
        `PreconditionFailed`, and `Forbidden` for tags that the caller may not change.
        """
        _check(wish)

        def changed(before: Metadata) -> Metadata:
            if known is not None and version_of(before) not in known:
                raise PreconditionFailed("this was changed since you read it; read it again")
            wanted = _merged(before, wish)
            if wanted == before:
                return before
            if tags := set(before.tags) ^ set(wanted.tags):
                self._callers.require_tagging(by, host_id, uuid, tags)
            return structs.replace(wanted, changed_at=datetime.now(UTC), changed_by=by.actor)

        stored, is_new = await self._store.change(host_id, uuid, changed)
        self._note(stored)
        if is_new:
            self._bus.publish(MetadataChanged(host_id, uuid))
        return stored.metadata

    async def load(self) -> None:
        """Bring the memory in step with the store, which other processes may have changed; those tell of it."""
        for stored in await self._store.changes(self._loaded):
            self._note(stored)
            self._loaded = stored.revision

    def _of(self, host_id: str, uuid: str) -> Metadata:
        stored = self._known.get((host_id, uuid))
        return stored.metadata if stored else NOTHING

    def _note(self, stored: StoredMetadata) -> None:
        """Take note of what is stored, unless something newer, or the same, is known."""
        place = (stored.host_id, stored.vm_uuid)
        before = self._known.get(place)
        if stored.revision > (before.revision if before else 0):
            self._known[place] = stored
            self.revision += 1
            self._callers.set_tags(*place, frozenset(stored.metadata.tags))


def _check(wish: MetadataWish) -> None:
    for field, text, form, longest in (
        ("title", wish.title, TITLE, MAX_TITLE),
        ("notes", wish.notes, NOTES, MAX_NOTES),
    ):
        if text is not None and (len(text) > longest or not re.fullmatch(form, text)):
            raise InvalidValue(f"it has {longest} characters at most, and no control characters", field=field)
    tags = wish.tags or ()
    check_tags(tags, "tags")
    if len(set(tags)) > MAX_TAGS:
        raise InvalidValue(f"there can be {MAX_TAGS} tags", field="tags")


def _merged(before: Metadata, wish: MetadataWish) -> Metadata:
    return structs.replace(
        before,
        title=before.title if wish.title is None else wish.title,
        notes=before.notes if wish.notes is None else wish.notes,
        tags=before.tags if wish.tags is None else tuple(sorted(set(wish.tags))),
    )
