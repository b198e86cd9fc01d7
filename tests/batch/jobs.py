"""What the tests of jobs share: an untrained network, images of every kind of source, and rows to compare."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from cornernet.config import Architecture, HourglassConfig, Preprocessing
from cornernet.errors import InputError, command_line_words
from cornernet.inference.detector import load_detector
from cornernet.inference.stream import detect
from cornernet.media.sources import find_sources, read_frames
from cornernet.model.cornernet import CornerNet
from cornernet.weights.store import Weights, save_weights

Row = tuple[Any, ...]


def write_weights(path: Path, names: tuple[str, ...] = ("cat", "dog", "cow")) -> Path:
    """An untrained network that sees objects everywhere."""
    torch.manual_seed(0)
    architecture = Architecture(
        HourglassConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
        corner_channels=8,
        branch_channels=8,
    )
    model = CornerNet(architecture, len(names))
    save_weights(path, Weights(dict(model.state_dict()), architecture, names, Preprocessing(), threshold=0.0001))
    return path


def encoded(number: int, ending: str = ".png", height: int = 40, width: int = 56) -> bytes:
    """An image file's bytes."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width + number, 3), np.uint8)
    return cv2.imencode(ending, pixels)[1].tobytes()


def write_images(folder: Path, count: int) -> list[Path]:
    """Images of several sizes and kinds; the second is damaged, the third holds two pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        paths.append(folder / f"{number:03d}{'.jpg' if number % 2 else '.png'}")
        paths[-1].write_bytes(encoded(number, paths[-1].suffix, 40 + 8 * (number % 3)))
    paths[1].write_bytes(paths[1].read_bytes()[:300])
    paths[2] = paths[2].rename(paths[2].with_suffix(".tif"))
    pages = [Image.fromarray(np.full((32, 48, 3), value, np.uint8)) for value in (0, 200)]
    pages[0].save(paths[2], save_all=True, append_images=pages[1:])
    return paths


def write_shard(path: Path, members: dict[str, bytes]) -> Path:
    """A tar file."""
    with tarfile.open(path, "w") as shard:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


def write_parquet(path: Path, images: list[bytes | None], group: int = 2, column: str = "image") -> Path:
    """A Parquet file with encoded images, and a column of numbers."""
    table = pa.table({"id": list(range(len(images))), column: pa.array(images, pa.binary())})
    pq.write_table(table, path, row_group_size=group)
    return path


def as_row(found: Any) -> Row:
    """Detections or an error, to compare bit by bit."""
    if isinstance(found, InputError):
        return (str(found),)
    arrays = found.boxes.astype(np.float32), found.scores.astype(np.float32), found.labels.astype(np.int32)
    return (*found.image_size, *(array.tobytes() for array in arrays))


def one_machine(weights: Path, sources: list[str], threshold: float | None = None) -> list[tuple[str, int | None, Row]]:
    """Name, number of the picture and row of everything that `cornernet predict` looks at, before it rounds."""
    detector = load_detector(weights, device="cpu")
    lowest = detector.threshold if threshold is None else threshold
    frames = list(read_frames(find_sources(sources), 3))
    with command_line_words():
        results = list(detect(detector, frames, threshold=lowest))
        return [
            (frame.source, frame.index, as_row(each if isinstance(each, InputError) else each.detections))
            for frame, each in zip(frames, results, strict=True)
        ]


def stored(out: Path) -> list[tuple[str, int | None, Row]]:
    """The same of everything that a job wrote, part after part."""
    rows = []
    for path in sorted((out / "detections").iterdir()):
        for row in pq.read_table(path).to_pylist():
            if row["error"] is not None:
                rows.append((row["image"], row["picture"], (row["error"],)))
                continue
            kinds = (("boxes", np.float32), ("scores", np.float32), ("labels", np.int32))
            arrays = (np.array(row[name], kind).tobytes() for name, kind in kinds)
            rows.append((row["image"], row["picture"], (row["height"], row["width"], *arrays)))
    return rows
