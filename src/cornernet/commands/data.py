"""``cornernet data``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.commands import options
from cornernet.data.formats import Format
from cornernet.errors import InputError
from cornernet.tasks.notices import report_dataset, report_notes
from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Collection

    from cornernet.data.dataset import CocoDataset
    from cornernet.drawing.text import Image

PICTURES, PICTURE_SIDE = 12, 320  # of the mosaic: the largest number, and pixels


def shapes(out: str, *, train: int = 2000, val: int = 200, seed: int = 0) -> None:
    """Write the embedded data set, drawn scenes of 10 classes of form, to OUT as a COCO data set.

    Args:
        train: Scenes to learn from.
        val: Scenes to validate on; never the same as the others.
        seed: Another seed draws other scenes; the bundled weights were trained on scenes of seed 0.
    """
    from cornernet.data.shapes import write_shapes

    write_shapes(Path(out), train, val, seed, progress=ProgressBar("drawing"))
    print(f"{train} + {val} scenes: {out}; next: cornernet train shapes --data {out}")


def convert(
    source: str,
    out: str,
    *,
    to: Format,
    format: options.Format = None,
    link: bool = False,
    strict: options.Strict = False,
) -> None:
    """Write the data set SOURCE to the new folder OUT in another label format: boxes and classes, no masks.

    Args:
        to: coco (annotations/instances_*.json), yolo (data.yaml), voc (Annotations, JPEGImages, ImageSets), or a
            labelling tool: cvat (annotations.xml), labelme (a JSON file beside each image), labelstudio (tasks).
        link: Make hard links to the images instead of copies.
    """
    from cornernet.data.convert import write_data
    from cornernet.data.find import find_data, load_split, plain_name, split_names
    from cornernet.data.places import MissingSplit
    from cornernet.data.strays import with_stray_notes

    labels = find_data(source, format)
    datasets = {}
    for split in (names := split_names(labels)):
        try:
            datasets[split] = load_split(labels, split, strict=strict)
        except MissingSplit as error:
            if strict or plain_name(split) in ("train", "val") or len(names) == 1:
                raise
            print(f"warning: {error}; the other splits are converted", file=sys.stderr)
    datasets = dict(zip(datasets, with_stray_notes(labels, list(datasets.values())), strict=True))
    for dataset in datasets.values():
        report_dataset(dataset)
    for dataset in datasets.values():
        dataset.refuse_losses()
    for note in write_data(Path(out), to, datasets, link=link, progress=ProgressBar("linking" if link else "copying")):
        print(f"warning: {note}", file=sys.stderr)
    print(f"as {to}: {out}")


def check(data: str, *, format: options.Format = None, fix: str | None = None, out: str = "data-check") -> int:
    """List every problem of the data set DATA, with histograms of its boxes; exit code 2 if there are problems.

    Args:
        fix: New folder for a clean copy in the same format, with every valid box and the images as they are.
        out: Folder for histograms.png and mosaic.jpg, images with their boxes.
    """
    from cornernet.data.check import check_data
    from cornernet.data.convert import write_data
    from cornernet.data.find import find_data
    from cornernet.data.histograms import as_lines, draw_histograms, histograms
    from cornernet.drawing.draw import save_image
    from cornernet.files import make_folder

    labels = find_data(data, format)
    print(f"{data}: {labels.title}")
    found = check_data(labels, progress=ProgressBar("checking"))
    for problem in found.problems:
        print(problem.with_fix())
    for dataset in found.datasets.values():
        print(dataset)
        report_notes(dataset)
    if found.datasets:
        shown = histograms(found.datasets.values())
        for histogram in shown:
            print("\n" + "\n".join(as_lines(histogram)))
        folder = make_folder(Path(out))
        save_image(folder / "histograms.png", draw_histograms(shown))
        save_image(folder / "mosaic.jpg", _mosaic(found.datasets.values()))
        print(f"\nhistograms.png and mosaic.jpg: {folder}")
    if fix and found.cause:
        raise InputError(f"{found.cause.what}; no copy can be clean before that", found.cause.where, found.cause.fix)
    if fix and not found.datasets:
        raise InputError("nothing in it can be used, so there is no copy of it", data, "fix it first")
    if fix:
        for note in write_data(Path(fix), labels.format, found.datasets, progress=ProgressBar("copying")):
            print(f"warning: {note}", file=sys.stderr)
        kept = [problem for problem in found.problems if problem.outcome == "kept"]
        print(f"clean copy: {fix}" + (f", in which {len(kept)} problems are left to you:" if kept else ""))
        for problem in kept:
            print(problem.with_fix())
    print(found.summary())
    return 0 if found.is_clean else 2


def _mosaic(datasets: Collection[CocoDataset]) -> Image:
    """Some images of all splits, evenly spaced, with their boxes; first those whose boxes may lie wrong."""
    from cornernet.drawing.draw import draw_boxes, side_by_side
    from cornernet.media.scaling import shrink

    images = [(dataset, image) for dataset in datasets for image in dataset.images]
    images = [entry for entry in images if len(entry[1].boxes)] or images
    unsure = [(dataset, image) for dataset, image in images if image.id in dataset.unsure][: PICTURES // 2]
    others = [entry for entry in images if entry not in unsure]
    count = min(PICTURES - len(unsure), len(others))
    pictures, titles = [], []
    for dataset, image in [*unsure, *(others[i * len(others) // count] for i in range(count))]:
        pixels, scale = shrink(image.read(), PICTURE_SIDE)
        pictures.append(draw_boxes(pixels, image.boxes * scale, image.labels, dataset.class_names))
        titles.append(f"{dataset.name}: {image.path.name}")
    return side_by_side(pictures, titles)
