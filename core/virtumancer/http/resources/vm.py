"""`/hosts/{host}/vms/{vm}`: one VM, and as much of it as is asked for."""

from collections.abc import Collection, Iterable
from typing import Annotated, Any, get_args

from falcon.asgi import Request, Response
from msgspec import Meta, structs

from virtumancer.contracts import Metadata
from virtumancer.contracts.responses import VMDetail, VMPart
from virtumancer.errors import InvalidValue, StoreUnavailable
from virtumancer.http import examples
from virtumancer.http.api_paths import HOST_PATH, VM_PATH
from virtumancer.http.endpoint import ASKS_VM, Query, endpoint
from virtumancer.http.middleware.authorization import access_of
from virtumancer.http.requests import flag_of, send_json
from virtumancer.http.resources.consoles import console_of
from virtumancer.services.actions.offers import ActionOffers
from virtumancer.services.auth import Permissions, Right
from virtumancer.services.consoles.service import ConsolesService
from virtumancer.services.hosts.vm_lookup import SeenUUID
from virtumancer.services.vms.list_item import listed
from virtumancer.services.vms.listing import VMListingService
from virtumancer.services.vms.service import VMsService

__all__ = ["VMResource"]

PARTS: tuple[VMPart, ...] = get_args(VMPart)
_ONE_PART = f"({'|'.join(PARTS)})"
Parts = Annotated[str, Meta(pattern=f"^{_ONE_PART}(,{_ONE_PART})*$")]


class VMResource:
    """One VM."""

    def __init__(
        self,
        all_vms: VMListingService,
        vms: VMsService,
        offers: ActionOffers,
        consoles: ConsolesService,
        linked: Collection[str],
    ) -> None:
        self._all_vms = all_vms
        self._offers = offers
        self._vms = vms
        self._consoles = consoles
        self._linked = sorted(linked)

    @endpoint(
        "getVm",
        "vms",
        path=VM_PATH,
        right=Right.READ,
        answer=VMDetail,
        query=(
            Query("include", Parts, f"What else to answer with, with commas between: {', '.join(PARTS)}."),
            Query("fresh", bool, "Look at the host now, also when it has told of no change."),
        ),
        cached=True,
        errors=(*ASKS_VM, InvalidValue, StoreUnavailable),
        example=VMDetail(
            **structs.asdict(examples.VM_PAGE.items[0]),
            metadata=Metadata(),
            links={
                "self": VM_PATH.of(host="kvm1", vm=examples.VM_LISTED.uuid),
                "stats": (VM_PATH / "stats").of(host="kvm1", vm=examples.VM_LISTED.uuid),
            },
        ),
        offline=True,
    )
    async def on_get(self, req: Request, resp: Response, host: str, vm: str) -> None:
        """Describe a VM: its entry in the list over all hosts, its metadata, and links to the rest.

        It is as last seen; its host is looked at when it may be another one since. When that is not possible it is
        `stale`, and says when it was seen. What `include` names is asked of the host now.
        """
        parts = _parts(req)
        found = await self.describe(host, vm, fresh=flag_of(req, "fresh"))
        uuid = SeenUUID(found.uuid)
        more = {part: await self._part(part, access_of(req), host, uuid) for part in parts}
        send_json(resp, structs.replace(found, **more))

    async def describe(self, host: str, vm: str, *, fresh: bool) -> VMDetail:
        """Describe a VM as it is answered. Raises `HostNotFound`, `VMNotFound`."""
        entry = await self._all_vms.one(host, vm, fresh=fresh)
        links = _links(host, SeenUUID(entry.vm.uuid), self._linked)
        return VMDetail(**structs.asdict(listed(entry)), metadata=entry.metadata, links=links)

    async def _part(self, part: VMPart, access: Permissions, host: str, uuid: SeenUUID) -> Any:
        match part:
            case "actions":
                return await self._offers.of(host, uuid, lambda right, vm: access.on_vm(right, host, vm))
            case "consoles":
                offers = await self._consoles.offers(host, uuid)
                return tuple(console_of(offer, host, uuid) for offer in offers)
            case "hardware":
                return await self._vms.hardware(host, uuid)
            case "stats":
                return await self._vms.stats(host, uuid)


def _parts(req: Request) -> list[VMPart]:
    """Read what is to be included."""
    said = {word.strip() for words in req.get_param_as_list("include") or () for word in words.split(",")}
    if unknown := said.difference(PARTS):
        raise InvalidValue(f"{min(unknown)[:80]!r} is none of: {', '.join(PARTS)}", field="include")
    return [part for part in PARTS if part in said]


def _links(host: str, uuid: str, linked: Iterable[str]) -> dict[str, str]:
    place = VM_PATH.of(host=host, vm=uuid)
    return {"self": place, "host": HOST_PATH.of(host=host), **{name: f"{place}/{name}" for name in linked}}
