"""What authors get wrong is a sentence in their plugin's reason, with what is wrong and what to do."""

from types import ModuleType
from typing import Any

import pytest

from virtumancer.app import reserved_names
from virtumancer.contracts import PluginState
from virtumancer.plugins import load_plugins

BEFORE = """
from virtumancer import hookimpl
from virtumancer.contracts import HostAction, Right, Route, StatsCollector, VMAction, VMState

class Mine(StatsCollector):
    name = "mine"

    async def collect(self, context):
        return []

async def run(context, vm, params): ...
async def run_on_host(context, params): ...
async def handle(request): ...

def action(**fields):
    return VMAction(**{"name": "x", "title": "X", "description": "X.", "run": run, **fields})

def host_action(**fields):
    return HostAction(**{"name": "x", "title": "X", "description": "X.", "run": run_on_host, **fields})

def route(**fields):
    return Route(**{"method": "GET", "path": "x", "summary": "X.", "handle": handle, **fields})
"""
ACTIONS = "@hookimpl\ndef virtumancer_vm_actions():\n    return "
HOST_ACTIONS = "@hookimpl\ndef virtumancer_host_actions():\n    return "
COLLECTORS = "@hookimpl\ndef virtumancer_stats_collectors():\n    return "
ROUTES = "@hookimpl\ndef virtumancer_routes():\n    return "


def info_of(code: str) -> Any:
    plugin = ModuleType("plugin_of_an_author")
    exec(compile(BEFORE + code, "plugin_of_an_author.py", "exec"), plugin.__dict__)
    loaded = load_plugins(extra={"mine": plugin}, allowed=["mine"], reserved=reserved_names())
    return next(info for info in loaded.infos if info.name == "mine")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "@hookimpl\ndef virtumancer_vm_actions():\n    [action()]",
            (
                "virtumancer_vm_actions of plugin 'mine' returned None: a list or tuple is needed, an empty one "
                "when there "
                "is nothing to add. Is a `return` missing?"
            ),
        ),
        (
            f"{ACTIONS}action()",
            (
                "virtumancer_vm_actions of plugin 'mine' returned an object of VMAction: a list or tuple is needed, an "
                "empty one when there is nothing to add. Put it in brackets"
            ),
        ),
        (
            "@hookimpl\ndef virtumancer_vm_actions():\n    yield action()",
            "virtumancer_vm_actions of plugin 'mine' is a generator: return a list of what it yields",
        ),
        (
            "@hookimpl\nasync def virtumancer_vm_actions():\n    return []",
            (
                "virtumancer_vm_actions of plugin 'mine' is async: a hook must be a plain function; what has to "
                "be awaited "
                "is a method of what it returns"
            ),
        ),
        (
            "@hookimpl\ndef virtumancer_vm_actions(conf):\n    return []",
            (
                "virtumancer_vm_actions of plugin 'mine' has an argument 'conf', which is not handed to it; "
                "leave it out; "
                "did you mean 'config'?"
            ),
        ),
        (
            "@hookimpl\ndef virtumancer_config(config):\n    return None",
            "virtumancer_config of plugin 'mine' has an argument 'config', which is not handed to it; leave it out",
        ),
        (
            "@hookimpl\ndef virtumancer_vm_action():\n    return []",
            (
                "plugin 'mine' has a hook 'virtumancer_vm_action', which does not exist; did you mean "
                "'virtumancer_vm_actions'?"
            ),
        ),
        (
            "def virtumancer_vm_actions():\n    return []",
            "virtumancer_vm_actions of plugin 'mine' is not marked as a hook: write @hookimpl above it",
        ),
        (
            f"{ACTIONS}[Mine]",
            (
                "virtumancer_vm_actions of plugin 'mine' returned the class Mine, VMAction objects are needed; "
                "return it "
                "from virtumancer_stats_collectors"
            ),
        ),
        (
            f"{COLLECTORS}[action()]",
            (
                "virtumancer_stats_collectors of plugin 'mine' returned an object of VMAction, a subclass of "
                "StatsCollector is needed; return it from virtumancer_vm_actions"
            ),
        ),
        (
            f"{ACTIONS}[VMAction]",
            (
                "virtumancer_vm_actions of plugin 'mine' returned the class VMAction, VMAction objects are "
                "needed; return "
                "VMAction(…), with its attributes"
            ),
        ),
        (
            f"{ACTIONS}[action(permission='powr')]",
            "action 'x': there is no right 'powr'; did you mean 'power'? A right of your own needs a name less like it",
        ),
        (
            f"{HOST_ACTIONS}[host_action(permission='host')]",
            (
                "host action 'x': there is no right 'host'; did you mean 'hosts'? A right of your own needs a "
                "name less "
                "like it"
            ),
        ),
        (
            f"{ROUTES}[route(permission='raed')]",
            (
                "the route GET x: there is no right 'raed'; did you mean 'read'? A right of your own needs a name less "
                "like it"
            ),
        ),
        (
            f"{ROUTES}[route(permission='')]",
            "the route GET x: permission = '' is no right: write one as 'power', in lower-case letters, digits and -",
        ),
        (
            f"{ACTIONS}[action(run=run_on_host)]",
            "action 'x': run cannot be called as run(context, vm, params): too many positional arguments",
        ),
        (
            f"{HOST_ACTIONS}[host_action(run=run)]",
            "host action 'x': run cannot be called as run(context, params): missing a required argument: 'params'",
        ),
        (
            f"{ROUTES}[route(handle=run)]",
            "the route GET x: handle cannot be called as handle(request): missing a required argument: 'vm'",
        ),
        (
            f"{ACTIONS}[action(states=frozenset({{'running'}}))]",
            "action 'x': states = frozenset({'running'}) is no set of VMState such as frozenset({VMState.RUNNING})",
        ),
        (f"{ACTIONS}[action(title=None)]", "action 'x': title = None is no text"),
        (
            f"{ACTIONS}[action(descripton='X.')]",
            "virtumancer_vm_actions of plugin 'mine' raised TypeError: Unexpected keyword argument 'descripton'",
        ),
    ],
)
def test_a_slip_of_an_author_is_a_sentence(code: str, said: str) -> None:
    info = info_of(code)

    assert (info.state, info.reason) == (PluginState.FAILED, said)


@pytest.mark.parametrize(
    "code",
    [
        f"{ACTIONS}[action(permission='hibernate')]",
        f"{ACTIONS}[action(permission=Right.POWER)]",
        f"{ACTIONS}[action(states=[VMState.RUNNING], goal={{VMState.SHUTOFF}})]",
        f"{ACTIONS}()",
        f"{ROUTES}[route(permission='counts', handle=lambda *every: handle(*every))]",
    ],
)
def test_what_is_no_slip_is_taken(code: str) -> None:
    assert info_of(code).state is PluginState.ACTIVE
