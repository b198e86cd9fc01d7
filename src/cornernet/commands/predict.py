"""``cornernet predict``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.commands.common import TTA, Bar, Precision, load_detector

if TYPE_CHECKING:
    import numpy as np

    from cornernet.detector import Explanation


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
        heatmaps: Also draw what the network saw: corner heatmaps and paired corners.
    """
    from cornernet.data.images import find_images, read_image
    from cornernet.drawing import draw_detections, save_image
    from cornernet.errors import InputError
    from cornernet.files import atomic_write_json, make_folder

    paths = find_images(sources)
    detector = load_detector(weights, device, tta, precision, max_size)
    lowest = detector.threshold if threshold is None else threshold
    folder = make_folder(Path(out))
    written, failures = [], []
    bar = Bar("predicting")
    for done, (path, name) in enumerate(zip(paths, picture_names(paths), strict=True), start=1):
        try:
            image = read_image(path)
            seen = detector.explain(image) if heatmaps else None
            found = (seen.detections if seen else detector(image)).above(lowest)
        except InputError as error:  # one bad file does not cost the others their boxes
            failures.append(str(error) if str(path) in str(error) else f"{path}: {error}")
        else:
            save_image(folder / f"{name}.jpg", draw_detections(image, found, lowest))
            if seen:
                draw_explanation(image, seen, lowest, folder / name)
            height, width = found.image_size
            written.append({"file": str(path), "height": height, "width": width, "detections": found.as_dicts()})
        bar(done, len(paths))
    atomic_write_json(folder / "detections.json", {"classes": list(detector.class_names), "images": written})
    for failure in failures:
        print(f"cornernet: {failure}", file=sys.stderr)
    count = sum(len(image["detections"]) for image in written)
    print(f"{count} objects in {len(written)} images, score {lowest:g} or more: {folder}")
    return 2 if failures else 0


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
