"""Options that several commands share: each has its type and its help here, once."""

from __future__ import annotations

from typing import Annotated

from cornernet.data import formats
from cornernet.tasks.detectors import Arithmetic, TestTime

Weights = Annotated[
    str,
    "Weights file of any dialect, photos or shapes (bundled); or, fetched on first use: the name of a release,"
    " https://..., or user/name of the Hugging Face hub.",
]
WeightsOrExported = Annotated[
    str,
    "Weights file of any dialect, a file that export wrote, photos or shapes (bundled); or, fetched on first use: the"
    " name of a release, https://..., or user/name of the Hugging Face hub.",
]
Device = Annotated[str | None, "cpu, cuda, cuda:1, mps or xpu. Default: the CUDA GPU where there is one."]
Precision = Annotated[Arithmetic, "Arithmetic of the network; pairing is always in fp32."]
TTA = Annotated[
    TestTime,
    "Test-time augmentation: flip uses every image's mirror too, as the published AP; multiscale uses 0.5, 0.75,"
    " 1, 1.25 and 1.5 times its size, each with its mirror, and merges the boxes.",
]
MaxSize = Annotated[int | None, "Scale larger images down to this many pixels a side; boxes are scaled back."]
Tile = Annotated[
    str | None,
    "Divide images into square tiles, SIZE or SIZE,OVERLAP in pixels, with one soft-NMS. The overlap should be as long"
    " as the largest object; default: a quarter of the size.",
]
BatchSize = Annotated[
    int, "Images of one padded size, or tiles of one image, that share a pass; more than 1 helps on a GPU."
]
Ray = Annotated[
    str | bool,
    "Use all cores or GPUs of a Ray cluster, at host:port, or auto for the one that runs here; alone: a cluster of this"
    " machine, for this command.",
]
PartSize = Annotated[int | None, "With --ray: images of a part, which is written as a whole. Default: 500."]
Workers = Annotated[int | None, "With --ray: detectors at once. Default: as many as the cluster has room for."]
Threads = Annotated[int | None, "With --ray: cores of each detector. Default: 1, or 4 beside a GPU."]
Threshold = Annotated[float | None, "Lowest score shown and written. Default: the one stored in the weights."]
Format = Annotated[formats.Format | None, "The format of the data set, if it looks like two."]
ValShare = Annotated[float | None, "The share of the images that training held back with the same option."]
Strict = Annotated[bool, "Refuse a data set with unusable images or boxes, instead of leaving them out."]
