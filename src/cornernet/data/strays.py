"""Remarks about what splits leave beside them: labels without images, images without labels or in two places."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cornernet.data.dataset import CocoDataset
from cornernet.data.find import LabelFolder, plain_name
from cornernet.data.tables import Problem, Tables


def with_stray_notes(labels: LabelFolder, datasets: Sequence[CocoDataset]) -> list[CocoDataset]:
    """The splits as they were read, the first with a note about each kind of what `LabelFolder.strays` finds.

    Only folders are listed: ``cornernet data check`` also compares the files.
    """
    read = [
        Tables(
            data.name,
            data.format,
            data.json_path,
            data.folder,
            [{"file_name": image.file_name} for image in data.images],
            [],
            [],
            problems=data.problems,
        )
        for data in datasets
    ]
    known = {problem.where for data in datasets for problem in data.problems}
    are_all = {plain_name(name) for name in labels.splits} <= {plain_name(data.name) for data in datasets}
    are_all = are_all or len(labels.splits) == 1 < len(datasets)  # the parts of one split
    kinds: dict[str, list[Problem]] = {}
    for problem in labels.strays(read):
        if problem.where not in known and (are_all or any(_is_of(data, Path(problem.where)) for data in datasets)):
            kinds.setdefault(problem.kind, []).append(problem)
    notes = [f"{len(found)} {kind}, such as {found[0].where}" for kind, found in kinds.items()]
    notes = [f"{note}; cornernet data check lists them" for note in [*notes, *_shared(datasets)]]
    first, *others = datasets
    return [replace(first, notes=(*first.notes, *notes)), *others]


def _is_of(data: CocoDataset, file: Path) -> bool:
    """Whether a file lies in the split's own folder, so that it belongs to no other split."""
    below = [name for folder in (file, *file.parents) if data.folder in folder.parents for name in (folder.name,)]
    own = data.folder.name, data.folder.parent.name, *below
    return (data.folder in file.parents or data.format == "YOLO") and plain_name(data.name) in map(plain_name, own)


def _shared(datasets: Sequence[CocoDataset]) -> Iterator[str]:
    """Images that are in two splits."""
    for i, one in enumerate(datasets):
        paths = {os.path.abspath(image.path) for image in one.images}
        for other in datasets[i + 1 :]:
            if both := [image.path for image in other.images if os.path.abspath(image.path) in paths]:
                yield f"{len(both)} images are in {one.name} and in {other.name}, such as {both[0]}"
