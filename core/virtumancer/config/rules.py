"""The rules that concern more than one setting."""

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

from virtumancer.config.addresses import is_loopback
from virtumancer.config.problems import Problems
from virtumancer.config.sign_in_rules import check_oidc
from virtumancer.config.sources.secrets import SecretMissing, read_secret
from virtumancer.config.tables.config import Config
from virtumancer.masking import holds_secret

__all__ = ["check_rules"]


def check_rules(config: Config, origins: Mapping[str, str], problems: Problems) -> None:
    """Report settings that do not fit together; `origins` says where each was given."""
    _check_bind(config, origins, problems)
    _check_tls(config, origins, problems)
    _check_proxies(config, origins, problems)
    _check_retries(config, origins, problems)
    _check_hosts(config, origins, problems)
    _check_credentials_key(config, origins, problems)
    check_oidc(config, origins, problems)


def _check_bind(config: Config, origins: Mapping[str, str], problems: Problems) -> None:
    server = config.server
    if problems.concern("server.bind", "server.auth", "server.tls_cert", "server.tls_key") or is_loopback(server.bind):
        return
    if server.auth == "token":
        if server.tls_cert is None and not server.behind_proxy:
            problems.add(
                origins.get("server.bind", ""),
                "server.bind",
                f'without TLS everybody on the way to "{server.bind}" could read the tokens; give server.tls_cert and '
                "server.tls_key, or say server.behind_proxy = true when only a reverse proxy with TLS reaches it",
            )
        return
    problems.add(
        origins.get("server.bind", ""),
        "server.bind",
        f'with server.auth = "off" everybody who reaches "{config.server.bind}" would control all hosts; '
        'use server.auth = "token", or "127.0.0.1", "::1" or "localhost" and an SSH tunnel',
    )


def _check_tls(config: Config, origins: Mapping[str, str], problems: Problems) -> None:
    files = {"server.tls_cert": config.server.tls_cert, "server.tls_key": config.server.tls_key}
    if problems.concern(*files):
        return
    for name, value in files.items():
        (other,) = files.keys() - {name}
        if value is None and files[other] is not None:
            problems.add(origins.get(other, ""), name, f"is missing: {other} works only together with it")
        elif value is not None and not Path(value).expanduser().is_file():
            problems.add(origins.get(name, ""), name, f"there is no file {value}")


def _check_proxies(config: Config, origins: Mapping[str, str], problems: Problems) -> None:
    if problems.concern("server.trusted_proxies"):
        return
    for proxy in config.server.trusted_proxies:
        try:
            ip_network(proxy)
        except ValueError:
            problems.add(
                origins.get("server.trusted_proxies", ""),
                "server.trusted_proxies",
                f'"{proxy}" is not an address such as "10.0.0.5" or a network such as "10.0.0.0/24"',
            )


def _check_retries(config: Config, origins: Mapping[str, str], problems: Problems) -> None:
    first, longest = config.sessions.retry_min, config.sessions.retry_max
    if first > longest and not problems.concern("sessions.retry_min", "sessions.retry_max"):
        origin = origins.get("sessions.retry_min") or origins.get("sessions.retry_max", "")
        problems.add(origin, "sessions.retry_min", f"is {first}, more than sessions.retry_max, which is {longest}")


def _check_hosts(config: Config, origins: Mapping[str, str], problems: Problems) -> None:
    if problems.concern("hosts"):
        return
    for index, host in enumerate(config.hosts):
        # It would stand in the database and in answers: the URI of a host is no secret.
        if holds_secret(host.uri):
            path = f"hosts[{index}].uri"
            problems.add(origins.get(path, origins.get("hosts", "")), path, "holds a password; use an SSH key instead")
        for name, reference in host.credentials.items():
            path = f"hosts[{index}].credentials.{name}"
            try:
                read_secret(reference)
            except SecretMissing as missing:
                problems.add(origins.get(path, origins.get("hosts", "")), path, str(missing))


def _check_credentials_key(config: Config, origins: Mapping[str, str], problems: Problems) -> None:
    if not config.server.credentials_key or problems.concern("server.credentials_key"):
        return
    try:
        read_secret(config.server.credentials_key)
    except SecretMissing as missing:
        problems.add(origins.get("server.credentials_key", ""), "server.credentials_key", str(missing))
