"""``cornernet evaluate``."""

from __future__ import annotations

import sys
from pathlib import Path

from cornernet.commands.common import EXPORTED, TTA, Precision, ProgressBar, open_detector, open_network, report_dataset
from cornernet.data.formats import Format
from cornernet.errors import InputError


def evaluate(
    *,
    weights: str,
    data: str,
    split: str = "val",
    val_share: float | None = None,
    format: Format | None = None,
    tta: TTA = "none",
    oracle: str | None = None,
    precision: Precision = "fp32",
    max_size: int | None = None,
    tile: str | None = None,
    batch_size: int = 1,
    device: str | None = None,
    out: str = "evaluation",
    strict: bool = False,
) -> None:
    """COCO's 12 figures and AP per class of trained weights on a data set.

    Args:
        weights: Weights file of any dialect, shapes (bundled), or the name of a release, fetched on first use.
        data: Data set with the classes of the weights, in COCO's, YOLO's or Pascal VOC's format: its folder, or its
            JSON or YAML file.
        split: Split to evaluate on.
        val_share: The share of the images that training held back by the same option.
        format: What the data set is, where it looks like two formats.
        tta: Test-time augmentation: flip looks at every image's mirror too, as the published AP did; multiscale at
            0.5, 0.75, 1, 1.25 and 1.5 times its size, each with its mirror, and merges the boxes.
        oracle: Put the truth in place of the network's heatmaps, or of heatmaps,offsets or heatmaps,embeddings or all
            three: what AP the other parts allow.
        precision: Arithmetic of the network; pairing is always in fp32.
        max_size: Scale larger images down to this many pixels a side.
        tile: Look at images in square tiles, SIZE or SIZE,OVERLAP in pixels, all boxes in one soft-NMS. The overlap
            should be as long as the largest object; a quarter of the size, if not said.
        batch_size: Images of one size, or tiles of one image, that share a pass.
        device: cpu, cuda, cuda:1 ... Default: the GPU where there is one.
        out: Folder for metrics.json and predictions.json (COCO results).
        strict: Refuse a data set with unusable images or boxes, instead of leaving them out.
    """
    from cornernet.data.find import find_data, load_split
    from cornernet.evaluation.oracles import evaluate_with_oracles, parse_parts
    from cornernet.evaluation.predict import evaluate_dataset
    from cornernet.files import atomic_write_json, make_folder

    if oracle and weights.lower().endswith(EXPORTED):
        raise InputError(f"{weights}: --oracle looks into the network; use the weights it was made from")
    options = weights, device, tta, precision, max_size, tile
    network = open_network(*options) if oracle else None
    detector = network or open_detector(*options)
    labels, names = find_data(data, format), detector.class_names
    dataset = load_split(labels, split, val_share=val_share, strict=strict, class_names=names)
    report_dataset(dataset)
    folder = make_folder(Path(out))
    if oracle and network:
        parts = parse_parts(oracle)
        metrics, results = evaluate_with_oracles(network, dataset, parts, progress=ProgressBar("evaluating"))
    else:
        metrics, results = evaluate_dataset(
            detector, dataset, batch_size=batch_size, progress=ProgressBar("evaluating")
        )
    print(metrics.table())
    settings = {"weights": weights, "data": data, "split": split, "val_share": val_share, "tta": tta, "oracle": oracle}
    settings |= {"precision": precision, "max_size": max_size, "tile": tile}
    atomic_write_json(folder / "metrics.json", metrics.as_dict() | {"settings": settings})
    atomic_write_json(folder / "predictions.json", results, indent=None)
    print(f"metrics.json and predictions.json: {folder}", file=sys.stderr)
