"""Signing in at an OpenID provider: authorization code with PKCE. What it needs installs with `virtumancer[oidc]`."""

from typing import TYPE_CHECKING

from virtumancer.config import OIDCConfig
from virtumancer.errors import ConfigError
from virtumancer.services.auth.oidc.attempt import OIDCAnswer, OIDCStart

if TYPE_CHECKING:
    from virtumancer.services.auth.oidc.flow import OIDCLogin

__all__ = ["OIDCAnswer", "OIDCStart", "oidc_login"]


def oidc_login(config: OIDCConfig) -> "OIDCLogin | None":
    """Return what signs people in, None when no provider is configured. Raises `ConfigError`."""
    if not config.issuer:
        return None
    try:
        from virtumancer.services.auth.oidc.flow import OIDCLogin  # noqa: PLC0415 - its libraries are an extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'oidc.issuer: signing in with OpenID Connect needs {error.name}: run pip install "virtumancer[oidc]"'
        ) from error
    return OIDCLogin(config)
