"""Animations: image files whose pictures follow each other in time (GIF, APNG, WebP, AVIF)."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from PIL import Image

from cornernet.errors import InputError
from cornernet.media.opening import ImageSource, name_of, opened_image, quiet_pillow
from cornernet.media.pictures import pictures_in

_FORMATS = ("GIF", "PNG", "WEBP", "AVIF")
_SUFFIXES = (".gif", ".png", ".apng", ".webp", ".avif", ".avifs")
_UNSAID = 0.1  # seconds that browsers show a frame for whose duration is 10 ms or less
_FASTEST = 60.0  # frames a second of a video of an animation
_LONGEST = 1000  # milliseconds of a frame of such a video


class Animation:
    """An image file whose pictures are frames; ``rate`` is that of a video in which each lasts about as long."""

    def __init__(self, source: ImageSource) -> None:
        self.source = source

    @cached_property
    def rate(self) -> float:
        """Frames per second: of the longest step that all durations are multiples of, or, if that is too fast, of the
        shortest usual duration. The frames are decoded to find them."""
        steps = [round(1000 * seconds) for seconds in self._durations() if seconds > 0] or [round(1000 * _UNSAID)]
        common = math.gcd(*steps)
        if common < 1000 / _FASTEST:
            usual = float(np.percentile(steps, 20, method="lower"))
            return 1000 / min(max(usual, 1000 / _FASTEST), _LONGEST)
        return 1000 * math.ceil(common / _LONGEST) / common

    def _durations(self) -> list[float]:
        found: list[float] = []
        try:
            with opened_image(self.source, name_of(self.source, None)) as image, quiet_pillow():
                for number in pictures_in(image):
                    image.seek(number)
                    found.append(shown_for(image) or 0.0)
        except Exception:  # a damaged frame raises anything; reading the frames tells it
            pass
        return found


def is_animation(path: str) -> bool:
    """Whether a file is an animation, of a format that can be one by its ending."""
    if not path.lower().endswith(_SUFFIXES):
        return False
    try:
        with opened_image(path, path) as image:
            return shown_for(image) is not None
    except InputError:
        return False


def shown_for(image: Image.Image) -> float | None:
    """How many seconds the sought picture is shown; ``None`` if the file is no animation.

    0 for the picture of an APNG that only programs show which know no animations.
    """
    if image.format not in _FORMATS or getattr(image, "n_frames", 1) < 2:
        return None
    if image.info.get("default_image") and image.tell() == 0:
        return 0.0
    if image.format in ("WEBP", "AVIF"):
        image.load()  # sets the duration
    milliseconds = image.info.get("duration") or 0
    return milliseconds / 1000 if milliseconds > 10 else _UNSAID
