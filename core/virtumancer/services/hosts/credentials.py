"""The credentials of hosts: write-only secrets that reach the driver alone."""

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from virtumancer.config import SecretMissing, read_secret
from virtumancer.contracts import Host, HostDriver, Secret
from virtumancer.errors import AuthenticationFailed, CredentialsUnreadable, InvalidValue
from virtumancer.masking import remember_secret
from virtumancer.services.hosts.credentials_key import CredentialsKey
from virtumancer.store import HostsRepository

__all__ = ["HostCredentials", "check_credential_names", "check_credentials"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

LONGEST = 64 * 1024
"""Characters of one credential."""


class HostCredentials:
    """Seals credentials for the store, and opens them for a connection; `declared` are those of the configuration.

    `declared` has a reference by name for each host that has any: it goes before what is stored under that name.
    """

    def __init__(
        self, store: HostsRepository, key: CredentialsKey, declared: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self._store = store
        self._key = key
        self._declared = declared or {}
        self._stored: dict[str, Mapping[str, str]] = {}

    def take(self, host_id: str, stored: Mapping[str, str]) -> None:
        """Take note of what is stored of a host: its next connection is made with that."""
        self._stored[host_id] = stored

    def stored(self, host_id: str) -> Mapping[str, str]:
        """Return what was last taken note of."""
        return self._stored.get(host_id, {})

    def forget(self, host_id: str) -> None:
        """Forget a host that is removed."""
        self._stored.pop(host_id, None)

    def names(self, host_id: str, stored: Mapping[str, str]) -> tuple[str, ...]:
        """Name what a host has, with these sealed in the store."""
        return tuple(sorted({*stored, *self._declared.get(host_id, {})}))

    def of_request(self, values: Mapping[str, str]) -> dict[str, Secret]:
        """Take credentials that a person gave just now."""
        return {name: _secret(value, "a request") for name, value in values.items()}

    async def of_host(self, host_id: str) -> dict[str, Secret]:
        """Return the credentials for a connection. Raises `CredentialsUnreadable`, `AuthenticationFailed`."""
        declared = self._declared.get(host_id, {})
        sealed = {name: text for name, text in self.stored(host_id).items() if name not in declared}
        opened = await asyncio.to_thread(self._key.open, host_id, sealed) if sealed else {}
        found = {name: _secret(value, "the database") for name, value in opened.items()}
        for name, reference in declared.items():
            found[name] = await asyncio.to_thread(_read, host_id, name, reference)
        return found

    async def sealed(self, host_id: str, values: Mapping[str, Secret]) -> dict[str, str]:
        """Return what is stored of these values. Raises `CredentialsUnreadable`."""
        if not values:
            return {}
        known = await self._store.any_credential()
        shown = {name: value.reveal() for name, value in values.items()}
        return await asyncio.to_thread(self._key.seal, host_id, shown, known)

    async def change(self, host_id: str, wish: Mapping[str, str | None]) -> None:
        """Set credentials, and remove those that are None; all others stay, also when the key is away.

        Raises `InvalidValue` for one that the configuration has, `CredentialsUnreadable`, `HostNotFound`.
        """
        for name in wish:
            if name in self._declared.get(host_id, {}):
                raise InvalidValue(
                    f"the credential {name!r} of host {host_id!r} comes from the configuration file; change it there",
                    field="credentials",
                )
        given = self.of_request({name: value for name, value in wish.items() if value is not None})
        sealed = await self.sealed(host_id, given)
        removed = {name for name, value in wish.items() if value is None}
        self.take(host_id, await self._store.change_credentials(host_id, sealed, removed))

    async def renew(self) -> None:
        """Seal anew what an older key has sealed, so that it can be given up; says what cannot be opened."""
        stored = await self._store.list()
        sealed = {(one.host.id, name): text for one in stored for name, text in one.credentials.items()}
        if not sealed:
            return
        try:
            anew, unreadable = await asyncio.to_thread(self._key.renewed, sealed)
        except CredentialsUnreadable as error:
            log.warning("the credentials of hosts cannot be opened", credentials=len(sealed), reason=error.message)
            return
        if unreadable:
            hosts = ", ".join(sorted({host_id for host_id, _ in unreadable}))[:300]
            reason = next(iter(unreadable.values()))
            log.warning("credentials of some hosts cannot be opened", hosts=hosts, reason=reason)
        renewed = [await self._store.renew_credential(*place, sealed[place], text) for place, text in anew.items()]
        if any(renewed):
            log.info("credentials of hosts were sealed with the first key", credentials=sum(renewed))


def check_credentials(driver: HostDriver, host: Host, values: Mapping[str, str | None]) -> None:
    """Refuse credentials that the driver does not know, and values that are none. Raises `InvalidValue`."""
    check_credential_names(driver, host, [name for name, value in values.items() if value is not None])
    for name, value in values.items():
        if value is not None and not 0 < len(value) <= LONGEST:
            raise InvalidValue(
                f"the credential {name!r} is empty, or longer than {LONGEST} characters; null removes one",
                field=f"credentials.{name}",
            )


def check_credential_names(driver: HostDriver, host: Host, names: Iterable[str]) -> None:
    """Refuse names that the driver does not know, and repeat none: who mixed up name and value sent a secret as name.

    Raises `InvalidValue`.
    """
    known = driver.credentials
    if any(name not in known for name in names):
        takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise InvalidValue(
            f"host {host.id!r} has a credential of a name that the driver of {_scheme(host)!r} does not know: {takes}",
            field="credentials",
        )


def _scheme(host: Host) -> str:
    return host.uri.partition(":")[0][:40]


def _secret(value: str, source: str) -> Secret:
    remember_secret(value)
    return Secret(value, source)


def _read(host_id: str, name: str, reference: str) -> Secret:
    try:
        secret = read_secret(reference)
    except SecretMissing as missing:
        raise AuthenticationFailed(f"the credential {name!r} of host {host_id!r} {missing}") from None
    remember_secret(secret.reveal())
    return secret
