"""The application behind a socket, from the first connection to the last answer."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from cornernet.errors import InputError
from cornernet.serve.limits import Limits

_CONNECTIONS = 512  # besides those that wait in the queue: fewer than the files that a process may open


def bind(host: str, port: int) -> socket.socket:
    """A socket at that address; port 0 gives any free port. Raises ``InputError`` if the address cannot be used."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        place = socket.socket(family, socket.SOCK_STREAM)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        where = f"--host {host} --port {port}"
        raise InputError(str(reason), where, "choose another address or port") from None
    return place


def run_server(app: FastAPI, place: socket.socket, settings: Limits) -> None:
    """Answer requests until SIGTERM or SIGINT; then accept no more, answer those that have begun, and return."""
    config = uvicorn.Config(
        app,
        http=_with_idle_limit(settings.timeout),
        ws="none",
        log_level="warning",
        limit_concurrency=settings.queue + _CONNECTIONS,
        timeout_graceful_shutdown=2 * round(settings.timeout) + 5,  # a body and its answer
    )
    server = uvicorn.Server(config)

    def end(*_: Any) -> None:
        server.should_exit = True

    # uvicorn raises the signal again when it has drained, which would end the process by it.
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[place])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_idle_limit(seconds: float) -> type[H11Protocol]:
    """uvicorn's HTTP protocol with a time limit for idle connections; uvicorn itself has none."""

    class IdleLimit(H11Protocol):
        """Closes a connection that has had no request to answer for ``seconds``: its request does not arrive, its
        answer is not read, or it goes on sending after the answer."""

        end: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self.end:
                self.end.cancel()

        def _watch(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                if self.end:
                    self.end.cancel()
                self.end = None
            elif self.end is None:
                self.end = self.loop.call_later(seconds, self.transport.abort)

    return IdleLimit
