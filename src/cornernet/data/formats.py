"""The label formats, by the names that the command line has for them; apart, as it imports nothing heavy."""

from typing import Literal

Format = Literal["coco", "yolo", "voc"]
