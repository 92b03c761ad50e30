"""The driver: a host is this machine and a folder of definitions, `qmp:///srv/vms`."""

import asyncio
from pathlib import Path
from urllib.parse import unquote, urlsplit

from virtumancer.contracts import ConnectContext, Host, HostConnection, HostDriver
from virtumancer.errors import HostUnreachable, InvalidValue
from virtumancer_qmp.config import QMPConfig
from virtumancer_qmp.connection import QMPConnection


class QMPDriver(HostDriver):
    """Connects to `qmp:///FOLDER`."""

    schemes = frozenset({"qmp"})

    def __init__(self, config: QMPConfig | None = None) -> None:
        self._config = config or QMPConfig()

    def check_uri(self, uri: str) -> None:
        """Refuse a URI that names another machine, or no folder."""
        try:
            parts = urlsplit(uri)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme != "qmp" or parts.netloc or parts.query or parts.fragment or len(parts.path) < 2:
            raise InvalidValue("write qmp:///FOLDER with the folder of definitions on this machine", field="uri")

    async def connect(self, host: Host, context: ConnectContext) -> HostConnection:
        """Look whether the folder is there; VMs that run already are found again."""
        folder = Path(unquote(urlsplit(host.uri).path))
        if not await asyncio.to_thread(folder.is_dir):
            raise HostUnreachable(f"there is no folder {folder}")
        connection = QMPConnection(folder, self._config, context.settings)
        try:
            await connection.open()
        except BaseException:
            await connection.aclose()
            raise
        return connection
