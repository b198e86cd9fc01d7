"""``cornernet evaluate``."""

from __future__ import annotations

from pathlib import Path

from cornernet.commands import options
from cornernet.commands.batch import DetectorOptions, EvaluationOnRay, RayOptions
from cornernet.errors import InputError
from cornernet.tasks.detectors import open_detector


def evaluate(
    *,
    weights: options.WeightsOrExported,
    data: str,
    split: str = "val",
    val_share: options.ValShare = None,
    format: options.Format = None,
    tta: options.TTA = "none",
    oracle: str | None = None,
    precision: options.Precision = "fp32",
    max_size: options.MaxSize = None,
    tile: options.Tile = None,
    batch_size: options.BatchSize = 1,
    device: options.Device = None,
    out: str = "evaluation",
    strict: options.Strict = False,
    ray: options.Ray = False,
    part_size: options.PartSize = None,
    workers: options.Workers = None,
    threads: options.Threads = None,
) -> None:
    """COCO's 12 figures and AP per class of trained weights on a data set.

    Args:
        data: Data set with the classes of the weights, in any label format: its folder, or its label
            file.
        split: Split to evaluate on.
        oracle: Put the ground truth in place of the network's heatmaps, or of heatmaps,offsets or heatmaps,pairing or
            all three: shows the AP that the other parts allow.
        out: Folder for metrics.json and predictions.json (COCO results); for data without numbers as ids also
            ground_truth.json, which has those of the predictions. With --ray also detections, in parts: the same
            command goes on where it ended.
    """
    from cornernet.tasks.measure import evaluate_on

    chosen = weights, device, tta, precision, max_size, tile
    cluster, how = RayOptions(ray, part_size, workers, threads), None
    if ray:
        if oracle:
            raise InputError("looks into the network on one machine", "--oracle", "leave --ray out")
        how = EvaluationOnRay(
            data, out, DetectorOptions(*chosen, batch_size), cluster, split=split, val_share=val_share
        )
        detector = how.detector
    else:
        detector = open_detector(*chosen)
    settings = {"weights": weights, "tta": tta, "oracle": oracle}
    settings |= {"precision": precision, "max_size": max_size, "tile": tile}
    metrics = evaluate_on(
        detector,
        data,
        split=split,
        val_share=val_share,
        format=format,
        strict=strict,
        batch_size=batch_size,
        oracle=oracle,
        how=how,
        out=Path(out),
        settings=settings,
    )
    print(metrics.table())
