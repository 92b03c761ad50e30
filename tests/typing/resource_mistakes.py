"""Uses of a typed resource with mistakes; a type checker finds one on each line that says so, and no other."""

from msgspec import Struct

from virtumancer.client import AsyncClient, Client
from virtumancer.contracts import VMS, Collection, ResourceType, Rights


class Snapshot(Struct, frozen=True):
    """What there is."""

    name: str


class NewSnapshot(Struct, frozen=True):
    """What makes one."""

    name: str


class Snapshots(Collection[Snapshot]):
    """Who serves them."""

    ability = "snapshots"


SNAPSHOTS = ResourceType(
    name="snapshots",
    singular="snapshot",
    title="Snapshots",
    parent=VMS,
    item=Snapshot,
    served_by=Snapshots,
    create=NewSnapshot,
    rights=Rights(write="hardware"),
)


async def use(client: AsyncClient) -> str:
    """Use them."""
    items = client.of(SNAPSHOTS, "kvm1", "web01")
    await items.create(NewSnapshot("one"))
    await items.create({"name": "one"})  # wrong
    await items.create(NewSnapshot(nam="one"))  # wrong
    await client.of("snapshots", "kvm1", "web01").create({"name": "one"})
    return (await items.get("one")).nam  # wrong


def wait(client: Client) -> int:
    """Use them without an event loop."""
    items = client.of(SNAPSHOTS, "kvm1", "web01")
    items.create({"name": "one"})  # wrong
    return items.get("one").name  # wrong
