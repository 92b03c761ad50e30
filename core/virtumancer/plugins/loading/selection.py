"""Judges each plugin by the configuration and beside the others of its name, before one of them is imported."""

from collections.abc import Collection, Sequence
from importlib.metadata import EntryPoint

from msgspec import Struct
from packaging.utils import canonicalize_name

from virtumancer.contracts import PluginState
from virtumancer.plugins.loading.discovery import Candidate
from virtumancer.plugins.loading.distributions import Distributions
from virtumancer.plugins.loading.lockfile import PluginLock
from virtumancer.plugins.loading.provenance import Fingerprints, added, altered, code_of
from virtumancer.plugins.loading.refusal import described

__all__ = ["Rules", "Verdict", "judge", "judge_by_rules"]


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


def judge(candidates: Sequence[Candidate], rules: Rules, installed: Distributions) -> list[Verdict]:
    """Say of each plugin whether it is loaded: of several with one name the one that is meant, or none."""
    judged = [judge_by_rules(candidate, rules) for candidate in candidates]
    if rules.lock:
        judged = _by_lock(judged, rules.lock, installed)
    judged = [_among_its_name(verdict, judged, rules) for verdict in judged]
    return [_by_its_code(verdict, rules, installed) for verdict in judged]


def judge_by_rules(candidate: Candidate, rules: Rules) -> Verdict:
    """Say whether the configuration lets a plugin in, whatever else there is."""
    reason = ""
    if candidate.name in rules.disabled:
        reason = "disabled in the configuration (plugins.disabled)"
    elif rules.allowed and candidate.name not in rules.allowed:
        reason = "not in plugins.allowed of the configuration"
    elif rules.safe_mode and not candidate.built_in:
        reason = "safe mode: only built-in plugins are loaded"
    return Verdict(candidate, PluginState.DISABLED if reason else PluginState.ACTIVE, reason)


def _by_lock(judged: Sequence[Verdict], lock: PluginLock, installed: Distributions) -> list[Verdict]:
    """Keep what is locked. One that bears the name of a locked plugin is a fault only when that one is not there."""
    prints = Fingerprints(installed)
    refusals = [_refusal(verdict, lock, prints) for verdict in judged]
    pairs = list(zip(judged, refusals, strict=True))
    lost = lock.plugins.keys() - {
        verdict.candidate.name for verdict, refusal in pairs if verdict.loaded and not refusal
    }
    return [_refused(verdict.candidate, refusal, lost) if refusal else verdict for verdict, refusal in pairs]


def _refusal(verdict: Verdict, lock: PluginLock, prints: Fingerprints) -> str:
    try:
        return lock.refusal(verdict.candidate, prints) if verdict.loaded else ""
    except Exception as error:  # noqa: BLE001 - a distribution that is laid out in an odd way stops nobody else
        return f"what its distribution brought cannot be looked at: {described(error)}"


def _refused(candidate: Candidate, refusal: str, lost: Collection[str]) -> Verdict:
    return Verdict(candidate, PluginState.FAILED if candidate.name in lost else PluginState.DISABLED, refusal)


def _among_its_name(verdict: Verdict, judged: Sequence[Verdict], rules: Rules) -> Verdict:
    """Leave one of a name at most: a list means the built-in one; without a list nobody knows which is meant."""
    if not verdict.loaded:
        return verdict
    namesakes = [other for other in judged if other.name == verdict.name]
    built_in = [v.candidate for v in namesakes if v.candidate.built_in and v.candidate.name not in rules.disabled]
    named = [v.candidate for v in namesakes if v.loaded]
    if rules.allowed and not rules.lock and built_in:
        if not verdict.candidate.built_in:
            reason = f"plugins.allowed means the built-in plugin of this name, {built_in[0].origin}"
            return Verdict(verdict.candidate, PluginState.DISABLED, reason)
        named = [candidate for candidate in named if candidate.built_in]
    if len(named) == 1:
        return verdict
    names = " and ".join(dict.fromkeys(repr(candidate.name) for candidate in named))
    what = f"{len(named)} plugins are named {names}" + (", which is one name" if " and " in names else "")
    origins = ", ".join(candidate.origin for candidate in named)
    cure = "remove or rename all but one"
    if built_in:
        cure += ", or name the plugins to load in plugins.allowed, where this name means the built-in one"
    return Verdict(verdict.candidate, PluginState.FAILED, f"{what}: {origins}; none of them is loaded: {cure}")


def _by_its_code(verdict: Verdict, rules: Rules, installed: Distributions) -> Verdict:
    """Refuse a plugin whose package another distribution has taken the place of."""
    if not verdict.loaded or verdict.candidate.entry is None:
        return verdict
    try:
        return _of_its_code(verdict, verdict.candidate.entry, rules, installed)
    except Exception as error:  # noqa: BLE001 - a distribution that is laid out in an odd way stops nobody else
        reason = f"what its distribution brought cannot be looked at: {described(error)}"
        return Verdict(verdict.candidate, PluginState.FAILED, reason)


def _of_its_code(verdict: Verdict, entry: EntryPoint, rules: Rules, installed: Distributions) -> Verdict:
    candidate = verdict.candidate
    code = code_of(entry, installed)
    where = ", ".join(map(str, code.found))
    if code.shadowed:
        own = ", ".join(map(str, code.own))
        reason = f"its package would be imported from {where}, and not from {own}; remove what is in the way"
        return Verdict(candidate, PluginState.FAILED, reason)
    if rules.safe_mode and code.found and not code.own:
        reason = f"safe mode: its package is not part of {candidate.distribution}, it lies at {where}"
        return Verdict(candidate, PluginState.DISABLED, reason)
    brought = f"{candidate.distribution} {candidate.version}"
    reason = ""
    if not (rules.safe_mode or rules.allowed):
        return verdict
    if file := altered(entry, installed):
        reason = f"its file {file} is not the one that {brought} brought: install {brought} again"
    elif file := added(entry, installed):
        reason = f"{file} is in its package, and {brought} did not bring it: remove it"
    return Verdict(candidate, PluginState.FAILED, reason) if reason else verdict
