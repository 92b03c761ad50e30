"""Tells a web address what happens: one POST with a JSON object for each event."""

from collections.abc import Sequence

from virtumancer import hookimpl
from virtumancer.contracts import EventListener, PluginConfig
from virtumancer_webhook.config import WebhookConfig
from virtumancer_webhook.listener import WebhookListener

REQUIRES_CONTRACTS = ">=1.1,<2"


@hookimpl
def virtumancer_config() -> type[PluginConfig]:
    """Read the address and the token."""
    return WebhookConfig


@hookimpl
def virtumancer_event_listeners(config: WebhookConfig) -> Sequence[EventListener]:
    """Listen, when there is an address to tell."""
    return [WebhookListener(config)] if config.url else []
