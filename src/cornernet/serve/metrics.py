"""Counters and times of a server, in Prometheus' text format."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ServerMetrics:
    """Counters and histograms of one server; ``waiting`` returns how many requests are not yet answered."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("cornernet_requests", "Requests answered", ("route", "code"), registry=self.registry)
        self.seconds = Histogram(
            "cornernet_request_seconds",
            "From a request's head to its answer's end",
            ("route",),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.images = Counter("cornernet_images", "Images that the network looked at", registry=self.registry)
        self.batch = Histogram(
            "cornernet_batch_images", "Images that shared a pass", registry=self.registry, buckets=(1, 2, 4, 8, 16, 32)
        )
        self.passes = Histogram(
            "cornernet_pass_seconds", "One pass of a batch, boxes included", registry=self.registry, buckets=_SECONDS
        )
        queue = Gauge("cornernet_queue_length", "Requests accepted and not yet answered", registry=self.registry)
        queue.set_function(waiting)

    def text(self) -> bytes:
        """All figures in the text format."""
        return generate_latest(self.registry)


class Measured:
    """ASGI middleware: counts and times every request, failed ones too, and adds ``headers`` to its answer."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics, headers: dict[str, str]) -> None:
        self.app, self.metrics = app, metrics
        self.headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, code = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        try:
            await self.app(scope, receive, counted)
        finally:
            route = getattr(scope.get("route"), "path", "other")  # not the path: clients may invent paths
            self.metrics.requests.labels(route, str(code)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - start)
