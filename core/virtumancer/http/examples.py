"""The objects that the OpenAPI document shows as examples."""

from datetime import UTC, datetime

from msgspec import structs

from virtumancer.contracts import (
    VM,
    ActionOffer,
    DeviceCounters,
    Disk,
    DiskDriver,
    DiskTarget,
    EventPage,
    EventRecord,
    EventType,
    Graphics,
    HardwareInfo,
    HookCalls,
    Host,
    HostDetail,
    HostInfo,
    HostState,
    Network,
    NetworkMAC,
    NetworkModel,
    NetworkTarget,
    OperationInfo,
    OperationState,
    OperationTarget,
    PluginInfo,
    PluginState,
    Sample,
    VMRow,
    VMState,
    VMStats,
)
from virtumancer.contracts.listings import ListedVM, StaleHost, VMPage
from virtumancer.contracts.responses import ConsoleSessionInfo, HostSamples, ResourceTypeInfo

__all__ = [
    "ACTION",
    "EVENT_PAGE",
    "HARDWARE",
    "HOST",
    "HOST_DETAIL",
    "HOST_INFO",
    "NOON",
    "OPERATION",
    "PLUGIN",
    "RESOURCE_TYPE",
    "SAMPLES",
    "SESSION",
    "STOPPED_HOST",
    "VM_LISTED",
    "VM_PAGE",
    "VM_ROW",
    "VM_STATS",
]

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
HOST = Host("kvm1", "qemu+ssh://root@kvm1.example.org/system")
HOST_DETAIL = HostDetail(
    id=HOST.id,
    uri=HOST.uri,
    state=HostState.CONNECTED,
    reason="",
    code="",
    since=NOON,
    retry_at=None,
    driver="libvirt",
    abilities=("consoles", "events", "screenshot"),
    declared=False,
)
STOPPED_HOST = HostDetail(
    id=HOST.id,
    uri=HOST.uri,
    state=HostState.STOPPED,
    reason="disconnected by the user",
    code="",
    since=NOON,
    retry_at=None,
    driver="libvirt",
    abilities=(),
    declared=False,
)
HOST_INFO = HostInfo("kvm1", cpu=16, memory=65_831_216, cores=8, threads=2)
SAMPLES = (HostSamples("temperatures", NOON, (Sample("cpu_temperature", 54.0, "C", {"socket": "0"}),)),)
VM_LISTED = VM(
    id=2,
    name="web01",
    state=VMState.RUNNING,
    max_mem=2_097_152,
    memory=2_097_152,
    vcpu=2,
    cpu_time=5_170_000_000,
    uptime=3600,
    autostart=True,
    graphics=Graphics(vnc=True),
    uuid="5c8f1a3e-2c0b-4d5e-9b57-0f3f7c0c8f11",
    description="the web server",
    vcpu_count=2,
    memory_bytes=2_147_483_648,
    cpu_model="host-passthrough",
    db_id=1,
)
VM_PAGE = VMPage(
    (ListedVM(**structs.asdict(VM_LISTED), host=HOST.id, observed_at=NOON, source="cache", stale=False),),
    next_cursor=None,
    stale_hosts=(StaleHost("kvm2", "host-unavailable", "host 'kvm2' is not connected (lost): the network"),),
)
VM_ROW = VMRow(1, NOON, NOON, None, "web01", HOST.id, '{"id":2,"name":"web01","state":1}')
VM_STATS = VMStats(
    VMState.RUNNING,
    memory=2_097_152,
    max_mem=2_097_152,
    vcpu=2,
    cpu_time=12_830_000_000,
    disk_stats=(DeviceCounters("vda", 1024, 0),),
    net_stats=(DeviceCounters("vnet2", 90, 0),),
)
HARDWARE = HardwareInfo(
    disks=(
        Disk(
            "file",
            "disk",
            DiskDriver("qemu", "qcow2", "qcow2"),
            {"file": "/var/lib/libvirt/images/web01.qcow2"},
            "/var/lib/libvirt/images/web01.qcow2",
            DiskTarget("vda", "virtio"),
        ),
    ),
    networks=(
        Network(
            "bridge",
            NetworkMAC("52:54:00:aa:bb:03"),
            {"bridge": "br0"},
            NetworkModel("virtio", "virtio"),
            NetworkTarget("vnet2"),
        ),
    ),
)
ACTION = ActionOffer(
    name="start",
    title="Start",
    description="Power the VM on.",
    plugin="power",
    permission="power",
    destructive=False,
    params={"type": "object", "properties": {}, "additionalProperties": False},
)
PLUGIN = PluginInfo(
    name="power",
    module="virtumancer_power",
    distribution="virtumancer",
    version="1.0.0",
    state=PluginState.ACTIVE,
    actions=("start", "shutdown", "reboot", "forceoff", "forcereset"),
    calls=(HookCalls("virtumancer_vm_actions", "start", calls=3, failures=0, seconds=0.042),),
)
SESSION = ConsoleSessionInfo(
    "8f14e45fceea167a", HOST.id, VM_LISTED.name, VM_LISTED.uuid, "vnc", "anonymous", False, NOON, 1
)
OPERATION = OperationInfo(
    id="4be0643f1d98573b",
    action="shutdown",
    target=OperationTarget("kvm1", "5f1d7c44-1f4c-4b6f-9d0e-3f1f4f0a2b11", "web01"),
    state=OperationState.RUNNING,
    step="waiting until it is shutoff",
    actor="token deploy (5f2a91c0)",
    request_id="0b1e5a2c9d3f4e6a8b7c6d5e4f3a2b1c",
    cancellable=True,
    created_at=NOON,
    started_at=NOON,
)

RESOURCE_TYPE = ResourceTypeInfo(
    name="leases",
    singular="lease",
    title="DHCP leases",
    plugin="libvirt",
    path="/hosts/{host}/networks/{network}/leases",
    parent="networks",
    key="mac",
    singleton=False,
    rights={"list": "read", "get": "read"},
    columns=("mac", "address"),
    item={"type": "object", "properties": {"mac": {"type": "string"}, "address": {"type": "string"}}},
    create=None,
    plan=None,
    change=None,
    query=None,
    options=None,
    actions=(),
)
EVENT_PAGE = EventPage(
    items=(
        EventRecord(
            id=28512345678,
            at=NOON,
            type=EventType.VM_STARTED,
            host="kvm1",
            vm="4dea22b3-1d52-d8f3-2516-782e98ab3fa0",
            name="vnc01",
        ),
    ),
    next_since=28512345678,
)
