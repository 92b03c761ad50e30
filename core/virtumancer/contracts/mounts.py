"""Places outside `/api/v1/plugins/<name>/`, for what has to be elsewhere: `/metrics`, or a page at `/`."""

from msgspec import Struct

from virtumancer.contracts.routes import Route, StaticFiles

__all__ = ["Mount"]


class Mount(Struct, frozen=True, kw_only=True):
    """A place that a plugin asks for. Since 1.3.

    `path` is the whole path, as in `/metrics`, or `/` for what nothing else has: it has no fields in braces. `content`
    is a route, or the files of a folder with all that lies below; its own `path` is empty. Nobody shares a place, or
    has one within another's, except that what is at `/` gets the rest. `name` is what the operator calls it, who may
    give it another path or none in the setting `plugins.mounts`. `public` opens it to everybody, without a token;
    otherwise a route needs its `permission`, and files whatever lets somebody call at all.
    """

    name: str
    path: str
    content: Route | StaticFiles
    public: bool = False
