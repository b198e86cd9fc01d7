"""Which pictures a file holds: pages of a TIFF, frames of an animation, the images of a HEIC or MPO file."""

from __future__ import annotations

from contextlib import suppress

from PIL import Image
from PIL.MpoImagePlugin import MpoImageFile
from PIL.TiffImagePlugin import TiffImageFile

_SUBFILE_TYPE, _REDUCED_OR_MASK = 254, 1 | 4


def pictures_in(image: Image.Image) -> list[int]:
    """The numbers, for ``image.seek``, of a file's pictures; the first one is sought.

    Not a TIFF's thumbnails and masks, and not what is smaller than an MPO's first image: previews, depth, gain maps.
    A damaged page counts: reading it tells what is wrong. Empty if a TIFF has only a thumbnail, as cameras' raw files.
    """
    count = _count(image)
    if isinstance(image, TiffImageFile):
        numbers = [i for i in range(count) if not _is_reduced(image, i)]
    elif isinstance(image, MpoImageFile):
        areas = [_area(image, i) for i in range(count)]
        numbers = [i for i in range(count) if areas[i] >= areas[0]]
    else:
        numbers = list(range(count))
    if count > 1 and numbers:
        image.seek(numbers[0])
    return numbers


def _count(image: Image.Image) -> int:
    """How many frames there are; one more than can be reached if the next one is damaged."""
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a damaged page raises anything
        count = 1
    with suppress(Exception):
        while True:
            image.seek(count)
            count += 1
    image.seek(0)
    return count + 1


def _is_reduced(image: TiffImageFile, number: int) -> bool:
    with suppress(Exception):  # a damaged page is no thumbnail
        image.seek(number)
        return bool(int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & _REDUCED_OR_MASK)
    return False


def _area(image: Image.Image, number: int) -> int:
    with suppress(Exception):
        image.seek(number)
        return image.width * image.height
    return 0
