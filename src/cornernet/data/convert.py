"""Writes a data set in any label format, whole or not at all; images are copied, never encoded again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from cornernet.data.coco import write_coco
from cornernet.data.dataset import CocoDataset
from cornernet.data.find import plain_name
from cornernet.data.formats import Format
from cornernet.data.voc import write_voc
from cornernet.data.yolo import write_yolo
from cornernet.files import atomic_folder


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
    cannot be written, and for names that the format cannot store.
    """
    names = [plain_name(name) for name in datasets]
    splits = dict(zip(names if len(set(names)) == len(names) else datasets, datasets.values(), strict=True))
    total = sum(len(dataset.images) for dataset in datasets.values())
    done = 0

    def place(source: Path, target: Path) -> None:
        nonlocal done
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            os.link(os.path.realpath(source), target)
        else:
            shutil.copyfile(source, target)
        done += 1
        if progress:
            progress(done, total)

    write = {"coco": write_coco, "yolo": write_yolo, "voc": write_voc}[format]
    with atomic_folder(out, "leave --link out, or give another path" if link else "") as new:
        return write(new, splits, place)
