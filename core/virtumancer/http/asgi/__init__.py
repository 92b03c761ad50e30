"""What lies beneath Falcon: the ASGI applications around it, and the sockets and streams under its own."""
