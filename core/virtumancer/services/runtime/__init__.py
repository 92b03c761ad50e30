"""What all services stand on: the bus, the clock, the processes of a server, and periodic tasks."""
