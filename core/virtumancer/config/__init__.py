"""The configuration: one Struct per table, read from flags, environment and file, checked as a whole."""

from virtumancer.config.describe import describe
from virtumancer.config.load import connect_settings, load_config
from virtumancer.config.problems import did_you_mean
from virtumancer.config.structs import read_struct
from virtumancer.config.tables import (
    AuditConfig,
    Config,
    ConsolesConfig,
    DatabaseConfig,
    DeclaredHost,
    LogConfig,
    PluginsConfig,
    ServerConfig,
    SessionsConfig,
    SSHConfig,
    state_folder,
)

__all__ = [
    "AuditConfig",
    "Config",
    "ConsolesConfig",
    "DatabaseConfig",
    "DeclaredHost",
    "LogConfig",
    "PluginsConfig",
    "SSHConfig",
    "ServerConfig",
    "SessionsConfig",
    "connect_settings",
    "describe",
    "did_you_mean",
    "load_config",
    "read_struct",
    "state_folder",
]
