"""Early answers that reach the client: the server reads the rest of the body for a moment before it answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = 1.0


class DrainBody:
    """ASGI middleware: before an early answer it reads the rest of the body, for a second at most, and drops it.

    Many clients send the whole body before they read. If the connection closed earlier, they would not see the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # A client that expects "100 Continue" sends no body before it; reading would ask for the body.
        if scope["type"] != "http" or scope["method"] != "POST" or b"expect" in dict(scope["headers"]):
            await self.app(scope, receive, send)
            return
        is_whole = False

        async def receive_noted() -> Message:
            nonlocal is_whole
            message = await receive()
            is_whole = not message.get("more_body", False)
            return message

        async def send_drained(message: Message) -> None:
            if message["type"] == "http.response.start":
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SECONDS):
                        while not is_whole:
                            await receive_noted()
            await send(message)

        await self.app(scope, receive_noted, send_drained)
