"""For tests of ours and of plugin authors: a hypervisor in memory that does what a script says."""

from virtumancer.testing.fake import FakeHypervisor, fake_plugin
from virtumancer.testing.faults import Faults
from virtumancer.testing.streams import MemoryStream, stream_pair

__all__ = ["FakeHypervisor", "Faults", "MemoryStream", "fake_plugin", "stream_pair"]
