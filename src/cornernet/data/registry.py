"""The table of all label formats. A new one is a file that finds, reads and writes it, a line here, and its name in
`Format`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from cornernet.data.coco import find_coco, write_coco
from cornernet.data.cvat import find_cvat, write_cvat
from cornernet.data.dataset import CocoDataset
from cornernet.data.formats import Format
from cornernet.data.label_studio import find_label_studio, write_label_studio
from cornernet.data.labelme import find_labelme, write_labelme
from cornernet.data.tables import Problem, Tables, Wanted, everything
from cornernet.data.voc import find_voc, write_voc
from cornernet.data.writing import Placer
from cornernet.data.yolo import find_yolo, write_yolo


class LabelFolder(Protocol):
    """A data set in one format; ``title`` has its name and the file that shows it.

    ``root`` is its folder, or the COCO file that the user named: then other files are not part of the data set.
    """

    format: Format
    root: Path
    title: str
    splits: tuple[str, ...]

    def read(self, split: str, wanted: Wanted = everything) -> Tables:
        """The tables of a split's ``wanted`` images; ``InputError`` or ``OSError`` if it cannot be read at all."""
        ...

    def strays(self, read: Sequence[Tables]) -> list[Problem]:
        """Images without labels and labels without images, in the splits ``read``."""
        ...


class LabelFormat(NamedTuple):
    """What is said of a format where none is found, what finds it in a folder or file, and what writes it."""

    looked_for: str
    find: Callable[[Path], LabelFolder | None]
    write: Callable[[Path, Mapping[str, CocoDataset], Placer], list[str]]


LABEL_FORMATS: dict[Format, LabelFormat] = {
    "coco": LabelFormat("COCO (annotations/instances_*.json, */_annotations.coco.json, *.json)", find_coco, write_coco),
    "yolo": LabelFormat("YOLO (data.yaml, obj.data, or images with .txt files of boxes)", find_yolo, write_yolo),
    "voc": LabelFormat("Pascal VOC (Annotations/*.xml, *.xml, */*.xml)", find_voc, write_voc),
    "cvat": LabelFormat("CVAT (annotations.xml)", find_cvat, write_cvat),
    "labelme": LabelFormat("LabelMe (a JSON file beside each image)", find_labelme, write_labelme),
    "labelstudio": LabelFormat("Label Studio (*.json)", find_label_studio, write_label_studio),
}
