"""A certificate of a server's own, made by the openssl program."""

import subprocess
from pathlib import Path


def self_signed(folder: Path, *, mode: int = 0o600) -> tuple[Path, Path]:
    """Make a certificate for localhost; returns the files of it and of its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=20)
    key.chmod(mode)
    return cert, key
