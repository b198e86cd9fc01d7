"""``cornernet evaluate``."""

from __future__ import annotations

import sys
from pathlib import Path

from cornernet.commands import options
from cornernet.commands.common import EXPORTED, ProgressBar, open_detector, open_network, report_dataset
from cornernet.errors import InputError


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
) -> None:
    """COCO's 12 figures and AP per class of trained weights on a data set.

    Args:
        data: Data set with the classes of the weights, in any label format: its folder, or its label
            file.
        split: Split to evaluate on.
        oracle: Put the ground truth in place of the network's heatmaps, or of heatmaps,offsets or heatmaps,pairing or
            all three: shows the AP that the other parts allow.
        out: Folder for metrics.json and predictions.json (COCO results); for data that are not in COCO's format also
            ground_truth.json, which has the ids of the predictions.
    """
    from cornernet.data.find import find_data, load_split
    from cornernet.data.strays import with_stray_notes
    from cornernet.evaluation.oracles import evaluate_with_oracles, parse_parts
    from cornernet.evaluation.predict import evaluate_dataset
    from cornernet.files import atomic_write_json, make_folder

    if oracle and weights.lower().endswith(EXPORTED):
        raise InputError("--oracle looks into the network", weights, "use the weights it was made from")
    chosen = weights, device, tta, precision, max_size, tile
    network = open_network(*chosen) if oracle else None
    detector = network or open_detector(*chosen)
    labels, names = find_data(data, format), detector.class_names
    dataset = load_split(labels, split, val_share=val_share, strict=strict, class_names=names)
    if val_share is None:
        dataset = with_stray_notes(labels, [dataset])[0]
    report_dataset(dataset)
    dataset.refuse_losses(share=1.0)
    folder = make_folder(Path(out))
    if oracle and network:
        parts = parse_parts(oracle)
        metrics, results = evaluate_with_oracles(network, dataset, parts, progress=ProgressBar("evaluating"))
    else:
        metrics, results = evaluate_dataset(
            detector, dataset, batch_size=batch_size, progress=ProgressBar("evaluating")
        )
    settings = {"weights": weights, "data": data, "split": split, "val_share": val_share, "tta": tta, "oracle": oracle}
    settings |= {"precision": precision, "max_size": max_size, "tile": tile}
    atomic_write_json(folder / "metrics.json", metrics.as_dict() | {"settings": settings})
    atomic_write_json(folder / "predictions.json", results, indent=None)
    if labels.format != "coco":  # its images and boxes have no ids in its own files
        atomic_write_json(folder / "ground_truth.json", dataset.coco_dict(), indent=None)
    print(metrics.table())
    print(f"metrics.json and predictions.json: {folder}", file=sys.stderr)
