"""The lab's error."""


class LabError(RuntimeError):
    """Something of the lab failed to start, to stop or to answer."""
