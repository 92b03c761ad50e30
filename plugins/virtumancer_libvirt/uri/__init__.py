"""What the URI of a host says, and which hypervisors and sockets it may name."""
