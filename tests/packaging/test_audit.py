"""The audit of what is installed fails of a known vulnerability, and says loudly what it could not look up."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

AUDIT = Path(__file__).parents[2] / "scripts" / "audit.py"
# No index has it, so that only the server of the test is asked with success.
NAME = "virtumancer-that-nobody-published"


@contextmanager
def osv(*vulnerabilities: dict[str, Any]) -> Iterator[str]:
    """A server of the OSV API that answers always the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"vulns": vulnerabilities} if vulnerabilities else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audit(folder: Path, url: str, *flags: str) -> subprocess.CompletedProcess[str]:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{NAME}==1.0\n")
    command = [sys.executable, AUDIT, "--requirements", requirements, "--osv-url", url, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_vulnerability_is_named_and_fails(tmp_path: Path) -> None:
    affected = [{"package": {"ecosystem": "PyPI", "name": NAME}, "versions": ["1.0"], "ranges": []}]
    with osv({"id": "TEST-2026-1", "summary": "bad", "published": "2026-01-01T00:00:00Z", "affected": affected}) as url:
        ended = audit(tmp_path, url)

    assert ended.returncode == 1, ended.stderr
    assert f"{NAME} 1.0 has TEST-2026-1" in ended.stderr


def test_nothing_known_is_good(tmp_path: Path) -> None:
    with osv() as url:
        ended = audit(tmp_path, url)

    assert (ended.returncode, "NOT AUDITED" in ended.stderr) == (0, False), ended.stderr
    assert "1 of 1 looked up" in ended.stdout


def test_what_cannot_be_looked_up_is_said_and_fails_only_when_asked_to(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1/v1/query"

    lenient, strict = audit(tmp_path, nowhere), audit(tmp_path, nowhere, "--strict")

    assert (lenient.returncode, strict.returncode) == (0, 1)
    assert f"1 of 1 were NOT AUDITED: {NAME}" in lenient.stderr
