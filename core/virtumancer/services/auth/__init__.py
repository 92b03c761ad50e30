"""Who may do what: rights and roles, grants, and the tokens that carry them."""

from virtumancer.services.auth.directory import PrincipalDirectory
from virtumancer.services.auth.group_grants import GroupGrants
from virtumancer.services.auth.maintenance import AuthMaintenance
from virtumancer.services.auth.oidc_users import OIDCIdentity
from virtumancer.services.auth.permissions import ANY_RIGHT, BUILT_IN, ROLES, TAG, Grant, Right, check_tags
from virtumancer.services.auth.principals import EVERYTHING, Permissions
from virtumancer.services.auth.sign_in import SignIn, SignInContext
from virtumancer.services.auth.tag_index import TagIndex
from virtumancer.services.auth.tokens import PREFIX, NewToken, Principal, TokenInfo, Tokens
from virtumancer.services.auth.users import UserInfo, Users
from virtumancer.services.auth.web_sessions import NewLink, NewWebSession, WebSessions

__all__ = [
    "ANY_RIGHT",
    "BUILT_IN",
    "EVERYTHING",
    "PREFIX",
    "ROLES",
    "TAG",
    "AuthMaintenance",
    "Grant",
    "GroupGrants",
    "NewLink",
    "NewToken",
    "NewWebSession",
    "OIDCIdentity",
    "Permissions",
    "Principal",
    "PrincipalDirectory",
    "Right",
    "SignIn",
    "SignInContext",
    "TagIndex",
    "TokenInfo",
    "Tokens",
    "UserInfo",
    "Users",
    "WebSessions",
    "check_tags",
]
