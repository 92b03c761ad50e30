"""The configuration: one Struct per table, read from flags, environment and file, checked as a whole."""

from virtumancer.config.addresses import is_private
from virtumancer.config.describe import describe
from virtumancer.config.load import connect_settings, load_config
from virtumancer.config.local import LocalServer, admin_token_file, credentials_key_file, local_server, read_token
from virtumancer.config.places import state_folder
from virtumancer.config.problems import did_you_mean
from virtumancer.config.sources.layers import config_file
from virtumancer.config.sources.secrets import SecretMissing, read_secret
from virtumancer.config.sources.structs import read_struct
from virtumancer.config.tables.config import (
    AccessConfig,
    AuditConfig,
    Config,
    ConsolesConfig,
    DatabaseConfig,
    DeclaredHost,
    EventsConfig,
    IdempotencyConfig,
    LogConfig,
    OIDCConfig,
    OperationsConfig,
    PluginsConfig,
    ServerConfig,
    SessionsConfig,
    SSHConfig,
)
from virtumancer.config.tables.connections import ConnectionsConfig

__all__ = [
    "AccessConfig",
    "AuditConfig",
    "Config",
    "ConnectionsConfig",
    "ConsolesConfig",
    "DatabaseConfig",
    "DeclaredHost",
    "EventsConfig",
    "IdempotencyConfig",
    "LocalServer",
    "LogConfig",
    "OIDCConfig",
    "OperationsConfig",
    "PluginsConfig",
    "SSHConfig",
    "SecretMissing",
    "ServerConfig",
    "SessionsConfig",
    "admin_token_file",
    "config_file",
    "connect_settings",
    "credentials_key_file",
    "describe",
    "did_you_mean",
    "is_private",
    "load_config",
    "local_server",
    "read_secret",
    "read_struct",
    "read_token",
    "state_folder",
]
