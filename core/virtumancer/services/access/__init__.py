"""Who may do what: rights and roles, grants, and the tokens that carry them."""

from virtumancer.services.access.access import EVERYTHING, Access
from virtumancer.services.access.callers import Callers
from virtumancer.services.access.grants import ANY_RIGHT, BUILT_IN, ROLES, TAG, Grant, Right, check_tags
from virtumancer.services.access.groups import GroupGrants
from virtumancer.services.access.keeping import AccessKeeper
from virtumancer.services.access.oidc_people import OIDCIdentity
from virtumancer.services.access.sign_in import SignIn, Visit
from virtumancer.services.access.tags import Tags
from virtumancer.services.access.tokens import PREFIX, Caller, NewToken, TokenInfo, Tokens
from virtumancer.services.access.users import UserInfo, Users
from virtumancer.services.access.web_sessions import NewLink, NewWebSession, WebSessions

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
