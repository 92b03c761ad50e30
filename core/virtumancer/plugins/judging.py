"""Judges each plugin by the configuration and beside the others of its name, before one of them is imported."""

from collections.abc import Collection, Sequence

from msgspec import Struct
from packaging.utils import canonicalize_name

from virtumancer.contracts import PluginState
from virtumancer.plugins.candidates import Candidate
from virtumancer.plugins.lock import PluginLock
from virtumancer.plugins.provenance import Fingerprints, altered, code_of

__all__ = ["Rules", "Verdict", "judge"]


class Rules(Struct, frozen=True):
    """What the configuration says about which plugins are loaded."""

    disabled: Collection[str] = ()
    allowed: Collection[str] = ()
    safe_mode: bool = False
    lock: PluginLock | None = None


class Verdict(Struct, frozen=True):
    """What becomes of a plugin: it is loaded when its state is `ACTIVE`, else the reason says why it is not."""

    candidate: Candidate
    state: PluginState = PluginState.ACTIVE
    reason: str = ""

    @property
    def name(self) -> str:
        """The name in the form that is the same for all ways to spell it."""
        return canonicalize_name(self.candidate.name)

    @property
    def loaded(self) -> bool:
        """Whether the plugin is to be loaded."""
        return self.state is PluginState.ACTIVE

    @property
    def phase(self) -> str:
        """Where a plugin failed that is not used; empty for one that is left out on purpose."""
        return "resolve" if self.state is PluginState.FAILED else ""


def judge(candidates: Sequence[Candidate], rules: Rules) -> list[Verdict]:
    """Say of each plugin whether it is loaded: of several with one name the one that is meant, or none."""
    judged = [_by_rules(candidate, rules) for candidate in candidates]
    if rules.lock:
        judged = _by_lock(judged, rules.lock)
    judged = [_among_its_name(verdict, judged, rules) for verdict in judged]
    return [_by_its_code(verdict, rules) for verdict in judged]


def _by_rules(candidate: Candidate, rules: Rules) -> Verdict:
    reason = ""
    if candidate.name in rules.disabled:
        reason = "disabled in the configuration (plugins.disabled)"
    elif rules.allowed and candidate.name not in rules.allowed:
        reason = "not in plugins.allowed of the configuration"
    elif rules.safe_mode and not candidate.built_in:
        reason = "safe mode: only built-in plugins are loaded"
    return Verdict(candidate, PluginState.DISABLED if reason else PluginState.ACTIVE, reason)


def _by_lock(judged: list[Verdict], lock: PluginLock) -> list[Verdict]:
    """Keep what is locked. One that bears the name of a locked plugin is a fault only when that one is not there."""
    prints = Fingerprints()
    refusals = [lock.refusal(v.candidate, prints) if v.loaded else "" for v in judged]
    there = {v.candidate.name for v, refusal in zip(judged, refusals, strict=True) if v.loaded and not refusal}
    return [
        Verdict(
            v.candidate,
            PluginState.FAILED if v.candidate.name in lock.plugins.keys() - there else PluginState.DISABLED,
            refusal,
        )
        if refusal
        else v
        for v, refusal in zip(judged, refusals, strict=True)
    ]


def _among_its_name(verdict: Verdict, judged: Sequence[Verdict], rules: Rules) -> Verdict:
    """Leave one of a name at most: a list means the built-in one; without a list nobody knows which is meant."""
    named = [other.candidate for other in judged if other.loaded and other.name == verdict.name]
    if not verdict.loaded or len(named) == 1:
        return verdict
    built_in = [candidate for candidate in named if candidate.built_in]
    if rules.allowed and len(built_in) == 1:
        if verdict.candidate is built_in[0]:
            return verdict
        reason = f"plugins.allowed means the built-in plugin of this name, {built_in[0].origin}"
        return Verdict(verdict.candidate, PluginState.DISABLED, reason)
    names = " and ".join(dict.fromkeys(repr(candidate.name) for candidate in named))
    what = f"{len(named)} plugins are named {names}" + (", which is one name" if " and " in names else "")
    origins = ", ".join(candidate.origin for candidate in named)
    cure = "remove or rename all but one"
    if built_in:
        cure += ", or name the plugins to load in plugins.allowed, where this name means the built-in one"
    return Verdict(verdict.candidate, PluginState.FAILED, f"{what}: {origins}; none of them is loaded: {cure}")


def _by_its_code(verdict: Verdict, rules: Rules) -> Verdict:
    """Refuse a plugin whose package another distribution has taken the place of."""
    candidate = verdict.candidate
    if not verdict.loaded or candidate.entry is None:
        return verdict
    code = code_of(candidate.entry)
    where = ", ".join(map(str, code.found))
    if code.shadowed:
        own = ", ".join(map(str, code.own))
        reason = f"its package would be imported from {where}, and not from {own}; remove what is in the way"
        return Verdict(candidate, PluginState.FAILED, reason)
    if rules.safe_mode and code.found and not code.own:
        reason = f"safe mode: its package is not part of {candidate.distribution}, it lies at {where}"
        return Verdict(candidate, PluginState.DISABLED, reason)
    if (rules.safe_mode or rules.allowed) and (file := altered(candidate.entry)):
        brought = f"{candidate.distribution} {candidate.version}"
        reason = f"its file {file} is not the one that {brought} brought: install {brought} again"
        return Verdict(candidate, PluginState.FAILED, reason)
    return verdict
