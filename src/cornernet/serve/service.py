"""From a request to its result: admission, reading, decoding, the network."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request

from cornernet.errors import InputError
from cornernet.inference.api import BaseDetector
from cornernet.media.images import Pixels
from cornernet.serve.batcher import Batcher
from cornernet.serve.limits import Limits, RequestError
from cornernet.serve.metrics import ServerMetrics
from cornernet.serve.responses import detections_as_jpeg, explanation_as_json
from cornernet.serve.upload import check_head, decode_upload, read_upload
from cornernet.structures import Detections


class Service:
    """A detector for many clients at once. A request is accepted only if it can be answered in time."""

    def __init__(self, detector: BaseDetector, settings: Limits) -> None:
        self.detector, self.settings = detector, settings
        self.inside = 0
        self.metrics = ServerMetrics(lambda: self.inside)
        self.batcher = Batcher(detector, size=settings.batch_size, wait=settings.batch_wait, metrics=self.metrics)
        # The next batch is decoded during this one; pixels of a whole queue would be too many.
        self._decoded = asyncio.Semaphore(2 * settings.batch_size)

    async def predict(self, request: Request) -> Detections:
        """All detections in a request's image. Raises ``RequestError`` for a request that cannot be answered."""
        async with self._admitted(request) as data, self._image(data) as image:
            return await self.batcher.detect(image)

    async def picture(self, request: Request, threshold: float) -> bytes:
        """A request's image as a JPEG with its boxes of at least ``threshold``. Raises as ``predict``."""
        async with self._admitted(request) as data, self._image(data) as image:
            found = await self.batcher.detect(image)
            return await asyncio.to_thread(detections_as_jpeg, image, found, threshold)

    async def explain(self, request: Request) -> dict[str, Any]:
        """All boxes of a request's image with corners and heatmaps, for JSON. Raises as ``predict``, or with 501."""
        if not self.detector.can_explain:
            what = "an exported file gives boxes and no heatmaps"
            raise RequestError(501, what, fix="serve the weights it was made from")
        async with self._admitted(request) as data, self._image(data) as image:
            seen = await self.batcher.explain(image)
            return await asyncio.to_thread(explanation_as_json, seen, self.detector)

    @asynccontextmanager
    async def _admitted(self, request: Request) -> AsyncIterator[bytes]:
        """The image's bytes of a request that is accepted; it counts as one of the waiting ones inside the block."""
        check_head(request, self.settings)
        expected = self.inside * self.batcher.seconds_per_image
        if self.inside >= self.settings.queue or expected > self.settings.timeout:
            seconds = max(1, math.ceil(self.batcher.seconds_per_image))
            what, fix = f"{self.inside} requests are waiting already", f"try again in {seconds} s"
            raise RequestError(503, what, fix=fix, headers={"Retry-After": str(seconds)})
        self.inside += 1
        try:
            yield await read_upload(request, self.settings)
        finally:
            self.inside -= 1

    @asynccontextmanager
    async def _image(self, data: bytes) -> AsyncIterator[Pixels]:
        """The pixels, and limited time for what is done with them."""
        limit = self.settings.timeout
        try:
            async with asyncio.timeout(limit), self._decoded:
                yield await asyncio.to_thread(decode_upload, data, self.settings.max_pixels)
        except TimeoutError:
            fix = "try again later, or send a smaller image"
            raise RequestError(504, f"no answer within {limit:g} s", fix=fix) from None
        except InputError as error:  # its own fix is for the command line
            fix = "send a smaller image, or start the server with --max-size"
            raise RequestError(413, error.what, error.where, fix) from None
