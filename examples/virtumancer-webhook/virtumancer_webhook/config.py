"""The settings: where to, with which token, and how long it may take."""

import asyncio
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from virtumancer.contracts import PluginConfig, Secret
from virtumancer.errors import HypervisorError
from virtumancer_webhook.posting import PostFailed, post


class WebhookConfig(PluginConfig, frozen=True):
    """The table `[plugins.webhook]`; without a `url` nothing is told to anybody."""

    url: Annotated[str, Meta(description="Where events are posted, http or https.")] = ""
    token: Secret | None = None
    timeout: Annotated[float, Meta(gt=0, le=30, extra={"unit": "seconds"})] = 5.0

    def __post_init__(self) -> None:
        if self.url and (urlsplit(self.url).scheme not in {"http", "https"} or not urlsplit(self.url).hostname):
            raise ValueError("url is no http:// or https:// address")

    async def check(self) -> None:
        """Post an event that says it is a test."""
        if not self.url:
            return
        try:
            await asyncio.to_thread(post, self.url, self.token, {"type": "test"}, self.timeout)
        except PostFailed as error:
            raise HypervisorError(f"{self.url} does not take events: {error}") from error
