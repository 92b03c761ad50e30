"""What the product does, without HTTP: hosts and their sessions, VMs, events, statistics."""
