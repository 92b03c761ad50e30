"""End to end: the real program against real hypervisors, with virsh as the observer of what really happened."""
