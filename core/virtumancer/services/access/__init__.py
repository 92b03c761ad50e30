"""Who may do what: rights and roles, grants, and the tokens that carry them."""

from virtumancer.services.access.access import EVERYTHING, Access
from virtumancer.services.access.grants import ROLES, Grant, Right
from virtumancer.services.access.keeping import AccessKeeper, admin_token_file
from virtumancer.services.access.tokens import Caller, NewToken, TokenInfo, Tokens

__all__ = [
    "EVERYTHING",
    "ROLES",
    "Access",
    "AccessKeeper",
    "Caller",
    "Grant",
    "NewToken",
    "Right",
    "TokenInfo",
    "Tokens",
    "admin_token_file",
]
