"""What was read of a definition is kept exactly as long as it is true."""

import pytest

from virtumancer_libvirt.vms.definition import Definition
from virtumancer_libvirt.vms.definition_cache import DefinitionCache

OLD = Definition(description="old")


@pytest.fixture
def cache() -> DefinitionCache:
    cache = DefinitionCache()
    cache.trust()
    return cache


def begin(cache: DefinitionCache) -> int:
    """Look at a host that has these VMs; returns when."""
    return cache.look(["a", "b"])[1]


def test_what_was_read_is_not_read_again(cache: DefinitionCache) -> None:
    cache.store("a", OLD, begin(cache))
    assert cache.look(["a", "b"])[0] == {"a": OLD}
    assert cache.known(["a", "b"]) == {"a": OLD}


def test_what_changed_is_read_again(cache: DefinitionCache) -> None:
    cache.store("a", OLD, begin(cache))
    cache.invalidate("a")
    assert cache.known(["a"]) == {}


def test_a_change_while_it_is_read_leaves_it_unknown(cache: DefinitionCache) -> None:
    began = begin(cache)
    cache.invalidate("a")
    cache.store("a", OLD, began)
    assert cache.known(["a"]) == {}


def test_a_change_of_another_vm_while_it_is_read_does_not_matter(cache: DefinitionCache) -> None:
    began = begin(cache)
    cache.invalidate("b")
    cache.store("a", OLD, began)
    assert cache.known(["a"]) == {"a": OLD}


def test_missed_events_while_it_is_read_leave_it_unknown(cache: DefinitionCache) -> None:
    began = begin(cache)
    cache.invalidate_all()
    cache.store("a", OLD, began)
    assert cache.known(["a"]) == {}


def test_it_is_kept_again_when_read_after_the_change(cache: DefinitionCache) -> None:
    cache.invalidate("a")
    cache.invalidate_all()
    cache.store("a", OLD, begin(cache))
    assert cache.known(["a"]) == {"a": OLD}


def test_a_vm_that_is_gone_is_forgotten(cache: DefinitionCache) -> None:
    cache.store("a", OLD, begin(cache))
    cache.look(["b"])
    assert cache.known(["a"]) == {}


def test_without_events_nothing_is_kept() -> None:
    cache = DefinitionCache()
    cache.store("a", OLD, begin(cache))
    assert cache.known(["a"]) == {}
