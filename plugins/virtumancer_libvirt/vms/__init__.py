"""What a host says of its VMs: listing, definitions, hardware, statistics and uptime."""
