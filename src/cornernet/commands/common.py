"""What several commands share: progress bars and the options of a detector."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

from cornernet.commands.options import TTA, Precision
from cornernet.errors import InputError

if TYPE_CHECKING:
    import torch

    from cornernet.data.dataset import CocoDataset
    from cornernet.inference.api import BaseDetector
    from cornernet.inference.detector import Detector

MULTISCALE = (0.5, 0.75, 1.0, 1.25, 1.5)  # the authors' configuration
EXPORTED = (".onnx", ".xml")  # what cornernet export writes and load runs


class ProgressBar:
    """A progress bar to call with (done, total), total ``None`` if unknown; ``unit`` ``"B"`` counts bytes."""

    def __init__(self, what: str, unit: str = "image") -> None:
        self.what, self.unit, self.bar = what, unit, None

    def __call__(self, done: int, total: int | None) -> None:
        if self.bar is None:
            scaled = self.unit == "B"
            self.bar = tqdm(total=total, desc=self.what, unit=self.unit, unit_scale=scaled, leave=False, disable=None)
        self.bar.total = total
        self.bar.update(done - self.bar.n)
        if total is not None and done >= total:
            self.bar.close()

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()


def find_device(device: str | None) -> torch.device:
    """The device of that name, by default the GPU if there is one; ``InputError`` if it cannot be used."""
    import torch

    try:
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"not usable here ({str(error).splitlines()[0]})", f"--device {device}", "leave it out"
        ) from None
    return place


def parse_tile(text: str | None) -> tuple[int, int] | tuple[None, None]:
    """``"1024"`` or ``"1024,256"`` as a tile's size and overlap in pixels; ``InputError`` if these make no tiles."""
    if text is None:
        return None, None
    from cornernet.inference.views import make_tiling

    try:
        tiling = make_tiling(*map(int, text.split(",")))
    except (TypeError, ValueError):
        raise InputError("give a size and an overlap in pixels, as 1024,256 or 1024 alone", f"--tile {text}") from None
    return tiling.size, tiling.overlap


def open_detector(
    weights: str, device: str | None, tta: TTA, precision: Precision, max_size: int | None, tile: str | None = None
) -> BaseDetector:
    """``cornernet.load`` with a command's options, for weights or an exported file, which cannot explain.

    Raises ``InputError`` for a device that cannot be used, and for an option that an exported file does not have.
    """
    if not weights.lower().endswith(EXPORTED):
        return open_network(weights, device, tta, precision, max_size, tile)
    from cornernet.inference.exported import load_exported

    given = {"--tta": tta != "none", "--precision": precision != "fp32", "--tile": tile is not None}
    for name in filter(given.get, given):
        what = f"{name} cannot be chosen for an exported file"
        raise InputError(what, weights, "use the weights it was made from")
    _check_max_size(max_size)
    return load_exported(weights, device=device, max_size=max_size)


def open_network(
    weights: str, device: str | None, tta: TTA, precision: Precision, max_size: int | None, tile: str | None = None
) -> Detector:
    """``open_detector`` for weights only: commands that need the network."""
    _check_max_size(max_size)
    import torch

    from cornernet.inference.detector import load_detector

    size, overlap = parse_tile(tile)
    precisions = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    scales = MULTISCALE if tta == "multiscale" else (1.0,)
    return load_detector(
        weights,
        device=find_device(device),
        flip=tta != "none",
        scales=scales,
        max_size=max_size,
        tile=size,
        tile_overlap=overlap,
        precision=precisions[precision],
        progress=ProgressBar("fetching", "B"),
    )


def _check_max_size(max_size: int | None) -> None:
    if max_size is not None and max_size < 1:
        raise InputError("give a number of pixels above 0", f"--max-size {max_size}")


def report_dataset(dataset: CocoDataset, shown: int = 10) -> None:
    """Print the data set; on standard error its notes, and what was left out or clipped, the first problems in full."""
    print(dataset)
    report_notes(dataset)
    for problem in dataset.problems[:shown]:
        print(f"warning: {problem}", file=sys.stderr)
    if dataset.problems:
        images, boxes = dataset.skipped_images, dataset.skipped
        counts = f"{images} images and {boxes} boxes left out" if images else f"{boxes} boxes left out"
        counts += f", {len(dataset.problems) - images - boxes} clipped"
        hint = "cornernet data check lists them all, --strict refuses them"
        print(f"warning: {dataset.name}: {counts}; {hint}", file=sys.stderr)


def report_notes(dataset: CocoDataset) -> None:
    """Print, on standard error, the remarks about a data set."""
    for note in dataset.notes:
        print(f"note: {dataset.name}: {note}", file=sys.stderr)
