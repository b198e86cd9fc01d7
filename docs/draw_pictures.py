"""The pictures of how.md, explain.md and modern.md: ``python docs/draw_pictures.py`` draws them again, from the
bundled weights and from the measured figures in runs/modern.json."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import torch

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.patches import Circle, Rectangle

import cornernet
from cornernet.cli import main as cornernet_main
from cornernet.data.shapes import CLASS_NAMES, draw_scene, scene_seed
from cornernet.drawing.draw import draw_boxes, draw_heatmaps, draw_pairings, save_image, side_by_side
from cornernet.model.corner_pool import left_pool, top_pool
from cornernet.model.soft_nms import SIGMA
from cornernet.model.targets import dense_heatmaps, make_targets

IMAGES = Path(__file__).parent / "images"
SCENE = draw_scene(scene_seed("val", 0, 1))  # held back: the bundled weights have not seen it
ORANGE = "#ff9600"  # of top-left corners in all pictures
PAD_MASK = 127  # HourglassNet-104's: 320 becomes 383


def draw_corner_pooling() -> None:
    """A disc, what responds to its topmost and leftmost edge, both pooled by the network's own operators, the sum."""
    side, top, left = 12, (2, 6), (6, 2)  # cells (row, column)
    rows, columns = np.mgrid[:side, :side]
    topmost, leftmost = (
        np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 0.8).astype(np.float32) for row, column in (top, left)
    )
    across = left_pool(torch.from_numpy(topmost)[None, None])[0, 0].numpy()
    down = top_pool(torch.from_numpy(leftmost)[None, None])[0, 0].numpy()
    figure, axes = pyplot.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
    shown = {
        "a disc: nothing of it is at its corner": None,
        "what sees a topmost edge": topmost,
        "left pool: maximum over all to the right": across,
        "what sees a leftmost edge": leftmost,
        "top pool: maximum over all below": down,
        "the sum: highest at the corner": across + down,
    }
    for axis, (title, values) in zip(axes.flat, shown.items(), strict=True):
        axis.set_title(title, fontsize=10)
        axis.set(xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.5), xticks=[], yticks=[], aspect="equal")
        if values is not None:
            axis.imshow(values, cmap="Greys", vmin=0, vmax=2.4 if title.startswith("the sum") else 1.2)
        axis.add_patch(Circle((6, 6), 4, fill=values is None, facecolor="0.8", edgecolor="0.4"))
        axis.add_patch(Rectangle((2, 2), 8, 8, fill=False, linestyle="--", edgecolor="0.4"))
        axis.plot(2, 2, "o", color=ORANGE, ms=9, mfc="none", mew=2.5)
    figure.savefig(IMAGES / "corner-pooling.png", dpi=80)
    pyplot.close(figure)


def draw_targets() -> None:
    """A scene with its boxes, and the two heatmaps that the network should answer with."""
    height, width = SCENE.image.shape[:2]
    input_size = height | PAD_MASK, width | PAD_MASK
    offset = input_size[0] // 2 - height // 2, input_size[1] // 2 - width // 2
    boxes = torch.from_numpy(SCENE.boxes + np.array([offset[1], offset[0]] * 2, np.float32))[None]
    targets = make_targets(
        boxes, torch.from_numpy(SCENE.labels)[None], input_size, tuple(-(-v // 4) for v in input_size)
    )
    tl, br = dense_heatmaps(targets, len(CLASS_NAMES)).amax(2)[:, 0].numpy()
    truth = draw_boxes(SCENE.image, SCENE.boxes, SCENE.labels, CLASS_NAMES)
    wanted = draw_heatmaps(SCENE.image, tl, br, offset, input_size)
    save_image(IMAGES / "targets.jpg", side_by_side([truth, wanted], ["the truth", "target heatmaps"]))


def draw_road() -> None:
    """What the bundled weights see in the same scene, and the corners they pair."""
    detector = cornernet.load("shapes")
    seen = detector.explain(SCENE.image)
    heatmaps = draw_heatmaps(SCENE.image, seen.tl_heatmap, seen.br_heatmap, seen.offset, seen.padded_size)
    pairs = draw_pairings(SCENE.image, seen.candidates, seen.detections, detector.threshold)
    save_image(IMAGES / "pairing.jpg", side_by_side([heatmaps, pairs], ["heatmaps", "paired corners"]))


def draw_soft_nms() -> None:
    """What is left of a score beside a better box of the class: soft-NMS and the plain rule at IoU 0.5."""
    iou = np.linspace(0, 1, 201)
    figure, axis = pyplot.subplots(figsize=(5.4, 3.2), layout="constrained")
    axis.plot(iou, np.exp(-(iou**2) / SIGMA), label="Gaussian soft-NMS, sigma 0.5", color="#0069ff", lw=2)
    axis.plot(iou, iou <= 0.5, "--", label="plain NMS at IoU 0.5", color="0.5")
    axis.set(xlabel="IoU with a better box of the class", ylabel="share of the score left", ylim=(0, 1.05), xlim=(0, 1))
    axis.legend(frameon=False)
    figure.savefig(IMAGES / "soft-nms.png", dpi=80)
    pyplot.close(figure)


def draw_explanation() -> None:
    """The picture of rejected pairs of the best box, as the command draws it."""
    with tempfile.TemporaryDirectory() as scratch:
        image = save_image(Path(scratch) / "scene.png", SCENE.image)
        words = ["explain", str(image), "--weights", "shapes", "--threshold", "0.92", "--out", scratch]
        cornernet_main(words)
        shutil.copyfile(Path(scratch) / "scene_rejected.jpg", IMAGES / "explain-rejected.jpg")


def draw_modern() -> None:
    """What each part of the modern recipe is worth, and where the AP is lost by the classic one and by it."""
    measured = json.loads((IMAGES.parent / "runs/modern.json").read_text())
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    rows = list(reversed(measured["parts"]))
    means = [np.mean(row["AP"]) for row in rows]
    left.barh([row["what"] for row in rows], means, color=["#0069ff" if len(row["AP"]) > 1 else "0.6" for row in rows])
    for i, (row, mean) in enumerate(zip(rows, means, strict=True)):
        left.plot(row["AP"], [i] * len(row["AP"]), "k|", markersize=8)
        left.text(max(row["AP"]) + 0.01, i, f"{mean:.3f}", va="center", fontsize=9)
    left.set(xlabel="AP on images held back; blue: three seeds", xlim=(0, 0.82))
    kinds = list(reversed(measured["lost"]["modern"]))
    places = np.arange(len(kinds))
    for offset, name, color in ((0.2, "classic", "0.6"), (-0.2, "modern", "#0069ff")):
        right.barh(places + offset, [measured["lost"][name][kind] for kind in kinds], 0.4, color=color, label=name)
    right.set(xlabel="points of AP that each kind of error costs", yticks=places, yticklabels=kinds)
    right.legend(frameon=False, loc="lower right")
    figure.savefig(IMAGES / "modern.png", dpi=80)
    pyplot.close(figure)


if __name__ == "__main__":
    draw_corner_pooling()
    draw_targets()
    draw_road()
    draw_soft_nms()
    draw_explanation()
    draw_modern()
