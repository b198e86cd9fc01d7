"""Writes a data set in any label format, whole or not at all.

Images are copied. Only those with an EXIF rotation are written anew, upright: some readers apply it and some do not;
and, in YOLO and VOC, those of kinds that few tools read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cornernet.data.dataset import CocoDataset, ImageRecord
from cornernet.data.find import USUAL, plain_name
from cornernet.data.formats import Format
from cornernet.data.registry import LABEL_FORMATS
from cornernet.data.writing import is_rewritten
from cornernet.files import atomic_folder
from cornernet.media.images import read_header, write_upright


def write_data(
    out: Path,
    format: Format,
    datasets: Mapping[str, CocoDataset],
    *,
    link: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Write ``datasets`` by split to the new folder ``out``; returns a line about each thing the format cannot store.

    Splits with other names (``valid``, ``train2017``) get the usual names. ``link`` makes hard links to the images
    instead of copies; ``progress(done, total)`` is called after each. Raises ``InputError`` if ``out`` is in use or
    cannot be written, for names that the format cannot store, and for a rotated image that cannot be read.
    """
    splits = dict(zip(_usual_names(list(datasets)), datasets.values(), strict=True))
    total = sum(len(dataset.images) for dataset in datasets.values())
    rotated: set[Path] = set()
    for split, dataset in splits.items():
        splits[split] = _upright(dataset, rotated)
    rewritten: list[Path] = []
    done = 0

    def place(record: ImageRecord, target: Path) -> None:
        nonlocal done
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_new := is_rewritten(record.path, target):
            rewritten.append(record.path)
        if is_new or record.path in rotated:
            write_upright(record.path, target)
        elif link:
            os.link(os.path.realpath(record.path), target)
        else:
            shutil.copyfile(record.path, target)
        done += 1
        if progress:
            progress(done, total)

    with atomic_folder(out, "leave --link out, or give another path" if link else "") as new:
        notes = LABEL_FORMATS[format].write(new, splits, place)
    renamed = [(old, new) for old, new in zip(datasets, splits, strict=True) if new not in (old, plain_name(old))]
    notes += [f"the split {old} is named {new}, which other tools look for" for old, new in renamed]
    if rewritten:
        endings = ", ".join(sorted({path.suffix.lower() or "none" for path in rewritten}))
        notes.append(f"{len(rewritten)} images are written anew as PNG: few tools read their kind ({endings})")
    if rotated:
        what = f"{len(rotated)} images have an EXIF rotation, which some tools ignore"
        notes.append(f"{what}: written anew as their pixels upright" + (", not linked" if link else ""))
    return notes


def _usual_names(splits: Sequence[str]) -> list[str]:
    """The names that tools look for: train, val and test where splits are these or the only one; else as they are."""
    names = [plain_name(split) for split in splits]
    if "train" not in names:
        names = ["train" if name == "trainval" or (len(names) == 1 and name not in USUAL) else name for name in names]
    return names if len(set(names)) == len(names) else list(splits)


def _upright(dataset: CocoDataset, rotated: set[Path]) -> CocoDataset:
    """The data set in upright pixels; ``rotated`` gets the images that have an EXIF rotation."""
    turns = {}
    for image in dataset.images:
        header = read_header(image.path)
        if header.orientation > 1:
            rotated.add(image.path)
            if (image.height, image.width) != header.size:
                turns[image.id] = header.orientation
    return dataset.upright(turns) if turns else dataset
