"""What several commands share: progress bars and the options of a detector."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from tqdm import tqdm

from cornernet.errors import InputError

if TYPE_CHECKING:
    import torch

    from cornernet.data.dataset import CocoDataset
    from cornernet.detector import Detector

TTA = Literal["none", "flip", "multiscale"]
MULTISCALE = (0.5, 0.75, 1.0, 1.25, 1.5)  # paper, section 4.2
Precision = Literal["fp32", "bf16", "fp16"]


class Bar:
    """A progress bar to call with (done, total); ``unit`` ``"B"`` counts bytes."""

    def __init__(self, what: str, unit: str = "image") -> None:
        self.what, self.unit, self.bar = what, unit, None

    def __call__(self, done: int, total: int) -> None:
        if self.bar is None:
            scaled = self.unit == "B"
            self.bar = tqdm(total=total, desc=self.what, unit=self.unit, unit_scale=scaled, leave=False, disable=None)
        self.bar.total = total
        self.bar.update(done - self.bar.n)
        if done >= total:
            self.bar.close()


def find_device(device: str | None) -> torch.device:
    """The device of that name, by default the GPU where there is one; ``InputError`` where it is not there."""
    import torch

    try:
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device}: not usable here ({str(error).splitlines()[0]}); leave it out") from None
    return place


def load_detector(weights: str, device: str | None, tta: TTA, precision: Precision, max_size: int | None) -> Detector:
    """``cornernet.load`` with a command's options; ``InputError`` for a device that is not there."""
    import torch

    from cornernet.detector import load

    if max_size is not None and max_size < 1:
        raise InputError(f"--max-size {max_size}: give a number of pixels above 0")
    precisions = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    scales = MULTISCALE if tta == "multiscale" else (1.0,)
    return load(
        weights,
        device=find_device(device),
        flip=tta != "none",
        scales=scales,
        max_size=max_size,
        precision=precisions[precision],
        progress=Bar("fetching", "B"),
    )


def report_dataset(dataset: CocoDataset, shown: int = 10) -> None:
    """Say what was read; on standard error, what was left out or clipped, the first of it in full."""
    print(dataset)
    for problem in dataset.problems[:shown]:
        print(f"warning: {problem}", file=sys.stderr)
    if dataset.problems:
        images, boxes = dataset.skipped_images, dataset.skipped
        counts = f"{images} images and {boxes} boxes left out" if images else f"{boxes} boxes left out"
        counts += f", {len(dataset.problems) - images - boxes} clipped"
        hint = "cornernet data check lists them all, --strict refuses them"
        print(f"warning: {dataset.name}: {counts}; {hint}", file=sys.stderr)
