"""Which files are written: the words of ``--save``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, get_args

from cornernet.errors import InputError
from cornernet.outputs import pictures, tables
from cornernet.outputs.writer import Writer

Kind = Literal["pictures", "video", "json", "coco", "yolo", "csv", "crops"]


def parse_kinds(text: str | None) -> list[Kind]:
    """``"json,crops"`` as a list; ``None`` is json, pictures and video. Raises ``InputError`` for other words."""
    if text is None:
        return ["json", "pictures", "video"]
    words = {word.strip() for word in text.split(",")}
    if not words <= set(get_args(Kind)):
        raise InputError(f"--save {text}: choose from {', '.join(get_args(Kind))}, joined by commas")
    return [kind for kind in get_args(Kind) if kind in words]


def make_writers(
    kinds: Collection[Kind],
    folder: Path,
    class_names: Sequence[str],
    threshold: float,
    *,
    all_frames: bool,
    heatmaps: bool,
) -> list[Writer]:
    """Writers into ``folder``; ``all_frames`` makes pictures of the frames of videos too, not of images alone."""
    makers = {
        "pictures": lambda: pictures.Pictures(folder, stills_only=not all_frames),
        "video": lambda: pictures.Videos(folder),
        "json": lambda: tables.DetectionsFile(folder, class_names),
        "coco": lambda: tables.CocoFile(folder, class_names),
        "yolo": lambda: tables.YoloFiles(folder, class_names),
        "csv": lambda: tables.CsvFile(folder),
        "crops": lambda: pictures.Crops(folder, class_names),
    }
    writers: list[Writer] = [makers[kind]() for kind in kinds]
    return [*writers, pictures.Explanations(folder, threshold)] if heatmaps else writers
