"""What the load was promised, and everything that it met and should not have."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Ledger:
    """Kept by the load, read by the checks at the end."""

    answers: Counter[str] = field(default_factory=Counter)
    """How often each method was answered with each status."""
    wrong: list[str] = field(default_factory=list)
    """Each thing that should never happen, as a sentence."""
    starts: Counter[str] = field(default_factory=Counter)
    """How often each VM was started for certain, by name."""
    maybe: Counter[str] = field(default_factory=Counter)
    """How often each VM may have been started besides: the server said that it does not know."""
    notes: dict[str, set[str]] = field(default_factory=dict)
    """What may stand in the notes of each VM: what was last acknowledged, or what was asked for after that."""
    events: int = 0
    gaps: int = 0
    consoles: int = 0

    def blame(self, sentence: str) -> None:
        """Take note of what should not have happened; the first hundred are enough."""
        if len(self.wrong) < 100:
            self.wrong.append(sentence)
