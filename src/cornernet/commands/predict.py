"""``cornernet predict``."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.commands.common import TTA, Bar, Precision, load_detector
from cornernet.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from cornernet.detector import Detector, Explanation
    from cornernet.structures import Detections

_WAITING = 4  # drawings at most, each with its image in memory


def predict(
    sources: list[str],
    *,
    weights: str,
    out: str = "predictions",
    threshold: float | None = None,
    tta: TTA = "none",
    precision: Precision = "fp32",
    max_size: int | None = None,
    device: str | None = None,
    batch_size: int = 1,
    heatmaps: bool = False,
) -> int:
    """Find objects in SOURCES, images, folders or globs: annotated pictures and detections.json.

    Args:
        weights: Weights file of any dialect, shapes (bundled), or the name of a release, fetched on first use.
        out: Folder for the pictures and detections.json.
        threshold: Lowest score shown and written. Default: the one stored in the weights.
        tta: Test-time augmentation: flip looks at every image's mirror too, as the published AP did; multiscale at
            0.5, 0.75, 1, 1.25 and 1.5 times its size, each with its mirror, and merges the boxes.
        precision: Arithmetic of the network; pairing is always in fp32.
        max_size: Scale larger images down to this many pixels a side; boxes are scaled back.
        device: cpu, cuda, cuda:1 ... Default: the GPU where there is one.
        batch_size: Images of one padded size that share a pass; more than 1 helps on a GPU.
        heatmaps: Also draw what the network saw: corner heatmaps and paired corners.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    from cornernet.data.images import find_images
    from cornernet.drawing import draw_detections, save_image
    from cornernet.files import atomic_write_json, make_folder

    if batch_size < 1:
        raise InputError(f"--batch-size {batch_size}: give a number above 0")
    paths = find_images(sources)
    detector = load_detector(weights, device, tta, precision, max_size)
    lowest = detector.threshold if threshold is None else threshold
    folder = make_folder(Path(out))
    written: list[dict[str, Any]] = []
    failures: list[str] = []
    bar, done = Bar("predicting"), 0

    def draw(name: str, image: np.ndarray, found: Detections, seen: Explanation | None) -> None:
        save_image(folder / f"{name}.jpg", draw_detections(image, found, lowest))
        if seen:
            draw_explanation(image, seen, lowest, folder / name)

    drawing: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as pool:  # draws and writes while the network is at the next images
        for group in _groups(zip(paths, picture_names(paths), strict=True), detector, 1 if heatmaps else batch_size):
            for (path, name), image, found, seen in _detect(group, detector, heatmaps):
                if isinstance(found, InputError):  # one bad file does not cost the others their boxes
                    failures.append(str(found) if str(path) in str(found) else f"{path}: {found}")
                    continue
                found = found.above(lowest)
                drawing.append(pool.submit(draw, name, image, found, seen))
                while len(drawing) > _WAITING or (drawing and drawing[0].done()):
                    drawing.popleft().result()
                height, width = found.image_size
                written.append({"file": str(path), "height": height, "width": width, "detections": found.as_dicts()})
            done += len(group)
            bar(done, len(paths))
        for future in drawing:
            future.result()
    atomic_write_json(folder / "detections.json", {"classes": list(detector.class_names), "images": written})
    for failure in failures:
        print(f"cornernet: {failure}", file=sys.stderr)
    count = sum(len(image["detections"]) for image in written)
    print(f"{count} objects in {len(written)} images, score {lowest:g} or more: {folder}")
    return 2 if failures else 0


def _groups(named: Iterable[tuple[Path, str]], detector: Detector, size: int) -> Iterator[list[tuple[Any, Any]]]:
    """Lists of ((path, name), image) that can share a pass, read ahead; an ``InputError`` for an image stands alone."""
    from cornernet.data.images import read_image
    from cornernet.data.prefetch import ahead

    def read(item: tuple[Path, str]) -> tuple[Any, Any]:
        try:
            return item, read_image(item[0])
        except InputError as error:
            return item, error

    group: list[tuple[Any, Any]] = []
    for item, image in ahead(read, named, depth=size + 2):
        failed = isinstance(image, InputError)
        fits = group and not failed and detector.padded_sizes(image) == detector.padded_sizes(group[0][1])
        if group and (not fits or len(group) == size):
            yield group
            group = []
        if failed:
            yield [(item, image)]
        else:
            group.append((item, image))
    if group:
        yield group


def _detect(group: list[tuple[Any, Any]], detector: Detector, explain: bool) -> Iterator[tuple[Any, ...]]:
    """For each of a group: (path, name), image, ``Detections`` or an ``InputError``, ``Explanation`` where asked."""

    images = [image for _, image in group]
    seen: list[Any] = [None] * len(group)
    found: list[Any] = images  # an image that cannot be read is its error
    if not isinstance(images[0], InputError):
        try:
            if explain:
                seen = [detector.explain(images[0])]
                found = [seen[0].detections]
            else:
                found = list(detector.stream(images, batch_size=len(images)))
        except InputError as error:
            if len(group) > 1:  # too much memory for all, perhaps not for each
                for single in group:
                    yield from _detect([single], detector, explain)
                return
            found = [error]
    for (item, image), detections, explanation in zip(group, found, seen, strict=True):
        yield item, image, detections, explanation


def picture_names(paths: Sequence[Path]) -> list[str]:
    """A name for each picture: the image's own, with a number where two would be the same."""
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        name, number = path.stem, 2
        while name in taken:
            name, number = f"{path.stem}_{number}", number + 1
        taken.add(name)
        names.append(name)
    return names


def draw_explanation(image: np.ndarray, seen: Explanation, threshold: float, stem: Path) -> None:
    """Write STEM_heatmaps.jpg and STEM_pairs.jpg of one image."""
    from cornernet.drawing import draw_heatmaps, draw_pairings, save_image

    heatmaps = draw_heatmaps(image, seen.tl_heatmap, seen.br_heatmap, seen.offset, seen.padded_size)
    save_image(stem.with_name(f"{stem.name}_heatmaps.jpg"), heatmaps)
    pairs = draw_pairings(image, seen.candidates, seen.detections, threshold)
    save_image(stem.with_name(f"{stem.name}_pairs.jpg"), pairs)
