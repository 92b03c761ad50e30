"""The tables about people who sign in elsewhere: at an OpenID provider, or with what an authenticator understands."""

from typing import Annotated

from msgspec import Meta, Struct, field

from virtumancer.contracts.access import Grant

__all__ = ["AccessConfig", "OIDCConfig"]

URL = Annotated[str, Meta(pattern=r"^(https?://[^\s?#]+)?\Z", extra={"rule": 'a URL such as "https://id.example.org"'})]
Claim = Annotated[str, Meta(min_length=1)]
Grants = dict[str, tuple[Grant, ...]]
"""By group."""


class AccessConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What callers may do who are known by their groups."""

    groups: Annotated[
        Grants,
        Meta(
            description="The grants of each group that an authenticator of a plugin may name, as in "
            '`operators = [{ role = "operator", host = "kvm1" }]`.'
        ),
    ] = field(default_factory=dict[str, tuple[Grant, ...]])


class OIDCConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where people sign in with OpenID Connect, and what their groups may do."""

    issuer: Annotated[
        URL, Meta(description="The provider, as its own tokens name it; empty for no sign-in with OpenID Connect.")
    ] = ""
    client_id: Annotated[str, Meta(description="The name of this server at the provider.")] = ""
    client_secret: Annotated[
        str,
        Meta(
            description="Where the secret of this server at the provider is: `env:NAME` or `file:PATH`; empty for a "
            "public client, which has none."
        ),
    ] = ""
    public_url: Annotated[
        URL,
        Meta(
            description="Where browsers reach this server; the provider sends them back to "
            "`/api/v1/session/oidc/callback` below it."
        ),
    ] = ""
    name: Annotated[str, Meta(min_length=1, max_length=60, description="What the sign-in page calls the provider.")] = (
        "single sign-on"
    )
    scopes: Annotated[tuple[str, ...], Meta(description="What is asked of the provider beside `openid`.")] = (
        "profile",
    )
    name_claim: Annotated[Claim, Meta(description="The claim that names a person in the audit log.")] = (
        "preferred_username"
    )
    groups_claim: Annotated[
        Claim, Meta(description="The claim that lists a person's groups; a dot leads into a claim.")
    ] = "groups"
    roles: Annotated[
        Grants,
        Meta(
            description='The grants of each group, as in `vm-admins = [{ role = "admin" }]`; who is in none of them '
            "cannot sign in."
        ),
    ] = field(default_factory=dict[str, tuple[Grant, ...]])
    ca_file: Annotated[
        str, Meta(description="PEM file with the authority of the provider's certificate; empty for the system's.")
    ] = ""
    timeout: Annotated[
        float, Meta(gt=0, le=60, description="Deadline for each question to the provider.", extra={"unit": "seconds"})
    ] = 10.0
    session_lifetime: Annotated[
        float,
        Meta(
            gt=0,
            le=2592000,
            description="How long a session lasts; what changes at the provider counts from the next one on.",
            extra={"unit": "seconds"},
        ),
    ] = 28800.0
