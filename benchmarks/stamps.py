"""`stamps`: cut-out photographs and drawings on photographs, a data set from Debian's packages, in COCO's layout.

In an empty folder, with Debian's package lists:

    apt-get download tuxpaint-stamps-default ukui-wallpapers lomiri-wallpapers-16.04 mate-backgrounds
    for package in *.deb; do dpkg -x $package debian; done
    python benchmarks/stamps.py debian stamps

Images of 480 x 360 with 2 to 8 objects of five classes; the longer side is log-uniform over 32..256 pixels, at least
65% of every object stays visible. Training and test images share no background, and share their stamps. A box is around
the visible pixels of an object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

CLASS_NAMES = ("animals", "food", "household", "plants", "vehicles")
HEIGHT, WIDTH = 360, 480


def read_stamps(folder: Path, each: int) -> list[tuple[int, np.ndarray]]:
    """Class and uint8 (H, W, 4) of ``each`` stamps of a class that have transparency, cut to what is opaque."""
    stamps = []
    for label, name in enumerate(CLASS_NAMES):
        found = []
        for path in sorted((folder / "usr/share/tuxpaint/stamps" / name).rglob("*.png")):
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if image is None or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4:
                continue
            x, y, width, height = cv2.boundingRect((image[..., 3] > 127).astype(np.uint8))
            if min(width, height) >= 24 and (image[..., 3] < 128).any():
                found.append((label, image[y : y + height, x : x + width]))
        stamps += found[:: max(1, len(found) // each)][:each]
    return stamps


def draw(
    background: np.ndarray, stamps: list[tuple[int, np.ndarray]], rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[int, tuple[int, int, int, int]]]]:
    """One image, uint8 (360, 480, 3), and its objects: class and x, y, width, height in pixels."""
    share = rng.uniform(0.4, 1.0)
    height = int(share * min(background.shape[0], background.shape[1] * HEIGHT / WIDTH))
    width = height * WIDTH // HEIGHT
    top, left = (int(rng.integers(0, room + 1)) for room in (background.shape[0] - height, background.shape[1] - width))
    part = background[top : top + height, left : left + width]
    image = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    owner = np.full((HEIGHT, WIDTH), -1)
    areas: list[int] = []
    labels: list[int] = []
    for _ in range(int(rng.integers(2, 9))):
        label, stamp = stamps[rng.integers(len(stamps))]
        scale = np.exp(rng.uniform(np.log(32), np.log(256))) / max(stamp.shape[:2])
        size = [max(8, round(side * scale)) for side in stamp.shape[1::-1]]
        stamp = cv2.resize(stamp, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        stamp = stamp[:, ::-1] if rng.random() < 0.5 else stamp
        x, y = int(rng.integers(0, WIDTH - size[0] + 1)), int(rng.integers(0, HEIGHT - size[1] + 1))
        place = (slice(y, y + size[1]), slice(x, x + size[0]))
        solid = stamp[..., 3] > 127
        after = owner.copy()
        after[place][solid] = len(areas)
        if any((after == index).sum() < 0.65 * area for index, area in enumerate(areas)) or not solid.any():
            continue
        alpha = stamp[..., 3:].astype(np.float32) / 255
        image[place] = alpha * stamp[..., :3] * rng.uniform(0.7, 1.1) + (1 - alpha) * image[place]
        owner = after
        areas.append(int(solid.sum()))
        labels.append(label)
    boxes = [cv2.boundingRect((owner == index).astype(np.uint8)) for index in range(len(areas))]
    return image.clip(0, 255).astype(np.uint8), list(zip(labels, boxes, strict=True))


def main() -> None:
    """The command line: PACKAGES OUT [--train N] [--val N] [--each N] [--seed S]."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="the folder that the packages were unpacked into")
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--val", type=int, default=150)
    parser.add_argument("--each", type=int, default=8, help="stamps of a class")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    stamps = read_stamps(options.packages, options.each)
    paths = sorted((options.packages / "usr/share/backgrounds").rglob("*.jpg"))
    if not stamps or len(paths) < 10:
        found = f"{len(stamps)} stamps and {len(paths)} backgrounds"
        parser.error(f"{options.packages}: {found}; unpack the packages there")
    backgrounds = [cv2.resize(cv2.imread(str(path)), (1280, 960), interpolation=cv2.INTER_AREA) for path in paths]
    held_back = len(paths) // 5
    splits = {"train": (options.train, backgrounds[held_back:]), "val": (options.val, backgrounds[:held_back])}
    for number, (split, (count, behind)) in enumerate(splits.items()):
        images, annotations = [], []
        (options.out / split).mkdir(parents=True)
        for index in range(count):
            rng = np.random.default_rng((options.seed, number, index))
            image, objects = draw(behind[rng.integers(len(behind))], stamps, rng)
            name = f"{index:05}.jpg"
            cv2.imwrite(str(options.out / split / name), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
            images.append({"id": index, "file_name": name, "width": WIDTH, "height": HEIGHT})
            for label, box in objects:
                entry = {"id": len(annotations) + 1, "image_id": index, "category_id": label + 1, "bbox": list(box)}
                annotations.append({**entry, "area": box[2] * box[3], "iscrowd": 0})
        categories = [{"id": label + 1, "name": name} for label, name in enumerate(CLASS_NAMES)]
        (options.out / "annotations").mkdir(exist_ok=True)
        table = {"images": images, "annotations": annotations, "categories": categories}
        (options.out / "annotations" / f"instances_{split}.json").write_text(json.dumps(table))
        print(f"{split}: {count} images, {len(annotations)} objects, {len(stamps)} stamps, {len(behind)} backgrounds")


if __name__ == "__main__":
    main()
