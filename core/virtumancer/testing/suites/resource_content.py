"""The part of the suite for resources that is about the bytes of items."""

from typing import Any

import pytest

from virtumancer.contracts import ByteSpan, ContentCollection, NullJob
from virtumancer.errors import NotFound, VirtumancerError
from virtumancer.testing.suites.placed import Placed, key_of, needs, pieces

__all__ = ["ResourceContent"]

TEXT = bytes(range(256)) * 600
NOT_THERE = "nobody-has-this-key"


class ResourceContent(Placed):
    """Writes content and reads it back, whole and in parts."""

    async def test_content_comes_back_as_it_was_written(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        key = await self.content(resource, collection, at, spec)
        await collection.write(at, key, ByteSpan(0, len(TEXT)), pieces(TEXT), NullJob())
        assert await collection.size(at, key) == len(TEXT)
        assert await self.read(collection, at, key, ByteSpan(0, len(TEXT))) == TEXT

    async def test_a_part_of_the_content_is_that_part(self, resource: Any, collection: Any, at: Any, spec: Any) -> None:
        key = await self.content(resource, collection, at, spec)
        await collection.write(at, key, ByteSpan(0, len(TEXT)), pieces(TEXT), NullJob())
        for span in (ByteSpan(1000, 70_000), ByteSpan(len(TEXT) - 1, len(TEXT)), ByteSpan(0, 1), ByteSpan(5, 5)):
            read = await self.read(collection, at, key, span)
            assert read == TEXT[span.start : span.stop], f"{span} is not what was written there"

    async def test_content_that_is_written_in_parts_is_put_together(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        key = await self.content(resource, collection, at, spec)
        for start, stop in ((0, 70_000), (70_000, len(TEXT))):
            await collection.write(at, key, ByteSpan(start, stop), pieces(TEXT[start:stop]), NullJob())
        assert await self.read(collection, at, key, ByteSpan(0, await collection.size(at, key))) == TEXT

    async def test_content_that_breaks_off_is_not_taken_for_whole(
        self, resource: Any, collection: Any, at: Any, spec: Any
    ) -> None:
        key = await self.content(resource, collection, at, spec)
        broken = pieces(b"x" * 70_000, breaks=True)
        with pytest.raises(VirtumancerError):
            await collection.write(at, key, ByteSpan(0, 140_000), broken, NullJob())

    async def test_a_reader_may_leave_early(self, resource: Any, collection: Any, at: Any, spec: Any) -> None:
        key = await self.content(resource, collection, at, spec)
        await collection.write(at, key, ByteSpan(0, len(TEXT)), pieces(TEXT), NullJob())
        reading = collection.read(at, key, ByteSpan(0, len(TEXT)))
        await anext(reading)
        if hasattr(reading, "aclose"):
            await reading.aclose()
        assert await self.read(collection, at, key, ByteSpan(0, len(TEXT))) == TEXT

    async def test_what_is_not_there_has_no_content(self, resource: Any, collection: Any, at: Any, spec: Any) -> None:
        needs(resource.content and not resource.singleton, True, "")
        with pytest.raises(NotFound):
            await collection.size(at, NOT_THERE)

    async def content(self, resource: Any, collection: Any, at: Any, spec: Any) -> str:
        """Make an item that has content, and return its key."""
        needs(resource.create if resource.content and resource.upload else None, spec, "spec")
        assert isinstance(collection, ContentCollection)
        return key_of(resource, await collection.create(at, spec, NullJob()))

    async def read(self, collection: Any, at: Any, key: str, span: ByteSpan) -> bytes:
        """Return a part of the content."""
        return b"".join([bytes(piece) async for piece in collection.read(at, key, span)])
