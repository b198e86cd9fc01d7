"""Refusals that arrive: the rest of a body is heard out for a moment before an early answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = 1.0


class DrainBody:
    """ASGI middleware: before an answer that comes early, reads on for a second at most and drops what it reads.

    Many clients send everything before they read; with the connection closed they would never see the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # Who expects "100 Continue" waits for it with the body: to read would be to ask for it.
        if scope["type"] != "http" or scope["method"] != "POST" or b"expect" in dict(scope["headers"]):
            await self.app(scope, receive, send)
            return
        is_whole = False

        async def noting() -> Message:
            nonlocal is_whole
            message = await receive()
            is_whole = not message.get("more_body", False)
            return message

        async def lingering(message: Message) -> None:
            if message["type"] == "http.response.start":
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SECONDS):
                        while not is_whole:
                            await noting()
            await send(message)

        await self.app(scope, noting, lingering)
