"""The label formats, by their names on the command line; a module of its own because it imports nothing heavy."""

from typing import Literal

Format = Literal["coco", "yolo", "voc", "cvat", "labelme", "labelstudio"]
