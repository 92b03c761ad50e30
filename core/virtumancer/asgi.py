"""For other ASGI servers: `uvicorn --factory virtumancer.asgi:application`, configured by environment and file."""

import logging
import os

from virtumancer.app import Application, create_app
from virtumancer.config import load_config
from virtumancer.logs import configure_logging

__all__ = ["application"]


def application() -> Application:
    """Build the application from `VIRTUMANCER_…` and the configuration file."""
    config = load_config(None, os.environ, {})
    configure_logging(config.log)
    # What uvicorn says of each WebSocket holds its query, where a console's ticket may be.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return create_app(config)
