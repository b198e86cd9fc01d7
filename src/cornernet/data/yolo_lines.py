"""The lines of YOLO's label files: boxes, polygons, turned boxes and boxes with keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cornernet.data.tables import read_text
from cornernet.errors import InputError

NAME_FILES = ("classes.txt", "predefined_classes.txt", "obj.names", "_darknet.labels", "names.txt", "labels.txt")


class LabelLine(NamedTuple):
    """A line of a label file: its class id (``None`` if it is no whole number), the box x y width height as shares of
    the image, the kind of line, and the numbers after the class."""

    class_id: int | None
    box: list[float]
    kind: Literal["box", "scored", "outline", "polygon", "keypoints"]
    numbers: list[float]


def parse_label(fields: Sequence[str], keypoint_numbers: int | None = None) -> LabelLine | str:
    """A line of a label file, or, as a text that may be empty, why it is none.

    ``keypoint_numbers`` is how many numbers the keypoints of each box have: 0 if that may vary, ``None`` if the data
    set does not say that there are any.
    """
    try:
        first, *numbers = map(float, fields)
    except ValueError:
        return ""
    class_id, count = int(first) if first.is_integer() else None, len(numbers)
    if count == 4:
        return LabelLine(class_id, box_of_centre(numbers), "box", numbers)
    if keypoint_numbers is not None:
        if count > 4 and keypoint_numbers in (0, count - 4):
            return LabelLine(class_id, box_of_centre(numbers), "keypoints", numbers)
        return f", nor with the {keypoint_numbers} numbers of keypoints that kpt_shape says" if count > 4 else ""
    if count == 5:
        if not 0 <= numbers[4] <= 1:
            return ", and the sixth no confidence"
        return LabelLine(class_id, box_of_centre(numbers), "scored", numbers)
    if count == 6 and numbers[5] > 1 and numbers[5].is_integer() and 0 <= numbers[4] <= 1:  # the number of a track
        return LabelLine(class_id, box_of_centre(numbers), "scored", numbers)
    if count > 6 and count % 2 and may_have_keypoints(numbers):
        return LabelLine(class_id, box_of_centre(numbers), "keypoints", numbers)
    if count < 6 or count % 2:
        return ""
    left, top = min(numbers[::2]), min(numbers[1::2])
    box = [left, top, max(numbers[::2]) - left, max(numbers[1::2]) - top]
    return LabelLine(class_id, box, "outline" if count == 8 else "polygon", numbers)


def how_to_mend(line: str) -> str:
    """What to do with a line that is no label, without losing it if its meaning can be seen."""
    fields = line.split()
    if "," in line and _is_label(line.replace(",", " ").split()):
        return "put spaces between its numbers, not commas"
    if len(fields) in (9, 10) and all(map(_is_number, fields[:8])) and not _is_number(fields[8]):
        return "it is DOTA's: convert the labels to YOLO's"
    if len(fields) == 6 and _is_label(fields[:5]):
        return "if the sixth number is an angle, write the upright box or the four corners"
    if len(fields) > 4 and _is_label(["0", *fields[-4:]]) and not _is_number(fields[0]):
        return "write the number of its class, not the name"
    return "correct or remove it"


def _is_label(fields: Sequence[str]) -> bool:
    return not isinstance(parse_label(fields), str)


def has_points_in_box(numbers: Sequence[float]) -> bool:
    """Whether the first four numbers may be a box in the image, and the others points in it."""
    x, y, w, h = numbers[:4]
    is_box = w > 0 and h > 0 and min(x - w / 2, y - h / 2) >= -0.01 and max(x + w / 2, y + h / 2) <= 1.01
    xs, ys = numbers[4::2], numbers[5::2]
    return is_box and all(abs(px - x) <= w / 2 for px in xs) and all(abs(py - y) <= h / 2 for py in ys)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def box_of_centre(numbers: Sequence[float]) -> list[float]:
    """The box x y width height of a centre, a width and a height."""
    x, y, w, h = numbers[:4]
    return [x - w / 2, y - h / 2, w, h]


def box_in_pixels(box: Sequence[float], width: int, height: int) -> list[float]:
    """A box in shares of the image, of ``width`` x ``height`` pixels, in pixels."""
    x, y, w, h = box
    return [x * width, y * height, w * width, h * height]


def may_have_keypoints(numbers: Sequence[float]) -> bool:
    """Whether the numbers may be a box and keypoints x, y, visibility, which is 0, 1 or 2."""
    return len(numbers) > 4 and (len(numbers) - 4) % 3 == 0 and all(value in (0, 1, 2) for value in numbers[6::3])


def count_keypoint_numbers(shape: Any) -> int | None:
    """How many numbers the keypoints of a box have, for `parse_label`."""
    if shape is None:
        return None
    is_usual = isinstance(shape, list) and len(shape) == 2 and all(type(number) is int for number in shape)
    return shape[0] * shape[1] if is_usual else 0


def label_lines(file: Path) -> list[tuple[int, str]]:
    """Every line that is not empty, and its number from 1."""
    lines = enumerate(read_text(file).split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def looks_like_labels(file: Path) -> bool:
    """Whether a text file is empty or begins with a number; other text files are notes and lists."""
    try:
        lines = label_lines(file)
    except InputError:
        return False
    if file.name.lower() in NAME_FILES:
        return False
    return not lines or lines[0][1].split()[0].replace(".", "", 1).isdigit()
