"""The listener: every event as a JSON object with its type."""

import asyncio

import msgspec

from virtumancer.contracts import Event, EventListener
from virtumancer_webhook.config import WebhookConfig
from virtumancer_webhook.posting import post


class WebhookListener(EventListener):
    """Posts events one after the other; when the other end is slow or away, some are missed, and it is told so."""

    name = "webhook"
    # Longer than the longest timeout of the configuration: a thread cannot be called off.
    timeout = 35.0

    def __init__(self, config: WebhookConfig) -> None:
        self._config = config

    async def on_event(self, event: Event) -> None:
        """Post it; a failure is counted for this plugin, which rests for a while after some."""
        document = {"type": type(event).__name__, **msgspec.structs.asdict(event)}
        await asyncio.to_thread(post, self._config.url, self._config.token, document, self._config.timeout)
