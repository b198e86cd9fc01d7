"""A proxy before an object store that answers 503, drops connections and keeps answers back, at random."""

from __future__ import annotations

import http.client
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
_OF_TRANSFER = ("transfer-encoding", "content-length", "expect", "connection")
_SILENCE = 25.0  # seconds: longer than a client waits


class FaultyProxy:
    """Forwards to a port of this machine; a ``share`` of the requests meets a fault. Begins and ends with a block.

    The faults: 503 before or after the request was done, a connection that ends without an answer, before or after,
    and, rarely, silence until the client gives up.
    """

    def __init__(self, target: int, share: float, seed: int) -> None:
        self.target, self.share, self.random = target, share, random.Random(seed)
        self.lock, self.count = threading.Lock(), 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def take_count(self) -> int:
        """The number of faults since the last call."""
        with self.lock:
            count, self.count = self.count, 0
        return count

    def draw(self) -> str:
        """The fault of a request, ``""`` for none."""
        with self.lock:
            if self.random.random() >= self.share:
                return ""
            self.count += 1
            kinds = ["503 before", "503 after", "drop before", "drop after"] * 5 + ["silence before", "silence after"]
            return self.random.choice(kinds)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                body = self.body()
                fault = proxy.draw()
                answer = None if fault.endswith("before") else self.ask(body)
                if fault.startswith("silence"):
                    time.sleep(_SILENCE)
                if fault.startswith(("silence", "drop")):
                    self.close_connection = True
                elif fault or answer is None:
                    self.reply(503, [("Content-Type", "application/xml")], _SLOW_DOWN)
                else:
                    self.reply(*answer)

            def body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                chunks = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():  # trailers
                    pass
                return b"".join(chunks)

            def ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                connection = http.client.HTTPConnection("127.0.0.1", proxy.target, timeout=60)
                kept = {name: value for name, value in self.headers.items() if name.lower() not in _OF_TRANSFER}
                connection.request(self.command, self.path, body, kept | {"Content-Length": str(len(body))})
                answer = connection.getresponse()
                found = answer.status, answer.getheaders(), answer.read()
                connection.close()
                return found

            def reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response_only(status)
                sized = self.command == "HEAD"
                for name, value in headers:
                    if name.lower() not in ("connection", "transfer-encoding", "content-length") or (
                        sized and name.lower() == "content-length"
                    ):
                        self.send_header(name, value)
                if not sized:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if not sized:
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        for name in ("GET", "PUT", "POST", "HEAD", "DELETE"):
            setattr(Handler, f"do_{name}", Handler.forward)
        return Handler
