"""``cornernet report``: what a trained network can do, and its errors, as a page for a browser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.commands import options
from cornernet.commands.common import ProgressBar, open_detector, report_dataset
from cornernet.errors import InputError

if TYPE_CHECKING:
    from cornernet.report.page import Subject

IMAGES = 500
BEST, LAST = "best.safetensors", "last.safetensors"


def report(
    run: str | None = None,
    *,
    weights: str | None = None,
    data: str | None = None,
    split: str = "val",
    val_share: options.ValShare = None,
    format: options.Format = None,
    images: int = IMAGES,
    device: options.Device = None,
    out: str | None = None,
) -> None:
    """Write a page on RUN, a training's folder, or on any weights: AP, threshold, confusions, errors, pictures.

    The page needs no network and no other file. The threshold of the best F1 is stored in the weights of RUN, and
    predict uses it from then on.

    Args:
        weights: Without RUN: weights file of any dialect, shapes (bundled), or the name of a release.
        data: Data set in any label format. With RUN only where it has moved.
        split: Without RUN: split to use.
        images: The largest number of images, evenly spaced over the split.
        out: Page to write. Default: report.html, in RUN's folder if RUN is given.
    """
    if images < 1:
        raise InputError("at least 1", f"--images {images}")
    if run and (weights or split != "val" or val_share or format):
        raise InputError(
            "a run has its own weights and split", "report", "leave --weights, --split ... out, or the run"
        )
    path = Path(out or Path(run or "") / "report.html")
    if path.suffix not in (".html", ".htm"):
        raise InputError("give a name that ends in .html", f"--out {path}")
    if run:
        report_run(Path(run), path, data=data, images=images, device=device)
        return
    if not weights or not data:
        raise InputError("name a run's folder, or --weights and --data", "report")
    from cornernet.data.find import find_data, load_split
    from cornernet.report.page import Subject
    from cornernet.weights.zoo import open_weights

    detector, labels = open_detector(weights, device, "none", "fp32", None), find_data(data, format)
    dataset = load_split(labels, split, val_share=val_share, class_names=detector.class_names)
    subject = Subject(Path(weights).name, weights, open_weights(weights), detector, dataset, [dataset])
    report_dataset(dataset)
    _write(path, subject, images)


def report_run(
    folder: Path, path: Path, *, data: str | None = None, images: int = IMAGES, device: str | None = None
) -> None:
    """Write the page on a run's best weights (or its last ones), and store the threshold in its weights files."""
    from cornernet.data.source import DataSource
    from cornernet.report.logs import read_log
    from cornernet.report.page import Subject
    from cornernet.training.trainer import RECIPE_FILE, RUN_FILE
    from cornernet.weights.store import load_weights, store_threshold

    files = [folder / name for name in (BEST, LAST) if (folder / name).is_file()]
    if not files:
        raise InputError(f"no {BEST} and no {LAST}", folder, "name the folder of a run that has finished an epoch")
    try:
        source = DataSource(**json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))["source"])
        recipe = (folder / RECIPE_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"no run to report on ({error})", folder, "give --weights and --data instead") from None
    source.folder = data or source.folder
    training, validation = source.load()
    if validation is None:
        raise InputError("the run has no validation images", folder, "give --weights, --data and --split instead")
    detector = open_detector(str(files[0]), device, "none", "fp32", None)
    subject = Subject(
        folder.resolve().name,
        str(files[0]),
        load_weights(files[0]),
        detector,
        validation,
        [training, validation],
        read_log(folder),
        recipe,
    )
    best = _write(path, subject, images)
    if best is not None:
        for file in files:
            store_threshold(file, best)
        print(f"threshold {best:.2f} stored in {' and '.join(file.name for file in files)}", file=sys.stderr)


def report_after_training(folder: Path) -> None:
    """``report_run``, whose errors become a warning that says how to try again."""
    try:
        report_run(folder, folder / "report.html")
    except Exception as error:  # whatever it is, the training's files are there
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"warning: no report ({reason}); cornernet report {folder} tries again", file=sys.stderr)


def _write(path: Path, subject: Subject, images: int) -> float | None:
    """Write the page and print its place; returns the best threshold."""
    from cornernet.report.page import write_report

    outcome = write_report(path, subject, images=images, progress=ProgressBar("report"))
    print(f"report on {outcome.images} of {len(subject.dataset.images)} images: {path}", file=sys.stderr)
    return outcome.threshold
