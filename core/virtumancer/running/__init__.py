"""The servers that run on this machine: how one says that it does, and how its user's programs know it."""

from virtumancer.running.announcing import Announcement, announce
from virtumancer.running.folders import RuntimeFolder, Untrusted, open_folder, runtime_folders
from virtumancer.running.records import Record, RunningServer, database_of, record_of, running_servers
from virtumancer.running.which import Said, choose, server_at, what_is_said

__all__ = [
    "Announcement",
    "Record",
    "RunningServer",
    "RuntimeFolder",
    "Said",
    "Untrusted",
    "announce",
    "choose",
    "database_of",
    "open_folder",
    "record_of",
    "running_servers",
    "runtime_folders",
    "server_at",
    "what_is_said",
]
