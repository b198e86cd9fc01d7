"""``cornernet explain``."""

from __future__ import annotations

import sys
from pathlib import Path

from cornernet.commands import options
from cornernet.errors import InputError
from cornernet.tasks.detectors import open_detector


def explain(
    image: str,
    *,
    weights: options.Weights = "photos",
    out: str = "explanation",
    threshold: options.Threshold = None,
    at: str | None = None,
    precision: options.Precision = "fp32",
    max_size: options.MaxSize = None,
    device: options.Device = None,
) -> None:
    """Show for every box in IMAGE which corners were paired, which were not, and why: a table, pictures and JSON.

    The network sees the image once, as it is: without test-time augmentation and tiles.

    Args:
        out: Folder for the pictures and the JSON file.
        at: X,Y in pixels, a point inside an object without a box: shows the nearest corners, and why there is none.
    """
    from cornernet.drawing.draw import save_image
    from cornernet.explain.draw_pairs import draw_around, draw_numbered, draw_rejected
    from cornernet.explain.pairs import PairOutcomes
    from cornernet.explain.reasons import answer, pairs_as_json, table
    from cornernet.files import atomic_write_json, make_folder
    from cornernet.media.images import first_taken, read_first
    from cornernet.media.scaling import shrunk_scale

    pixels, count = read_first(image)
    if count > 1:
        print(f"cornernet: {image}: {first_taken(count)}", file=sys.stderr)
    height, width = pixels.shape[:2]
    point = _point(at, width, height) if at else None
    detector = open_detector(weights, device, "none", precision, max_size)
    lowest = detector.threshold if threshold is None else threshold
    scale = shrunk_scale(height, width, detector.max_size)
    pairs = PairOutcomes(detector.explain(pixels), detector.decoding, lowest, scale)
    stem = make_folder(out) / Path(image).stem
    pictures = {"boxes": draw_numbered(pixels, pairs), "rejected": draw_rejected(pixels, pairs)}
    if point:
        pictures["at"] = draw_around(pixels, pairs, *point, pairs.around(*point))
    for name, picture in pictures.items():
        save_image(stem.with_name(f"{stem.name}_{name}.jpg"), picture)
    atomic_write_json(stem.with_name(f"{stem.name}.json"), pairs_as_json(pairs, image, point))
    print(table(pairs, image))
    if point:
        print(f"\n{answer(pairs, *point)}")
    print(f"pictures and JSON: {out}", file=sys.stderr)


def _point(text: str, width: int, height: int) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise InputError("give a point in pixels, as --at 120,80", f"--at {text}") from None
    if not (0 <= x <= width and 0 <= y <= height):
        raise InputError(
            f"outside the image, which has {width}x{height} pixels", f"--at {text}", "give a point inside it"
        )
    return x, y
