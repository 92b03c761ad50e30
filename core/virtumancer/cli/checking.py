"""`virtumancer check-config`."""

import os

from virtumancer.cli.options import ConfigFile
from virtumancer.cli.output import say
from virtumancer.config import describe, load_config

__all__ = ["check_config"]


def check_config(*, config: ConfigFile = None) -> None:
    """Check configuration file and environment, and print what is in effect; secrets are masked."""
    say(describe(load_config(config, os.environ, {})))
