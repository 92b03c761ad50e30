"""Slows down whoever guesses passwords: per account and network, and per network."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

from virtumancer.errors import TooManyAttempts

__all__ = ["LoginThrottle", "network_of"]

FREE_PER_ACCOUNT = 5
# Behind one address there may be a whole office.
FREE_PER_NETWORK = 20
LONGEST_PAUSE = 60.0
FORGOTTEN_AFTER = 900.0
REMEMBERED = 10_000
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class _Count(Struct):
    failures: int = 0
    until: float = 0.0
    last: float = 0.0


class LoginThrottle:
    """Counts attempts that did not succeed; from some number on each is followed by a pause, twice as long each time.

    An attempt counts from its begin, so that many at once are no way round. An account has to wait only in the network
    that its attempts came from, so that nobody keeps somebody out from elsewhere; a network is an IPv4 address, or 64
    bits of an IPv6 one. The account is empty while nobody knows whose it is.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def begin(self, account: str, address: str) -> None:
        """Count an attempt. Raises `TooManyAttempts` during a pause, without counting."""
        now = self._clock()
        limits = self._limits(account, address)
        for key in limits:
            count = self._counts.get(key)
            if count and count.until > now:
                raise TooManyAttempts(
                    "too many attempts to sign in failed; wait a moment", retry_after=count.until - now
                )
        for key, free in limits.items():
            count = self._count(key, now)
            count.failures += 1
            count.last = now
            if count.failures >= free:
                count.until = now + min(LONGEST_PAUSE, 2.0 ** (count.failures - free))

    def succeeded(self, account: str, address: str) -> None:
        """Take back that an attempt failed; the account begins anew, its network does not."""
        *by_account, by_network = self._limits(account, address)
        for key in by_account:
            self._counts.pop(key, None)
        count = self._counts.get(by_network)
        if count:
            count.failures -= 1
            count.until = 0.0

    def _count(self, key: str, now: float) -> _Count:
        count = self._counts.pop(key, None)
        if count is None or now - count.last > FORGOTTEN_AFTER:
            count = _Count()
        self._counts[key] = count
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return count

    @staticmethod
    def _limits(account: str, address: str) -> dict[str, int]:
        network = network_of(address)
        by_account = {f"account {account} from {network}": FREE_PER_ACCOUNT} if account else {}
        return by_account | {f"network {network}": FREE_PER_NETWORK}


def network_of(address: str) -> str:
    """Return what counts as one place: one IPv6 user has a whole /64, unless it stands for an IPv4 address.

    A socket that takes both shows an IPv4 client as ::ffff:a.b.c.d, and NAT64 as 64:ff9b::a.b.c.d.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed in NAT64:
        return str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF))
    if mapped := parsed.ipv4_mapped:
        return str(mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
