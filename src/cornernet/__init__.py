"""CornerNet: objects as pairs of keypoints (Law and Deng, ECCV 2018)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from cornernet.errors import CornerNetError, DivergedError, InputError, InterruptedRun
from cornernet.later import later
from cornernet.telemetry import disable_telemetry
from cornernet.waiting import limit_spinning

if TYPE_CHECKING:
    from cornernet.data.check import Findings
    from cornernet.data.formats import Format
    from cornernet.evaluation.ap import Metrics
    from cornernet.inference.detector import Detector
    from cornernet.inference.exported import ExportedDetector
    from cornernet.structures import Candidates, Detection, Detections
    from cornernet.training.trainer import TrainingResult

__all__ = [
    "Candidates",
    "CornerNetError",
    "Detection",
    "Detections",
    "Detector",
    "DivergedError",
    "ExportedDetector",
    "InputError",
    "InterruptedRun",
    "check",
    "evaluate",
    "load",
    "predict_dataset",
    "train",
]

_MODULES = {
    "Candidates": "structures",
    "Detection": "structures",
    "Detections": "structures",
    "Detector": "inference.detector",
    "ExportedDetector": "inference.exported",
}
_Path = str | os.PathLike[str]

limit_spinning()  # before torch is loaded
disable_telemetry()  # before OpenVINO is loaded
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # what Apple's GPUs cannot compute, the CPU does


def load(weights: _Path = "photos", **options: Any) -> Detector | ExportedDetector:
    """A detector from a weights file of any dialect, a name, or a file that ``cornernet export`` wrote.

    Names: ``photos`` and ``shapes`` are bundled, a release is fetched on first use.
    ``user/name`` is of the Hugging Face hub, ``https://...`` of any server. ``options``: ``device``, ``precision``
    (``"fp32"``, ``"bf16"``, ``"fp16"``), ``tta`` (``"flip"``, ``"multiscale"``) or ``flip`` and ``scales``,
    ``max_size``, ``tile`` (1024, or ``"1024,256"`` with the overlap), ``threshold``. An exported file (.onnx, .xml)
    runs without torch and takes ``device``, ``max_size``, ``threads``, ``threshold``. Raises ``InputError`` if the file
    is absent, damaged or something else, and for other options.
    """
    return later("tasks.keywords:open_by_keywords")(weights, **options)


def train(recipe: _Path | None = None, data: _Path | None = None, **options: Any) -> TrainingResult:
    """Train a network; what it returns has the run's ``folder``, ``weights``, ``metrics``, and ``load()``.

    ``train("DIR", minutes=30)`` makes a recipe for the data in DIR; ``train("deeppcb-small", data="DIR")`` takes a
    shipped recipe, or a YAML file. ``options`` are those of the command line: ``size``, ``backbone``, ``minutes``,
    ``out``, ``train_split``, ``val_split``, ``val_share``, ``format``, ``strict``, ``device``, ``devices``,
    ``checkpoint_seconds``, ``report``; ``resume="runs/mine"`` goes on with a run. ``callbacks`` are a list of
    Lightning's; ``logger`` is one of Lightning's, a list of them, or names, ``"wandb,csv"``. All others are fields of
    the recipe: ``epochs=20, optimization={"lr": 1e-3}``. Raises ``InputError`` for what cannot be used,
    ``DivergedError`` if a loss is not finite, ``InterruptedRun`` on Ctrl-C, after the state was saved.
    """
    return later("tasks.from_python:train_network")(recipe, data, **options)


def evaluate(
    weights: _Path,
    data: _Path,
    *,
    split: str = "val",
    val_share: float | None = None,
    format: Format | None = None,
    strict: bool = False,
    tta: Literal["none", "flip", "multiscale"] = "none",
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    max_size: int | None = None,
    tile: int | str | tuple[int, int] | None = None,
    batch_size: int = 1,
    device: str | None = None,
    oracle: str | None = None,
    out: _Path | None = None,
) -> Metrics:
    """COCO's figures of weights, or of an exported file, on a data set in any label format.

    ``metrics.figures["AP"]`` is from 0 to 1; ``print(metrics)`` shows the tables. The options are those of
    ``cornernet evaluate``; ``out`` is a folder for metrics.json and predictions.json. Raises ``InputError`` for what
    cannot be used.
    """
    reading = {"split": split, "val_share": val_share, "format": format, "strict": strict, "batch_size": batch_size}
    reading |= {"oracle": oracle}
    reading = later("tasks.keywords:checked")(reading, "evaluate")
    loading = {"tta": tta, "precision": precision, "max_size": max_size, "tile": tile, "device": device}
    usual = {"tta": "none", "precision": "fp32", "max_size": None, "tile": None, "device": None}
    chosen = {name: value for name, value in loading.items() if value != usual[name]}
    return load(weights, **chosen).evaluate(data, **reading, out=out)


def predict_dataset(
    ds: Any,
    weights: _Path = "photos",
    *,
    image_column: str = "image",
    keep_images: bool = False,
    concurrency: int | tuple[int, int] | None = None,
    threads: int = 1,
    **options: Any,
) -> Any:
    """A ``ray.data.Dataset`` with the columns width, height, boxes, scores, labels, names and error.

    ``ds`` is one with images in ``image_column``: bytes of image files, pixels, paths, or structures with ``bytes``.
    Its other columns stay, the images with ``keep_images`` alone. One bad image is a row with its ``error``. Each of
    ``concurrency`` actors opens the weights once and computes with ``threads`` cores, and a GPU with
    ``device="cuda"``. ``options``: ``device``, ``precision``, ``tta``, ``max_size``, ``tile``, ``threshold``,
    ``batch_size``, as for ``load``. Nothing runs before the rows are asked for. Raises ``InputError`` for a data set
    without that column, for what ``load`` refuses, and without the extra ``ray``.
    """
    return later("batch.ray_dataset:map_detections")(
        ds,
        weights,
        image_column=image_column,
        keep_images=keep_images,
        concurrency=concurrency,
        threads=threads,
        **options,
    )


def check(data: _Path, *, format: Format | None = None) -> Findings:
    """Every problem of a data set in any label format: ``.problems``, each with its file; ``print`` shows all.

    ``.is_clean`` tells whether there are none, ``.datasets`` has the images and boxes that can be used, by split.
    Raises ``InputError`` if there is no data set.
    """
    format = later("tasks.keywords:checked")({"format": format}, "check")["format"]
    return later("tasks.checking:check_data_set")(os.fspath(data), format)


def __getattr__(name: str) -> Any:
    """Import numpy and torch only on first use: that takes seconds."""
    if name == "__version__":
        from importlib.metadata import version

        return version("cornernet")
    if name in _MODULES:
        return later(f"{_MODULES[name]}:{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
