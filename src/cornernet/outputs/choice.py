"""The words of ``--save``: which files are written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, get_args

from cornernet.errors import InputError
from cornernet.outputs import image_writers, label_writers, pre_annotations
from cornernet.outputs.writer import Writer

OutputKind = Literal["pictures", "video", "json", "coco", "yolo", "cvat", "labelme", "labelstudio", "csv", "crops"]


def parse_kinds(text: str | None) -> list[OutputKind]:
    """``"json,crops"`` as a list; ``None`` is json, pictures and video. Raises ``InputError`` for other words."""
    if text is None:
        return ["json", "pictures", "video"]
    words = {word.strip() for word in text.split(",")}
    if not words <= set(get_args(OutputKind)):
        raise InputError(f"choose from {', '.join(get_args(OutputKind))}, joined by commas", f"--save {text}")
    return [kind for kind in get_args(OutputKind) if kind in words]


def make_writers(
    kinds: Collection[OutputKind],
    folder: Path,
    class_names: Sequence[str],
    threshold: float,
    *,
    all_frames: bool,
    heatmaps: bool,
    every: int = 1,
    tracks: bool = False,
) -> list[Writer]:
    """Writers into ``folder``; ``all_frames`` makes pictures of the frames of videos too, not of images alone.

    Of ``every`` so many frames of a video one comes; ``tracks`` says whether detections have numbers of objects.
    """
    makers = {
        "pictures": lambda: image_writers.Pictures(folder, stills_only=not all_frames),
        "video": lambda: image_writers.Videos(folder, every),
        "json": lambda: label_writers.DetectionsFile(folder, class_names),
        "coco": lambda: label_writers.CocoFile(folder, class_names),
        "yolo": lambda: label_writers.YoloFiles(folder, class_names),
        "cvat": lambda: pre_annotations.CvatFile(folder, class_names),
        "labelme": lambda: pre_annotations.LabelmeFiles(folder, class_names),
        "labelstudio": lambda: pre_annotations.LabelStudioFile(folder, class_names),
        "csv": lambda: label_writers.CsvFile(folder, tracks=tracks),
        "crops": lambda: image_writers.Crops(folder, class_names),
    }
    writers: list[Writer] = [makers[kind]() for kind in kinds]
    return [*writers, image_writers.Explanations(folder, threshold)] if heatmaps else writers
