"""The objects of the HTTP API, from the Structs that are the wire format."""

from datetime import datetime
from enum import Enum, IntEnum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from virtumancer import contracts
from virtumancer.config.sources.values import unwrap
from virtumancer.contracts.access import Grant, Me, NewToken, TokenInfo, UserInfo, WebSessionInfo
from virtumancer.contracts.audit import AuditPage, AuditRecord, RecordKind
from virtumancer.contracts.listings import ListedVM, StaleHost, VMPage
from virtumancer.contracts.responses import (
    ActionResult,
    ConsoleSessionInfo,
    ConsoleTicket,
    HostSamples,
    VMConsole,
    VMDetail,
)
from virtumancer.http.resources.bulk_actions import BulkRequest
from virtumancer.http.resources.consoles import ConsoleRequest
from virtumancer.http.resources.health import Ready
from virtumancer.http.resources.host_keys import KeyApproval, NewHostScan, Rotation
from virtumancer.http.resources.hosts import Approval, HostChange, NewHost
from virtumancer.http.resources.metadata import MetadataChange, MetadataRequest
from virtumancer.http.resources.sign_in import Credentials, Session
from virtumancer.http.resources.tokens import TokenChange, TokenRequest
from virtumancer.http.resources.users import PasswordChange, UserChange, UserRequest
from virtumancer.services.auth import NewLink
from virtumancer.services.readiness import Part
from virtumancer.services.vms.selector import Selector
from virtumancer_reference.markdown import docstring, table
from virtumancer_reference.notes import notes_of

__all__ = ["OBJECTS", "objects"]

OBJECTS: tuple[type[Struct], ...] = (
    contracts.Host,
    NewHost,
    HostChange,
    Approval,
    contracts.Metadata,
    MetadataRequest,
    MetadataChange,
    contracts.HostInfo,
    contracts.HostDetail,
    contracts.VM,
    contracts.Graphics,
    VMPage,
    ListedVM,
    VMDetail,
    StaleHost,
    contracts.VMRow,
    contracts.VMStats,
    contracts.DeviceCounters,
    contracts.HardwareInfo,
    contracts.Disk,
    contracts.DiskDriver,
    contracts.DiskTarget,
    contracts.Network,
    contracts.NetworkMAC,
    contracts.NetworkModel,
    contracts.NetworkTarget,
    VMConsole,
    ConsoleRequest,
    ConsoleTicket,
    ConsoleSessionInfo,
    HostSamples,
    contracts.Sample,
    contracts.ActionOffer,
    ActionResult,
    BulkRequest,
    Selector,
    contracts.OperationInfo,
    contracts.OperationTarget,
    contracts.OperationProgress,
    contracts.OperationOutcome,
    contracts.OperationError,
    contracts.EventPage,
    contracts.EventRecord,
    contracts.PluginInfo,
    contracts.HookCalls,
    Ready,
    Part,
    contracts.HostKey,
    contracts.ShownHostKey,
    KeyApproval,
    NewHostScan,
    Rotation,
    Me,
    Grant,
    TokenInfo,
    TokenRequest,
    NewToken,
    Credentials,
    Session,
    NewLink,
    AuditPage,
    AuditRecord,
    PasswordChange,
    UserRequest,
    UserChange,
    UserInfo,
    WebSessionInfo,
    TokenChange,
)
_BODIES = (
    NewHost,
    HostChange,
    Approval,
    KeyApproval,
    NewHostScan,
    Rotation,
    MetadataRequest,
    MetadataChange,
    ConsoleRequest,
    BulkRequest,
    Selector,
    Grant,
    TokenRequest,
    TokenChange,
    Credentials,
    PasswordChange,
    UserRequest,
    UserChange,
)
"""What clients send; in all other objects a key is always there, unless it can be unset."""
_ENUMS: tuple[type[Enum], ...] = (
    contracts.VMState,
    contracts.HostState,
    contracts.HostKeyTrust,
    contracts.OperationState,
    contracts.PluginState,
    RecordKind,
    contracts.EventType,
)
_JSON = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}


def objects() -> str:
    """Write a section for each object, and the values of the enumerations."""
    return "\n\n".join([*map(_object, OBJECTS), *map(_enum, _ENUMS)])


def _object(struct: type[Struct]) -> str:
    notes = notes_of(struct)
    fields = msgspec.structs.fields(struct)
    rows = [(f"`{f.encode_name}`", _type(f.type), notes.get(f.name, "")) for f in fields]
    optional = {
        f"`{f.encode_name}`" for f in fields if f.default is msgspec.UNSET or (struct in _BODIES and not f.required)
    }
    rows = [(key, kind, f"Optional. {note}".strip() if key in optional else note) for key, kind, note in rows]
    columns = 3 if any(note for _, _, note in rows) else 2
    shown = table(("Key", "Type", "Note")[:columns], [row[:columns] for row in rows])
    return f"### {struct.__name__}\n\n{docstring(struct)}\n\n{shown}"


def _enum(kind: type[Enum]) -> str:
    notes = notes_of(kind)
    if issubclass(kind, IntEnum):
        shown = table(("Value", "State"), [(f"`{member.value}`", _words(member)) for member in kind])
    else:
        shown = table(("Value", "Note"), [(f"`{member.value}`", notes.get(member.name, "")) for member in kind])
    return f"### {kind.__name__}\n\n{docstring(kind)}\n\n{shown}"


def _words(member: Enum) -> str:
    return member.name.lower().replace("_", " ")


def _type(annotation: Any) -> str:
    """Say what JSON has for a type; names of other objects are links."""
    kind, _ = unwrap(annotation)
    if get_origin(kind) is not None:
        return _composed(get_origin(kind), get_args(kind))
    if kind is datetime:
        return "string (RFC 3339, UTC)"
    if kind is Any:
        return "any value"
    return _JSON.get(kind) or f"[{kind.__name__}](#{kind.__name__.lower()})"


def _composed(origin: Any, arguments: tuple[Any, ...]) -> str:
    if origin in (Union, UnionType):
        return " or ".join(_type(argument) for argument in arguments if argument is not msgspec.UnsetType)
    if origin is Literal:
        return " or ".join(f'`"{argument}"`' for argument in arguments)
    if origin is tuple:
        return f"array of {_type(arguments[0])}"
    return f"object of {_type(arguments[1])}"
