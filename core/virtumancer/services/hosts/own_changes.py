"""What this process changes just now: whatever was read from a shared store meanwhile decides nothing about that."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["OwnChanges"]


class OwnChanges:
    """Counts changes by what they are about; `count` is another number after each of them."""

    def __init__(self) -> None:
        self.count = 0
        self._under_way: Counter[str] = Counter()

    def __contains__(self, key: str) -> bool:
        """Say whether something is being changed."""
        return self._under_way[key] > 0

    @contextmanager
    def change(self, key: str) -> Generator[None]:
        """Change something in this context."""
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            self._under_way += Counter()  # drops what is done
            self.count += 1
