"""Who may do what: rights and roles, grants, and the tokens that carry them."""

from virtumancer.services.auth.directory import Callers
from virtumancer.services.auth.group_grants import GroupGrants
from virtumancer.services.auth.maintenance import AccessKeeper
from virtumancer.services.auth.oidc_users import OIDCIdentity
from virtumancer.services.auth.permissions import ANY_RIGHT, BUILT_IN, ROLES, TAG, Grant, Right, check_tags
from virtumancer.services.auth.principals import EVERYTHING, Access
from virtumancer.services.auth.sign_in import SignIn, Visit
from virtumancer.services.auth.tag_index import Tags
from virtumancer.services.auth.tokens import PREFIX, Caller, NewToken, TokenInfo, Tokens
from virtumancer.services.auth.users import UserInfo, Users
from virtumancer.services.auth.web_sessions import NewLink, NewWebSession, WebSessions

__all__ = [
    "ANY_RIGHT",
    "BUILT_IN",
    "EVERYTHING",
    "PREFIX",
    "ROLES",
    "TAG",
    "Access",
    "AccessKeeper",
    "Caller",
    "Callers",
    "Grant",
    "GroupGrants",
    "NewLink",
    "NewToken",
    "NewWebSession",
    "OIDCIdentity",
    "Right",
    "SignIn",
    "Tags",
    "TokenInfo",
    "Tokens",
    "UserInfo",
    "Users",
    "Visit",
    "WebSessions",
    "check_tags",
]
