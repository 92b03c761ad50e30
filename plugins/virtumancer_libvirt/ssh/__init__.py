"""The SSH connection to a host: its configuration, keys, channels and forwarded sockets."""
