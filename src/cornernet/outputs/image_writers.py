"""Writers of pictures, of a crop of every box, and of annotated videos."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from pathlib import Path

import cv2

from cornernet.drawing.draw import draw_pairings, draw_seen, save_image
from cornernet.drawing.style import PLAIN, BoxStyle
from cornernet.errors import InputError
from cornernet.files import make_folder, silent_stderr
from cornernet.inference.stream import Result
from cornernet.media.images import Pixels
from cornernet.media.sources import LONGEST_NAME, free_name
from cornernet.media.video import Video, quiet_opencv
from cornernet.outputs.writer import Writer
from cornernet.structures import Explanation

VIDEO_ENDING = ".webm"
_SMALLEST_SIDE, _LARGEST_SIDE = 16, 16383  # pixels of a VP8 video
# Windows takes these for devices.
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{i}" for port in ("COM", "LPT") for i in range(1, 10))}


class Pictures(Writer):
    """NAME.jpg for every image; without ``stills_only`` also NAME/000000.jpg ... for the frames of videos."""

    def __init__(self, folder: Path, *, stills_only: bool) -> None:
        self.folder, self.stills_only = folder, stills_only

    def add(self, result: Result) -> None:
        if result.frame.video is None or not self.stills_only:
            save_image(self.folder / f"{result.frame.stem}.jpg", result.picture)


class Explanations(Writer):
    """NAME_heatmaps.jpg and NAME_pairs.jpg: the network's heatmaps and the pairs of corners."""

    def __init__(self, folder: Path, threshold: float) -> None:
        self.folder, self.threshold = folder, threshold

    def add(self, result: Result) -> None:
        assert result.explanation
        stem = self.folder / result.frame.stem
        draw_explanation(result.image, result.explanation, self.threshold, stem, result.style)


class Crops(Writer):
    """crops/CLASS/NAME_01.jpg ...: the inside of every box, numbered in the order of the image's scores."""

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.folder, self.names = folder / "crops", safe_names(class_names)

    def add(self, result: Result) -> None:
        found = result.detections
        for number, (box, label) in enumerate(zip(found.boxes, found.labels, strict=True), start=1):
            (left, top), (right, bottom) = map(math.floor, box[:2]), map(math.ceil, box[2:])
            path = self.folder / self.names[label] / f"{result.frame.stem}_{number:02d}.jpg"
            save_image(path, result.image[top:bottom, left:right])


class Videos(Writer):
    """NAME.webm for every video, camera, stream and animation: its frames with boxes, as long and as fast as that.

    VP8 is the one codec in OpenCV's wheel that all browsers play and that is fast to write; its H.264 needs a device.
    Frames come at a constant rate: one is shown again, or left out, where the source's times ask for it. The results
    are of the first of ``every`` so many frames, and the rate is as much lower.
    """

    def __init__(self, folder: Path, every: int = 1) -> None:
        self.folder, self.every = folder, every
        self.name: str | None = None

    def add(self, result: Result) -> None:
        frame = result.frame
        if frame.video is None or frame.duration == 0:
            return
        if frame.name != self.name:
            self.finish()
            self._begin(frame.name, frame.video.rate / self.every, result.image)
        slot = round((frame.seconds or 0.0) * self.rate)
        picture = self._fitted(cv2.cvtColor(result.picture, cv2.COLOR_RGB2BGR))
        while self.count < slot:
            self._write(self.last)
        if self.count == slot:
            self._write(picture)
        self.last = picture
        self.end = round(((frame.seconds or 0.0) + (frame.duration or 0.0)) * self.rate)

    def finish(self) -> None:
        if self.name is None:
            return
        while self.count < self.end:
            self._write(self.last)
        self.writer.release()
        target = self.folder / f"{self.name}{VIDEO_ENDING}"
        try:
            written = Video(str(self.part), str(target)).length or 0
            if abs(written - self.count) > 1:  # OpenCV does not tell of a full disk
                raise InputError("not all frames could be written", target)
            self.part.replace(target)
        except (InputError, OSError) as error:
            raise InputError("cannot be written", target, "make room there, or write elsewhere") from error
        finally:
            self.discard()

    def discard(self) -> None:
        if self.name is not None:
            self.writer.release()
            self.part.unlink(missing_ok=True)
            self.name = None

    def _begin(self, name: str, rate: float, image: Pixels) -> None:
        make_folder(self.folder)
        self.part = self.folder.absolute() / f".{name[:32]}.{secrets.token_hex(4)}{VIDEO_ENDING}"
        scale = min(1.0, _LARGEST_SIDE / max(image.shape))
        height, width = (max(_SMALLEST_SIDE, round(side * scale)) for side in image.shape[:2])
        self.size = width, height
        with quiet_opencv(), silent_stderr():  # OpenCV's C code prints that WebM has no table of codec names
            codec = cv2.VideoWriter.fourcc(*"VP80")
            self.writer = cv2.VideoWriter(str(self.part), cv2.CAP_FFMPEG, codec, rate, self.size)
        self.name, self.rate, self.count = name, rate, 0
        if not self.writer.isOpened():
            what = f"cannot be written (no video of {self.size[0]}x{self.size[1]} pixels can be made there)"
            raise InputError(what, f"{self.folder / name}{VIDEO_ENDING}", "write elsewhere, or choose --save pictures")

    def _fitted(self, picture: cv2.typing.MatLike) -> cv2.typing.MatLike:
        """The picture in the video's size: tiny ones get a border, and a stream may change its size."""
        right, below = self.size[0] - picture.shape[1], self.size[1] - picture.shape[0]
        if (right or below) and min(right, below) >= 0 and _SMALLEST_SIDE in self.size:
            return cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT)
        return cv2.resize(picture, self.size, interpolation=cv2.INTER_AREA) if right or below else picture

    def _write(self, picture: Pixels | cv2.typing.MatLike) -> None:
        self.writer.write(picture)
        self.count += 1


def draw_explanation(image: Pixels, seen: Explanation, threshold: float, stem: Path, style: BoxStyle = PLAIN) -> None:
    """Write STEM_heatmaps.jpg and STEM_pairs.jpg of one image."""
    heatmaps = draw_seen(image, seen)
    save_image(stem.with_name(f"{stem.name}_heatmaps.jpg"), heatmaps)
    pairs = draw_pairings(image, seen.candidates, seen.detections, threshold, style=style)
    save_image(stem.with_name(f"{stem.name}_pairs.jpg"), pairs)


def safe_names(class_names: Sequence[str]) -> list[str]:
    """A folder name for each class; every file system accepts it, and no two are equal even if case is ignored."""
    names: list[str] = []
    taken: set[str] = set()
    for class_name in class_names:
        plain = "".join(c if c.isprintable() and c not in '<>:"/\\|?*' else "_" for c in class_name)
        stem = plain[:LONGEST_NAME].strip(" .") or "_"
        names.append(free_name(f"{stem}_" if stem.upper().split(".")[0] in _RESERVED else stem, taken))
    return names
