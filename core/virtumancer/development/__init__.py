"""`virtumancer dev`: a server for the author of a plugin, which starts again whenever the plugin's source changes."""

from virtumancer.development.supervisor import Supervisor
from virtumancer.development.target import Target, find_target

__all__ = ["Supervisor", "Target", "find_target"]
