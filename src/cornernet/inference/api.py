"""The interface of every detector. It does not need torch."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar, overload

import numpy as np
from PIL.Image import Image

from cornernet.config import Decoding, Preprocessing
from cornernet.errors import InputError
from cornernet.later import later
from cornernet.media.images import Pixels, read_image, to_rgb
from cornernet.structures import Detections, Explanation

AnyImage = str | os.PathLike[str] | np.ndarray | Image
Item = TypeVar("Item")


class BaseDetector(ABC):
    """A trained network with its settings: call it with images.

    ``threshold`` is the lowest score that is shown. ``max_size`` is the largest length in pixels of an image's longer
    side: larger images are scaled down, and their boxes back. ``can_explain`` says whether ``explain`` works.
    """

    class_names: tuple[str, ...]
    threshold: float
    preprocessing: Preprocessing
    decoding: Decoding
    max_size: int | None
    can_explain: bool

    def __repr__(self) -> str:
        kind, classes = type(self).__name__, len(self.class_names)
        return f"{kind}({classes} classes, {', '.join(self.class_names[:5])}{' ...' if classes > 5 else ''})"

    @overload
    def __call__(self, images: list[Any], *, min_score: float = 0.0) -> list[Detections]: ...
    @overload
    def __call__(self, images: AnyImage, *, min_score: float = 0.0) -> Detections: ...
    def __call__(self, images: Any, *, min_score: float = 0.0) -> Any:
        """Detections of one image, or a list of them for a list of images.

        An image is a path, a PIL image, or an array (H, W), (H, W, 3) RGB or (H, W, 4) of uint8 or uint16; a tuple is
        taken as a list. The best ``decoding.num_boxes`` (of each tile) are returned: 100, if the weights have no other
        number. ``detections.above(detector.threshold)`` are those to show. ``stream`` runs several images at once.
        """
        if isinstance(images, Iterator):
            raise InputError("images that come one after another", "images", "give them to stream(), or as a list")
        several = isinstance(images, (list, tuple))
        given = list(images) if several else [images]
        found = zip(self.stream(given, min_score=min_score), given, strict=True)
        results = [replace(detections, image=image) for detections, image in found]
        return results if several else results[0]

    def evaluate(self, data: str | os.PathLike[str], **options: Any) -> Any:
        """COCO's figures, ``evaluation.ap.Metrics``, on a data set in any label format; it is read as by ``evaluate``.

        ``options`` are those of ``tasks.measure.evaluate_on``: ``split`` and others.
        """
        return later("tasks.measure:evaluate_on")(self, os.fspath(data), **options)

    @abstractmethod
    def stream(
        self, images: Iterable[AnyImage], batch_size: int = 1, *, min_score: float = 0.0
    ) -> Iterator[Detections]:
        """Detections one after another, for any number of images.

        Up to ``batch_size`` neighbours with the same ``pass_key`` go through the network together. Detections with a
        score below ``min_score`` are left out, which saves time in some cases.
        """

    @abstractmethod
    def explain(self, image: AnyImage) -> Explanation:
        """Detections of one image with heatmaps and candidates. Raises ``InputError`` unless ``can_explain``."""

    @abstractmethod
    def pass_key(self, image: Pixels) -> Hashable:
        """Images (H, W, 3) with the same key may go through the network together."""


def to_pixels(image: AnyImage) -> Pixels:
    """Any image as uint8 (H, W, 3) RGB. Raises ``InputError`` if it cannot be read."""
    return read_image(image) if isinstance(image, (str, os.PathLike)) else to_rgb(image)


def all_pixels(images: Iterable[AnyImage]) -> Iterator[Pixels]:
    """Each of several images as pixels; ``InputError`` for one alone, and as `to_pixels`."""
    if isinstance(images, (str, os.PathLike)):
        raise InputError("one image, and several are asked for", images, "give a list, or call the detector with it")
    return map(to_pixels, images)


def group_neighbours(items: Iterable[Item], size: int, key: Callable[[Item], Hashable]) -> Iterator[list[Item]]:
    """Neighbours with the same ``key``, in order, in lists of at most ``size``."""
    if size < 1:
        raise InputError("give a number above 0", f"--batch-size {size}")
    batch: list[Item] = []
    for item in items:
        if batch and (len(batch) == size or key(item) != key(batch[0])):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
