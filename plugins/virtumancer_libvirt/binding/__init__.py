"""The one door to the libvirt library: connections, their threads, events, and its wire protocol."""
