"""What the reference says of each hook: its arguments, since when it is there, and an example that works."""

import inspect
from collections.abc import Sequence
from textwrap import dedent
from types import ModuleType

import pytest
from virtumancer_reference.hooks import specifications

from tests.docs.pages import ROOT, blocks, page
from virtumancer import contracts, hookimpl
from virtumancer.contracts import VERSION

HOOKS = {hook.__name__: hook for hook in specifications()}

# What the examples take for granted: the author's own classes.
PRELUDE = """
class MyConfig(PluginConfig, frozen=True):
    address: str = "here"
    secret: Secret = Secret("a secret", "here")

class MyDriver(HostDriver):
    schemes = frozenset({"my"})

    def __init__(self, address):
        self.address = address

    async def connect(self, host, context):
        raise NotImplementedError

class MyCollector(StatsCollector):
    name = "mine"

    async def collect(self, context):
        return []

class MyTransport(ConsoleTransport):
    kind = suffix = "mine"

    async def open(self, connection, vm, session, head=None):
        raise NotImplementedError

class MyListener(EventListener):
    name = "mine"

    def __init__(self, address):
        self.address = address

    async def on_event(self, event):
        pass

class MyLifespan(Lifespan):
    name = "mine"

    def __init__(self, address):
        self.address = address

    def open(self, context):
        raise NotImplementedError

class Nudge(msgspec.Struct):
    pass

class Nudges(msgspec.Struct):
    count: int = 0

async def nudge(context, vm, params):
    pass

async def tidy(context, params):
    return Nudges()

async def count(request):
    return Nudges()
"""


def example(name: str) -> ModuleType:
    """The example of a hook as a module, beside what it takes for granted."""
    [code] = blocks(inspect.getdoc(HOOKS[name]) or "", "python")
    module = ModuleType(name)
    module.__dict__.update({n: getattr(contracts, n) for n in contracts.__all__}, hookimpl=hookimpl)
    exec(compile(f"import msgspec\n{PRELUDE}\n{dedent(code)}", name, "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("name", HOOKS)
def test_the_example_of_a_hook_works(name: str) -> None:
    module = example(name)
    hook = getattr(module, name)

    made = hook(module.MyConfig()) if inspect.signature(hook).parameters else hook()

    if isinstance(made, contracts.PluginTables):
        return
    assert made if isinstance(made, Sequence) else issubclass(made, contracts.PluginConfig)


@pytest.mark.parametrize("name", HOOKS)
def test_the_reference_says_since_when_there_is_a_hook(name: str) -> None:
    text = inspect.getdoc(HOOKS[name]) or ""

    since = [line for line in text.splitlines() if line.startswith("Since ")]

    assert len(since) == 1
    assert "1.0" <= since[0].removeprefix("Since ")[:3] <= VERSION


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_implemented_by_a_test_or_an_example(name: str) -> None:
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]

    others = [file for file in files if file.name != "test_hook_reference.py" and f"def {name}" in file.read_text()]

    assert others, f"no test implements {name}"


def test_every_argument_of_the_hooks_is_explained() -> None:
    arguments = {argument for hook in HOOKS.values() for argument in inspect.signature(hook).parameters}

    assert all(f"`{argument}`" in page("reference/hooks") for argument in arguments)
