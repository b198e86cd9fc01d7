"""``cornernet report``: what a trained network can do, and its errors, as a page for a browser."""

from __future__ import annotations

from pathlib import Path

from cornernet.commands import options
from cornernet.errors import InputError
from cornernet.tasks.detectors import open_detector
from cornernet.tasks.notices import report_dataset
from cornernet.tasks.run_report import IMAGES, report_run, write_page


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
    write_page(path, subject, images)
