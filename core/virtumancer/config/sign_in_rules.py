"""The rules about people who sign in at an OpenID provider."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from virtumancer.config.addresses import is_private
from virtumancer.config.problems import Problems
from virtumancer.config.sources.secrets import SecretMissing, read_secret
from virtumancer.config.tables.config import Config
from virtumancer.config.tables.sign_in import OIDCConfig
from virtumancer.masking import mask_url

__all__ = ["check_oidc"]


def check_oidc(config: Config, origins: Mapping[str, str], problems: Problems) -> None:
    """Report what is missing, and what could be read or forged on its way."""
    if config.oidc == OIDCConfig() or problems.concern(*(name for name in origins if name.startswith("oidc."))):
        return
    for key, message in (*_missing(config), *_open(config), *_unreadable(config)):
        problems.add(origins.get(f"oidc.{key}", ""), f"oidc.{key}", message)


def _missing(config: Config) -> Iterator[tuple[str, str]]:
    for key in ("issuer", "client_id", "public_url", "roles"):
        if not getattr(config.oidc, key):
            yield key, "is missing: without it nobody can sign in with OpenID Connect"
    if config.oidc.issuer and config.server.auth == "off":
        yield "issuer", 'works only with server.auth = "token": now nobody is asked who they are'


def _open(config: Config) -> Iterator[tuple[str, str]]:
    for key, url in (("issuer", config.oidc.issuer), ("public_url", config.oidc.public_url)):
        if url and not is_private(url):
            yield (
                key,
                f'has to begin with "https://", but for an address of this machine itself; it is "{mask_url(url)}"',
            )


def _unreadable(config: Config) -> Iterator[tuple[str, str]]:
    oidc = config.oidc
    try:
        if oidc.client_secret:
            read_secret(oidc.client_secret)
    except SecretMissing as missing:
        yield "client_secret", str(missing)
    if oidc.ca_file and not Path(oidc.ca_file).expanduser().is_file():
        yield "ca_file", f"there is no file {oidc.ca_file}"
