"""`virtumancer check-config`: the configuration, what the plugins say of theirs, and what is in effect."""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from virtumancer.cli.options import ConfigFile
from virtumancer.cli.output import complain, log_quietly, say
from virtumancer.config import describe, load_config
from virtumancer.contracts import PluginConfig, PluginState
from virtumancer.errors import VirtumancerError

if TYPE_CHECKING:
    from virtumancer.plugins import Plugins

__all__ = ["check_config"]

EXIT_FAILED = 1
# What a plugin may take to test its configuration against the world.
CHECK_TIMEOUT = 10.0


def check_config(*, config: ConfigFile = None) -> None:
    """Check configuration file, environment and plugins, and print what is in effect; secrets are masked.

    The exit code is 2 when something is wrong in the configuration, 1 when a plugin's own test of it fails.
    """
    # Loading plugins imports all they need, which `--help` should not wait for.
    from virtumancer.http.routes import reserved_names  # noqa: PLC0415
    from virtumancer.plugins import load_configured_plugins  # noqa: PLC0415
    from virtumancer.services.auth import BUILT_IN, GroupGrants  # noqa: PLC0415
    from virtumancer.services.auth.oidc import oidc_login  # noqa: PLC0415

    settings = load_config(config, os.environ, {})
    log_quietly(settings)
    groups = [GroupGrants("access.groups", settings.access.groups), GroupGrants("oidc.roles", settings.oidc.roles)]
    oidc_login(settings.oidc)
    plugins = load_configured_plugins(settings.plugins, reserved_names())
    known = BUILT_IN | plugins.rights()
    misspelt = [complaint for table in groups for complaint in table.misspelt(known)]
    wrong = [f"plugin {info.name}: {info.reason}" for info in plugins.infos if info.phase == "configure"]
    if wrong:
        complain("the configuration of plugins is wrong:\n  " + "\n  ".join(wrong))
    if misspelt:
        complain("grants name rights that no plugin has either:\n  " + "\n  ".join(misspelt))
    _warn(plugins)
    say(describe(settings))
    failures = asyncio.run(_tested(plugins.configs))
    for name in plugins.configs:
        say(f"# plugins.{name}: {failures.get(name, 'ok')}")
    if failures:
        sys.stderr.write(f"virtumancer: {len(failures)} of the plugins' own tests failed\n")
        raise SystemExit(EXIT_FAILED)


def _warn(plugins: "Plugins") -> None:
    """Name what is not wrong in the configuration, and yet probably not what was meant."""
    unusable = (PluginState.FAILED, PluginState.INCOMPATIBLE)
    notes = [*plugins.doubts]
    notes += [f"plugin {info.name} is {info.state}: {info.reason}" for info in plugins.infos if info.state in unusable]
    for note in notes:
        sys.stderr.write(f"virtumancer: warning: {note}\n")


async def _tested(configs: Mapping[str, PluginConfig]) -> Mapping[str, str]:
    """Let each configuration test itself, all at once; returns what failed, by plugin."""
    outcomes = await asyncio.gather(*(_test(config) for config in configs.values()))
    return {name: reason for name, reason in zip(configs, outcomes, strict=True) if reason}


async def _test(config: PluginConfig) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await config.check()
    except VirtumancerError as error:
        return error.message
    except TimeoutError:
        return f"its test did not finish within {CHECK_TIMEOUT:g} s"
    except Exception as error:  # noqa: BLE001 - a plugin's own trouble
        return f"its test failed: {type(error).__name__}: {error}"
    return ""
