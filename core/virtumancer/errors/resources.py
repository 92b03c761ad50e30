"""Resources that plugins add."""

from virtumancer.errors.base import Conflict, NotFound, VirtumancerError

__all__ = ["RangeNotSatisfiable", "ResourceExists", "ResourceNotFound"]


class ResourceNotFound(NotFound):
    """There is no item of this key."""

    code = "resource-not-found"


class ResourceExists(Conflict):
    """An item of this key is there already."""

    code = "resource-exists"


class RangeNotSatisfiable(VirtumancerError):
    """The range that was asked for lies behind the end of the content; `size` is how much there is."""

    code = "range-not-satisfiable"
