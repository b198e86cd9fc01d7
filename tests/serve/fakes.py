"""A detector whose pace a test sets, and a server around it."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from cornernet.errors import InputError
from cornernet.inference.api import BaseDetector
from cornernet.serve.app import make_app
from cornernet.serve.limits import Limits
from cornernet.serve.service import Service
from cornernet.structures import Detections, Explanation


class FakeDetector(BaseDetector):
    """One box over the image's left half, whose score is its first pixel; notes which images shared a pass.

    It waits before each pass while ``go`` is not set, and trips on images whose first pixel is black.
    """

    threshold = 0.3
    class_names = ("left",)
    can_explain = False

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.began = threading.Event()

    def explain(self, image: np.ndarray) -> Explanation:
        raise NotImplementedError

    def pass_key(self, image: np.ndarray) -> tuple[int, ...]:
        return image.shape

    def stream(self, images: list[np.ndarray], batch_size: int = 1, *, min_score: float = 0.0) -> Iterator[Detections]:
        self.began.set()
        assert self.go.wait(30)
        firsts = [int(image[0, 0, 0]) for image in images]
        if len(images) > 1 and 1 in firsts:
            raise InputError("too much memory for all", "image", "scale it down with --max-size")
        if 2 in firsts:
            raise InputError("too much memory for one", "image", "scale it down with --max-size")
        if 0 in firsts:
            raise RuntimeError("tripped")
        self.batches.append(firsts)
        for image, first in zip(images, firsts, strict=True):
            height, width = image.shape[:2]
            yield Detections([[0, 0, width / 2, height]], [first / 255], [0], self.class_names, (height, width))


@contextmanager
def serving(detector, *, token: str | None = None, **settings) -> Iterator[TestClient]:
    """A client of a server in this process, closed and drained with the block."""
    service = Service(detector, Limits(**settings))
    with TestClient(make_app(service, "fake", "cpu", token), raise_server_exceptions=False) as client:
        yield client


def png(first: int = 200, height: int = 20, width: int = 30) -> bytes:
    """A grey image's file."""
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), first, np.uint8)).save(file, "PNG")
    return file.getvalue()
