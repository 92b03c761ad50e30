"""The keys that we offer to an SSH server: from files and from the agent, never a password."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncssh

from virtumancer_libvirt.ssh.config import Hop

__all__ = ["Identities", "load_files"]


class Identities:
    """The keys for one hop and, for the message when none is let in, what was tried."""

    def __init__(self, keys: list[asyncssh.SSHKeyPair], public: list[bytes], tried: list[str], *, locked: bool) -> None:
        self.keys = keys
        self.tried = tried
        self.locked = locked
        self._public = public

    @property
    def summary(self) -> str:
        """What was tried, for a message."""
        return ", ".join(self.tried) or "nothing, because no key file and no agent was found"

    async def add_agent(self, hop: Hop, stack: AsyncExitStack) -> None:
        """Add the agent's keys; `stack` closes the agent, which has to stay open while they are used."""
        if hop.agent_path is None or (hop.only_these_keys and not self._public):
            return
        try:
            agent = await stack.enter_async_context(asyncssh.connect_agent(hop.agent_path))
            found = await agent.get_keys(self._public if hop.only_these_keys else None)
        except (OSError, ValueError) as error:
            self.tried.append(f"agent {hop.agent_path} (does not work: {error})")
            return
        self.keys.extend(found)
        self.tried.append(f"agent {hop.agent_path} ({len(found)} keys)")


def load_files(hop: Hop) -> Identities:
    """Load the private keys of a hop. Reads files: call it in a thread."""
    keys: list[asyncssh.SSHKeyPair] = []
    public: list[bytes] = []
    tried: list[str] = []
    locked = False
    certificates = [path for path in hop.certificate_files if Path(path).exists()]
    for path in hop.key_files:
        if not Path(path).exists() and not hop.key_files_named:
            continue
        try:
            keys.extend(asyncssh.load_keypairs(path, certlist=certificates))
            tried.append(path)
        except (OSError, ValueError) as error:
            tried.append(f"{path} ({_reason(error)})")
            locked = locked or _is_locked(error)
        public.extend(_public_parts(path))
    return Identities(keys, public, tried, locked=locked)


def _is_locked(error: Exception) -> bool:
    return isinstance(error, asyncssh.KeyEncryptionError) or str(error).startswith("Passphrase")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "has a passphrase" if _is_locked(error) else str(error)


def _public_parts(path: str) -> Sequence[bytes]:
    """Return the public keys that belong to a key file, by which the agent is asked for the same keys."""
    for candidate in (f"{path}.pub", path):
        try:
            return [asyncssh.read_public_key(candidate).public_data]
        except (OSError, ValueError):
            # Most keys have only one of the two; without any, the agent is not asked for this one.
            continue
    return []
