"""Consoles, opened by clients that know nothing of us, on guests of a real QEMU behind a real sshd."""
