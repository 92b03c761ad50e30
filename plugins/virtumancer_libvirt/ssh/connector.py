"""SSH connections hop by hop: who they go to, what they may use, and what an attempt's failure means."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import asyncssh

from virtumancer.contracts import ConnectContext, ConnectSettings
from virtumancer.errors import HostUnreachable, VirtumancerError
from virtumancer_libvirt.ssh.algorithms import (
    chosen_ciphers,
    chosen_host_key_algorithms,
    chosen_kex,
    chosen_macs,
)
from virtumancer_libvirt.ssh.client_keys import Identities, load_files
from virtumancer_libvirt.ssh.config import Hop
from virtumancer_libvirt.ssh.host_keys import HostKeyJudge, KnownKeys, load_known_keys
from virtumancer_libvirt.ssh.quick_ack import PromptTunnel
from virtumancer_libvirt.ssh.refusals import LoginTrail, explain_failure
from virtumancer_libvirt.ssh.tcp import dial

__all__ = ["HopConnector", "hop_options"]

OnLost = Callable[[Hop, Exception | None], None]


class _Client(asyncssh.SSHClient):
    """What asyncssh asks while it logs in, and whom it tells when the connection is gone."""

    def __init__(self, judge: HostKeyJudge, keys: list[asyncssh.SSHKeyPair]) -> None:
        self._judge = judge
        self._keys = list(keys)
        self._on_lost: Callable[[Exception | None], None] | None = None
        self._connection: asyncssh.SSHClientConnection | None = None
        self._saw_key = False
        self.trail = LoginTrail()

    @property
    def before_key(self) -> bool:
        """The peer speaks SSH, and has shown no host key yet."""
        heard = self._connection is not None and self._connection.get_extra_info("server_version")
        return bool(heard) and not self._saw_key

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn

    def watch(self, on_lost: Callable[[Exception | None], None]) -> None:
        """Report the loss from now on: a login that fails is told by its exception."""
        self._on_lost = on_lost

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self._saw_key = True
        return self._judge.accepts_key(key)

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self._saw_key = True
        return self._judge.accepts_authority(key)

    def public_key_auth_requested(self) -> list[asyncssh.SSHKeyPair] | None:
        keys, self._keys = self._keys, []
        self.trail.keys_asked_for(any_left=bool(keys))
        return keys or None

    def password_auth_requested(self) -> None:
        self.trail.other_asked_for("a password")

    def kbdint_auth_requested(self) -> None:
        self.trail.other_asked_for("a keyboard-interactive answer")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._on_lost is not None:
            self._on_lost(exc)


class HopConnector:
    """Opens one hop after the other under one policy for host keys.

    Every connection goes into `connections` at once, where the caller closes it whatever comes next.
    """

    def __init__(
        self, context: ConnectContext, connections: list[asyncssh.SSHClientConnection], on_lost: OnLost
    ) -> None:
        self._settings = context.settings
        self._policy = context.host_keys
        self._connections = connections
        self._on_lost = on_lost

    async def connect(self, hop: Hop) -> None:
        """Log in to a hop, directly or through the one before it. Raises one of our errors."""
        known = await asyncio.to_thread(load_known_keys, hop, self._policy.pinned_for(hop.address))
        async with AsyncExitStack() as agent:
            identities = await asyncio.to_thread(load_files, hop)
            await identities.add_agent(hop, agent)
            for certificates in (True, False):
                judge = HostKeyJudge(hop, known, self._policy)
                try:
                    return await self._log_in(hop, judge, identities, certificates=certificates)
                except asyncssh.HostKeyNotVerifiable as error:
                    # A certificate of an authority we do not know: the host's plain key may be known all the same.
                    if not judge.foreign_certificate:
                        raise judge.refusal or judge.invalid(str(error.reason)) from error
        raise HostUnreachable(f"{hop} shows a host certificate although none was asked for")

    async def _log_in(self, hop: Hop, judge: HostKeyJudge, identities: Identities, *, certificates: bool) -> None:
        client = _Client(judge, identities.keys)
        usual = judge.known.algorithms(certificates=certificates)
        algorithms = chosen_host_key_algorithms(hop.host_key_algs, usual, certificates=certificates)
        options = hop_options(hop, self._settings, judge.known) | {"server_host_key_algs": algorithms}
        try:
            connection = await self._handshake(hop, options | {"client_factory": lambda: client})
        except (asyncssh.HostKeyNotVerifiable, VirtumancerError):
            raise
        except Exception as error:  # what a peer that is no SSH server sends can make asyncssh raise anything
            raise explain_failure(hop, identities, client.trail, error, before_key=client.before_key) from error
        self._connections.append(connection)
        client.watch(lambda error: self._on_lost(hop, error))
        if connection.is_closed():
            raise HostUnreachable(f"{hop} closed the SSH connection right after the login")

    async def _handshake(self, hop: Hop, options: dict[str, Any]) -> asyncssh.SSHClientConnection:
        if self._connections:
            return await asyncssh.connect(hop.host, hop.port, tunnel=self._connections[-1], **options)
        tcp = await dial(hop, self._settings.connect_timeout)
        try:
            return await asyncssh.connect(hop.host, hop.port, tunnel=PromptTunnel(tcp), **options)
        except BaseException:
            # Cancelled before the handshake began, nobody else has it yet; closing it twice does no harm.
            tcp.close()
            raise


def hop_options(hop: Hop, settings: ConnectSettings, known: KnownKeys) -> dict[str, Any]:
    """Return what asyncssh is told about a hop, whatever the connection is for."""
    return {
        # Nothing is read from files behind our back: what they say is in the hop already.
        "config": None,
        "client_keys": None,
        "agent_path": None,
        "x509_trusted_certs": None,
        "x509_trusted_cert_paths": (),
        "host_key_alias": hop.name,
        # The judge decides about keys; only inside a certificate asyncssh has to look for revoked ones by itself.
        "known_hosts": ((), (), known.revoked if known.authorities else ()),
        "username": hop.user,
        # The others are listened for and never answered: that a server asks for them tells why it lets nobody in.
        "preferred_auth": "publickey,keyboard-interactive,password",
        "password": None,  # nosec B105 - there is none
        "host_based_auth": False,
        # GSS key exchange would go round the host key.
        "gss_host": None,
        "gss_kex": False,
        "kex_algs": chosen_kex(hop.kex_algs),
        "mac_algs": chosen_macs(hop.macs),
        "encryption_algs": chosen_ciphers(hop.ciphers),
        "compression_algs": None,
        "login_timeout": settings.connect_timeout,
        "keepalive_interval": settings.keepalive_interval,
        "keepalive_count_max": settings.keepalive_count,
        "agent_forwarding": False,
    }
