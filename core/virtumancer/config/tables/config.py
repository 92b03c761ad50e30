"""The tables of the configuration file, each key with its type, limits, default and description."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from virtumancer.config.places import default_database_url
from virtumancer.config.tables.connections import ConnectionsConfig
from virtumancer.config.tables.sign_in import AccessConfig, OIDCConfig
from virtumancer.config.tables.units import Seconds
from virtumancer.contracts import UnknownHostKeys

__all__ = [
    "AccessConfig",
    "AuditConfig",
    "Config",
    "ConsolesConfig",
    "DatabaseConfig",
    "DeclaredHost",
    "EventsConfig",
    "IdempotencyConfig",
    "LogConfig",
    "OIDCConfig",
    "OperationsConfig",
    "PluginsConfig",
    "SSHConfig",
    "ServerConfig",
    "SessionsConfig",
]

Origin = Annotated[
    str, Meta(pattern=r"^https?://[^/\s]+\Z", extra={"rule": 'an origin such as "https://vms.example.org"'})
]
HostId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{1,63}\Z", extra={"rule": "1 to 63 characters of A-Z a-z 0-9 . _ -"})
]
HostURI = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z][A-Za-z0-9+.-]*://\S*\Z",
        extra={"rule": 'a URI such as "qemu+ssh://root@kvm1.example.org/system"'},
    ),
]
Fingerprint = Annotated[
    str,
    Meta(
        pattern=r"^SHA256:[A-Za-z0-9+/]{43}\Z",
        extra={"rule": 'a fingerprint as "ssh-keygen -l" prints it: SHA256: and 43 characters'},
    ),
]


class ServerConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the API listens, and whom it answers."""

    bind: Annotated[
        str,
        Meta(
            min_length=1,
            description="Address to listen on; a loopback one, unless callers are asked who they are and there is TLS.",
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port to listen on.")] = 8890
    auth: Annotated[
        Literal["off", "token"],
        Meta(
            description="How callers prove who they are: `token` asks for an API token or a signed-in browser, `off` "
            "trusts everybody on this machine."
        ),
    ] = "token"
    admin_token_file: Annotated[
        str,
        Meta(
            description="File that holds the administrator's token of this machine, made at a start when it is not "
            "there, which makes the one before invalid; by default beside the database.",
            extra={"default": "the name of the SQLite file, with .admin-token in place of .db"},
        ),
    ] = ""
    credentials_key: Annotated[
        str,
        Meta(
            description="Where the key is with which the credentials of hosts are encrypted in the database: "
            "`env:NAME` or `file:PATH`; empty for a file that is made when it is first needed, beside the database.",
            extra={"default": "the name of the SQLite file, with .credentials-key in place of .db"},
        ),
    ] = ""
    tls_cert: Annotated[str | None, Meta(description="PEM file with the certificate chain; needs `tls_key`.")] = None
    tls_key: Annotated[str | None, Meta(description="PEM file with the private key; needs `tls_cert`.")] = None
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(description="Names beside the bound address that a request's `Host` header may hold, without port."),
    ] = ()
    behind_proxy: Annotated[
        bool,
        Meta(description="Whether nobody but a reverse proxy with TLS reaches the bound address."),
    ] = False
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or networks of the reverse proxies whose `X-Forwarded-For` and "
            "`X-Forwarded-Proto` count; those of others are ignored."
        ),
    ] = ()
    allowed_origins: Annotated[
        tuple[Origin, ...], Meta(description="Origins of other web pages that may use the API from a browser.")
    ] = ()
    shutdown_timeout: Annotated[
        Seconds, Meta(description="How long open requests may take to finish when the server stops.")
    ] = 5.0
    max_body: Annotated[
        int, Meta(ge=1024, le=2**30, description="Largest request body accepted.", extra={"unit": "bytes"})
    ] = 1048576


class DatabaseConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where hosts, VMs and host keys are kept."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^(sqlite|asyncpg|postgres|postgresql)://.+",
            description="Database to use; by default an SQLite file in the user's state folder.",
            extra={
                "rule": '"sqlite:///path/to/file.db" or "postgresql://user@host/database"',
                "default": "sqlite://$XDG_STATE_HOME/virtumancer/virtumancer.db",
            },
        ),
    ] = field(default_factory=default_database_url)


class SSHConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How SSH connections to hosts are made and checked."""

    unknown_host_keys: Annotated[
        UnknownHostKeys,
        Meta(
            description="`refuse` asks for approval of a host key that nobody vouches for, "
            "`accept-new` pins it when first seen; a changed key is always refused."
        ),
    ] = "refuse"
    config: Annotated[
        str, Meta(description="OpenSSH client configuration to follow (users, jump hosts, keys); empty for none.")
    ] = "~/.ssh/config"
    known_hosts: Annotated[
        tuple[str, ...], Meta(description="Files with trusted host keys; missing ones are skipped.")
    ] = (
        "~/.ssh/known_hosts",
        "/etc/ssh/ssh_known_hosts",
    )
    agent: Annotated[bool, Meta(description="Whether keys of the SSH agent may be used.")] = True
    keepalive_interval: Annotated[Seconds, Meta(description="Time between two keepalive messages.")] = 15.0
    keepalive_count: Annotated[
        int, Meta(ge=1, le=100, description="Unanswered keepalive messages after which a host counts as lost.")
    ] = 3


class SessionsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How connections to hosts are kept up, and how long their calls may take."""

    connect_timeout: Annotated[Seconds, Meta(description="Deadline for one attempt to connect to a host.")] = 20.0
    call_timeout: Annotated[Seconds, Meta(description="Deadline for a quick call to a host.")] = 15.0
    slow_call_timeout: Annotated[Seconds, Meta(description="Deadline for a call that changes something.")] = 60.0
    retry_min: Annotated[Seconds, Meta(description="First pause before a lost host is tried again.")] = 1.0
    retry_max: Annotated[Seconds, Meta(description="Longest pause between two attempts.")] = 60.0
    refused_retry: Annotated[
        Seconds, Meta(description="Pause after a host refused us: wrong key or no permission.")
    ] = 300.0
    reconcile_interval: Annotated[
        Seconds, Meta(description="Time between two full comparisons of a host with the database.")
    ] = 60.0
    stats_interval: Annotated[Seconds, Meta(description="Time between two samples of a watched VM.")] = 2.0


class ConsolesConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many console sessions there may be, and for how long."""

    max_per_vm: Annotated[int, Meta(ge=1, description="Sessions on one VM at once; QEMU takes 32.")] = 32
    max_per_user: Annotated[int, Meta(ge=1, description="Sessions of one user at once.")] = 1000
    max_total: Annotated[int, Meta(ge=1, description="Sessions at once in all.")] = 1000
    idle_timeout: Annotated[Seconds, Meta(description="Time without a byte after which a session is closed.")] = 3600.0
    lifetime: Annotated[Seconds, Meta(description="Longest duration of a session.")] = 86400.0
    screenshot_interval: Annotated[
        Seconds, Meta(description="Age up to which a screenshot is shown again instead of taking another.")
    ] = 5.0


class AuditConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long the log of all changes is kept."""

    retention_days: Annotated[
        int, Meta(ge=1, le=36500, description="Age at which records are removed.", extra={"unit": "days"})
    ] = 365


class OperationsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many operations run and wait, and how long they are kept."""

    max_running: Annotated[
        int, Meta(ge=1, le=1000, description="Operations at work at once on each host, quick and long ones apart.")
    ] = 32
    max_queued: Annotated[
        int, Meta(ge=0, description="Operations of a host that wait for their turn at once, quick and long ones apart.")
    ] = 1000
    retention_days: Annotated[
        int, Meta(ge=1, le=36500, description="Age at which ended operations are removed.", extra={"unit": "days"})
    ] = 7
    max_kept: Annotated[
        int, Meta(ge=1, description="Ended operations that are kept; the oldest beyond that are removed.")
    ] = 10000


class EventsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long events are kept, for clients that were away."""

    retention_days: Annotated[
        int, Meta(ge=1, le=36500, description="Age at which events are removed.", extra={"unit": "days"})
    ] = 7
    max_kept: Annotated[int, Meta(ge=1, description="Events that are kept; the oldest beyond that are removed.")] = (
        100000
    )


class IdempotencyConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long an `Idempotency-Key` is remembered, and how many."""

    retention: Annotated[
        Seconds, Meta(description="Age at which a key is forgotten; the same request is done again then.")
    ] = 86400.0
    max_per_caller: Annotated[
        int, Meta(ge=1, description="Keys that are remembered for one caller; a request with one more is refused.")
    ] = 20000
    max_answer: Annotated[
        int, Meta(ge=0, description="Largest answer that is kept, to be given again.", extra={"unit": "bytes"})
    ] = 65536


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is logged, and in which form; the log goes to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least important level that is logged.")
    ] = "info"
    format: Annotated[
        Literal["console", "json"], Meta(description="`console` for people, `json` for one object a line.")
    ] = "console"


class PluginsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which plugins are loaded, and the table of each plugin, which the plugin itself checks."""

    disabled: Annotated[tuple[str, ...], Meta(description="Names of plugins that are not loaded.")] = ()
    allowed: Annotated[
        tuple[str, ...],
        Meta(description="Names of the only plugins that are loaded, built-in ones included; empty for all."),
    ] = ()
    safe_mode: Annotated[bool, Meta(description="Whether only built-in plugins are loaded.")] = False
    lock: Annotated[
        str | None, Meta(description="File that `virtumancer plugins --lock` wrote: no other plugins are loaded.")
    ] = None
    load_timeout: Annotated[
        Seconds, Meta(description="How long each plugin may take to be imported and to answer its hooks.")
    ] = 10.0
    mounts: Annotated[
        dict[str, dict[str, str]],
        Meta(
            description="Other paths for what plugins mount outside their own place, by plugin and name, as in "
            '`exporter.metrics = "/internal/metrics"`; an empty text leaves it out.',
            extra={"rule": 'a table of tables, such as exporter.metrics = "/internal/metrics"'},
        ),
    ] = field(default_factory=dict[str, dict[str, str]])
    tables: Annotated[
        dict[str, dict[str, Any]], Meta(description="The sub-tables `[plugins.<name>]` as they stand in the file.")
    ] = field(default_factory=dict[str, dict[str, Any]])


class DeclaredHost(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A host that the file declares; it is added at start-up when it is not there yet."""

    id: Annotated[HostId, Meta(description="Name of the host in the API.")]
    uri: Annotated[HostURI, Meta(description="How to reach the host.")]
    host_key: Annotated[
        Fingerprint | None, Meta(description="Fingerprint of the SSH host key to trust when it is first seen.")
    ] = None
    credentials: Annotated[
        dict[str, str],
        Meta(
            description="Where each credential of the host is, as in "
            '`{ client-cert = "file:/etc/virtumancer/lxd.crt" }`: `env:NAME` or `file:PATH`, read at each connection.'
        ),
    ] = field(default_factory=dict[str, str])


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration."""

    server: ServerConfig = field(default_factory=ServerConfig)
    connections: ConnectionsConfig = field(default_factory=ConnectionsConfig)
    access: AccessConfig = field(default_factory=AccessConfig)
    oidc: OIDCConfig = field(default_factory=OIDCConfig)
    database: DatabaseConfig = field(default_factory=DatabaseConfig)
    ssh: SSHConfig = field(default_factory=SSHConfig)
    sessions: SessionsConfig = field(default_factory=SessionsConfig)
    consoles: ConsolesConfig = field(default_factory=ConsolesConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    operations: OperationsConfig = field(default_factory=OperationsConfig)
    events: EventsConfig = field(default_factory=EventsConfig)
    idempotency: IdempotencyConfig = field(default_factory=IdempotencyConfig)
    log: LogConfig = field(default_factory=LogConfig)
    plugins: PluginsConfig = field(default_factory=PluginsConfig)
    hosts: tuple[DeclaredHost, ...] = ()
