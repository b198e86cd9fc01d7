"""Small one-class data sets out of a COCO one: 150 images to learn from, all others with the class to validate on.

    python benchmarks/one_class.py COCO ride motorbike bicycle horse
    python benchmarks/one_class.py COCO vehicle bus truck train

The boxes of the named classes, in both splits of COCO, become boxes of one class. Images are linked, not copied.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coco", type=Path, help="folder with annotations/instances_{train,val}.json, train and val")
    parser.add_argument("out", type=Path)
    parser.add_argument("classes", nargs="+")
    parser.add_argument("--images", type=int, default=150, help="to learn from")
    given = parser.parse_args()
    found = [image for split in ("train", "val") for image in images_with(given.coco, split, given.classes)]
    random.Random(0).shuffle(found)
    for split, part in (("train", found[: given.images]), ("val", found[given.images :])):
        write(given.out, split, part)


def images_with(coco: Path, split: str, classes: list[str]) -> list[tuple[Path, dict[str, Any], list[dict[str, Any]]]]:
    """File, entry and boxes of every image of ``split`` that has an object of ``classes``."""
    content = json.loads((coco / f"annotations/instances_{split}.json").read_text())
    wanted = {category["id"] for category in content["categories"] if category["name"] in classes}
    if len(wanted) < len(classes):
        raise SystemExit(f"{coco}: it has only {len(wanted)} of the classes {', '.join(classes)}")
    boxes: dict[int, list[dict[str, Any]]] = {}
    for box in content["annotations"]:
        if box["category_id"] in wanted:
            boxes.setdefault(box["image_id"], []).append(box)
    images = (image for image in content["images"] if image["id"] in boxes)
    return [((coco / split / image["file_name"]).resolve(), image, boxes[image["id"]]) for image in images]


def write(out: Path, split: str, part: list[tuple[Path, dict[str, Any], list[dict[str, Any]]]]) -> None:
    for folder in (out / split, out / "annotations"):
        folder.mkdir(parents=True, exist_ok=True)
    images, boxes = [], []
    for number, (file, image, own) in enumerate(part, start=1):
        link = out / split / file.name
        if not link.is_symlink():
            link.symlink_to(file)
        images.append({**image, "id": number})
        boxes += [{**box, "image_id": number, "category_id": 1} for box in own]
    boxes = [{**box, "id": number} for number, box in enumerate(boxes, start=1)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": out.name}]}
    (out / f"annotations/instances_{split}.json").write_text(json.dumps(content))
    print(f"{split}: {len(images)} images, {len(boxes)} boxes")


if __name__ == "__main__":
    main()
