"""What can be asked of each list that is an array: its fields, and the key that its pages go by."""

from functools import cache
from operator import attrgetter

from msgspec import Struct

from virtumancer.contracts import Host, OperationInfo, PluginInfo, VMRow
from virtumancer.contracts.access import TokenInfo, UserInfo
from virtumancer.contracts.responses import ConsoleSessionInfo
from virtumancer.query.fields import fields_of
from virtumancer.query.query import ListSchema
from virtumancer.query.sort import SortKey
from virtumancer.services.hosts.service import HostEntry
from virtumancer.services.vms.list_item import said_fields

__all__ = [
    "consoles_shape",
    "hosts_shape",
    "operations_shape",
    "plugins_shape",
    "rows_shape",
    "tokens_shape",
    "users_shape",
]


@cache
def hosts_shape() -> ListSchema:
    """Return that of the hosts, which go by the order in which they were added."""
    number = fields_of(HostEntry)["number"]
    return ListSchema(fields_of(Host, "host") | said_fields("metadata"), [SortKey(number)], show=attrgetter("host"))


@cache
def rows_shape() -> ListSchema:
    """Return that of the stored VMs of a host."""
    return _shape(VMRow, "ID")


@cache
def plugins_shape() -> ListSchema:
    """Return that of the plugins."""
    return _shape(PluginInfo, "name")


@cache
def tokens_shape() -> ListSchema:
    """Return that of the tokens, oldest first."""
    return _shape(TokenInfo, "created_at", "id")


@cache
def users_shape() -> ListSchema:
    """Return that of the users."""
    return _shape(UserInfo, "name")


@cache
def consoles_shape() -> ListSchema:
    """Return that of the console sessions."""
    return _shape(ConsoleSessionInfo, "id")


@cache
def operations_shape() -> ListSchema:
    """Return that of the operations, newest first."""
    fields = fields_of(OperationInfo)
    newest_first = [SortKey(fields[name], descending=True) for name in ("created_at", "id")]
    return ListSchema(fields, newest_first)


def _shape(kind: type[Struct], *key: str) -> ListSchema:
    fields = fields_of(kind)
    return ListSchema(fields, [SortKey(fields[name]) for name in key])
