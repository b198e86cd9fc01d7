"""Images in: files, arrays and Pillow images become uint8 RGB pixels, right way up, or a one-line error.

Pillow opens every file, and decodes most: it says what is wrong with those that are broken. OpenCV decodes colour
JPEGs, which is a fifth faster (COCO's: 2.2 against 2.7 ms) and gives the same pixels, and what has 16 bits a channel,
which Pillow truncates. Three choices, made once for every caller:

- Transparent pixels are laid over white, as viewers show them: that is what a person labelled.
- EXIF rotation is honoured, unless only the unrotated size fits the label file's.
- Colour profiles are ignored, as everywhere in detection.
"""

from __future__ import annotations

import glob
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from cornernet.errors import InputError
from cornernet.hardware import available_memory

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
Pixels = NDArray[np.uint8]

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
_ORIENTATION, _TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE = 0x0112, 256, 257, (322, 323)
_GIANT_TILE = 2**22  # pixels of a TIFF's tile
_DECODED_BYTES = 8  # a pixel is 4 bytes inside Pillow, then 3 in our array
_SMALL = 64 * 2**20  # bytes; below this nobody asks how much memory there is
_TO_8_BITS = ((np.arange(65536) + 128) // 257).astype(np.uint8)  # round(value / 257)
_OPENING = threading.Lock()


def read_image(path: str | os.PathLike[str], *, size: tuple[int, int] | None = None) -> Pixels:
    """Pixels of an image file: uint8 (H, W, 3) RGB, contiguous and writable.

    ``size`` is the (height, width) in pixels that the label file gives. Where only the file's unrotated size equals
    it, EXIF rotation is not applied; where both do (a square, a half turn), it is: labelling tools show images upright.
    16-bit values are divided by 257 and rounded. Raises ``InputError`` for a file that is missing, unreadable, not an
    image, truncated, of another size, or too large for the memory there is (checked before decoding).
    """
    with _opened(path) as image:
        orientation = _orientation(image)
        stored = _stored_size(image)
        upright = stored[::-1] if orientation >= 5 else stored
        if size is not None and tuple(size) not in (upright, stored):
            raise InputError(
                f"{path}: the image is {_text(upright)} (height x width), its label file says {_text(size)};"
                " correct the label file, or give the image that was labelled"
            )
        _refuse_giant_tiles(image, path)
        require_memory(*stored, _DECODED_BYTES, str(path), "save a smaller copy of it")
        pixels = _decode(image, path)
        if isinstance(image, TiffImageFile):  # both decoders turn a TIFF upright themselves
            stored_to_upright, upright_to_stored = 1, {6: 8, 8: 6}.get(orientation, orientation)
        else:
            stored_to_upright, upright_to_stored = orientation, 1
    is_upright = size is None or upright == tuple(size)
    return np.ascontiguousarray(_turn(pixels, stored_to_upright if is_upright else upright_to_stored))


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) in pixels after EXIF rotation, from the header alone. Raises ``InputError`` as `read_image`."""
    with _opened(path) as image:
        height, width = _stored_size(image)
        return (width, height) if _orientation(image) >= 5 else (height, width)


@contextmanager
def bytes_as_file(data: bytes, name: str) -> Iterator[Path]:
    """A file with these bytes for as long as the block lasts; an ``InputError`` in it speaks of ``name`` instead."""
    with tempfile.TemporaryDirectory(prefix="cornernet-") as folder:
        path = Path(folder, "image")
        path.write_bytes(data)
        try:
            yield path
        except InputError as error:
            raise InputError(str(error).replace(str(path), name)) from error


def to_rgb(image: Any) -> Pixels:
    """uint8 (H, W, 3) RGB, contiguous, of an array or a Pillow image (EXIF honoured).

    Arrays: (H, W) or (H, W, 1) grey, (H, W, 3) RGB, (H, W, 4) RGBA over white; uint8, uint16 (divided by 257) or bool.
    An array that is already right is returned as it is, not copied. Raises ``InputError`` for anything else.
    """
    if isinstance(image, Image.Image):
        orientation = _orientation(image)
        try:
            image.load()
            upright = isinstance(image, TiffImageFile)
            return np.ascontiguousarray(_turn(_from_pillow(image), 1 if upright else orientation))
        except InputError:
            raise
        except Exception as error:  # a lazy image decodes here, and its plugin raises whatever it trips on
            raise InputError(f"the Pillow image cannot be decoded ({_line(error)})") from error
    if not isinstance(image, np.ndarray):
        raise InputError(f"an image must be a file, a numpy array or a Pillow image, not {type(image).__name__}")
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4):
        hint = "; move the channels last" if image.ndim == 3 and image.shape[0] in (1, 3, 4) else ""
        raise InputError(f"an image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {image.shape}{hint}")
    if image.size == 0:
        raise InputError(f"an image array must hold pixels; this one is {image.shape}")
    if image.dtype == np.bool_:
        image = image.astype(np.uint8) * np.uint8(255)
    elif image.dtype == np.uint16:
        image = _TO_8_BITS[image]
    elif image.dtype != np.uint8:
        raise InputError(f"an image array must be uint8 (0..255), uint16 or bool, not {image.dtype}; convert it first")
    if channels == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(_over_white(image) if channels == 4 else image)


def shrink(image: Pixels, max_size: int | None) -> tuple[Pixels, float]:
    """The image with its longer side at most ``max_size`` pixels, and the scale: boxes found in it / scale = original.

    Area averaging; never enlarges, and ``None`` leaves the image as it is. Raises ``InputError`` for a size below 1.
    """
    scale = shrunk_scale(image.shape[0], image.shape[1], max_size)
    if scale == 1:
        return image, 1.0
    height, width = shrunk_size(image.shape[0], image.shape[1], max_size)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8), scale


def shrunk_scale(height: int, width: int, max_size: int | None) -> float:
    """The scale at which the longer side has at most ``max_size`` pixels: 1 at most. Raises as ``shrink``."""
    if max_size is None:
        return 1.0
    if max_size < 1:
        raise InputError(f"the largest size must be at least 1 pixel, not {max_size}")
    return min(1.0, max_size / max(height, width))


def shrunk_size(height: int, width: int, max_size: int | None) -> tuple[int, int]:
    """Height and width, in pixels, of what ``shrink`` returns for an image of this size."""
    scale = shrunk_scale(height, width, max_size)
    return max(1, round(height * scale)), max(1, round(width * scale))


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width, in pixels, of an image seen in another scale; at least 1."""
    return max(1, int(height * scale)), max(1, int(width * scale))


def resize(image: Pixels, scale: float) -> Pixels:
    """The image in another scale, bilinear: for testing in several. Boxes found in it / scale = original."""
    if scale == 1:
        return image
    height, width = scaled_size(image.shape[0], image.shape[1], scale)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def find_images(sources: Sequence[str | os.PathLike[str]], suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """Image files named by files, folders (searched to the bottom) and globs (``**`` too), in that order, each once.

    Within a folder or a glob: sorted, hidden ones left out, those with ``suffixes``, in any case. A file named by
    itself is taken whatever its suffix. Raises ``InputError`` naming the source that gives no image.
    """
    if not sources:
        raise InputError("no images given: name files, folders or globs")
    found: dict[str, Path] = {}
    for source in sources:
        path = Path(source).expanduser()
        if path.is_dir():
            paths = sorted(_files_below(path, suffixes))
        elif path.exists():
            paths = [path]
        elif glob.has_magic(str(path)):
            paths = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if _is_file(name, suffixes)]
        else:
            raise InputError(f"{source}: no such file or folder")
        if not paths:
            raise InputError(f"{source}: no image there (looked for {', '.join(suffixes)})")
        for each in paths:
            found.setdefault(os.path.abspath(each), each)
    return list(found.values())


def require_memory(
    height: int, width: int, bytes_per_pixel: float, where: str, fix: str = "scale it down with --max-size"
) -> None:
    """Raise ``InputError`` where ``height * width`` pixels need more memory than there is.

    ``where`` names the image in the message and ``mend`` says what to do. Silent where free memory is unknown.
    """
    needed = height * width * bytes_per_pixel
    if needed < _SMALL:
        return
    available = available_memory()
    if available is not None and needed > available:
        raise InputError(
            f"{where}: {_text((height, width))} pixels (height x width) need {needed / 2**30:.1f} GiB of memory,"
            f" {available / 2**30:.1f} GiB are available; {fix}"
        )


def _is_file(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and os.path.isfile(name)


def _files_below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:  # "._photo.jpg" is macOS bookkeeping, not a photo
            if not name.startswith(".") and _is_file(os.path.join(root, name), suffixes):
                yield Path(root, name)


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Warnings and the guard against large images off: `require_memory` guards. Locked, as both are process-wide."""
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """The image with its header read, its pixels not."""
    try:
        with _quiet_pillow():
            image = Image.open(path, formats=_FORMATS)
    except UnidentifiedImageError as error:
        if os.path.getsize(path) == 0:
            raise InputError(f"{path}: the file is empty; copy or download it again") from error
        raise InputError(
            f"{path}: not an image that can be read ({', '.join(_FORMATS)}); convert it, or leave it out"
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, not an image; name a file in it") from error
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it; change the file's permissions") from error
    except Exception as error:  # Pillow's plugins raise whatever their parsing of a broken header trips on
        raise InputError(
            f"{path}: truncated or damaged ({_line(error)}); copy or download it again, or leave it out"
        ) from error
    with image:
        yield image


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or it makes no sense."""
    try:
        with _quiet_pillow():
            # The base class's method: PNG's own decodes the whole image to look for EXIF behind the pixels.
            value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # broken EXIF raises anything, and does not make the pixels unreadable
        return 1
    return int(value) if value in range(1, 9) else 1


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) before EXIF rotation; newer Pillows say a TIFF's size after it."""
    if isinstance(image, TiffImageFile):
        return int(image.tag_v2[_TIFF_HEIGHT]), int(image.tag_v2[_TIFF_WIDTH])
    return image.height, image.width


def _refuse_giant_tiles(image: Image.Image, path: str | os.PathLike[str]) -> None:
    """A TIFF's tiles are decoded whole, however small the image: a file of kilobytes may ask for gigabytes."""
    if isinstance(image, TiffImageFile):
        width, height = (int(image.tag_v2.get(tag, 0)) for tag in _TIFF_TILE)
        if width * height > max(_GIANT_TILE, 4 * image.width * image.height):
            raise InputError(f"{path}: its tiles ({height}x{width}) are far larger than the image; save it anew")


def _decode(image: Image.Image, path: str | os.PathLike[str]) -> Pixels:
    """(H, W, 3) of an opened file, as stored (a TIFF: upright)."""
    is_deep_color = image.mode in ("LA", "RGB", "RGBA", "RGBX") and ";16" in str(getattr(image, "tile", ""))
    try:
        if image.format == "JPEG" and image.mode == "RGB" and (pixels := _decode_jpeg(path)) is not None:
            return pixels
        image.load()
        return _read_deep_color(path) if is_deep_color else _from_pillow(image)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them trip on
        raise InputError(
            f"{path}: truncated or damaged ({_line(error)}); copy or download it again, or leave it out"
        ) from error


def _decode_jpeg(path: str | os.PathLike[str]) -> Pixels | None:
    """(H, W, 3) of a colour JPEG, as stored; ``None`` where OpenCV refuses it, as it does truncated ones."""
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # more pixels than it takes
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _read_deep_color(path: str | os.PathLike[str]) -> Pixels:
    """(H, W, 3) of a colour file with 16 bits a channel, which Pillow has already found whole."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(0)  # silent: OpenCV reports unknown TIFF tags on stderr
    try:
        flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        values = cv2.imdecode(np.fromfile(path, np.uint8), flags)
    finally:
        logging.setLogLevel(level)
    if values is None:
        raise ValueError("OpenCV cannot decode it")
    return to_rgb(values[..., [2, 1, 0, 3][: values.shape[2]]] if values.ndim == 3 else values)


def _from_pillow(image: Image.Image) -> Pixels:
    """(H, W, 3) of a loaded Pillow image, as stored."""
    if image.mode == "F":
        raise InputError("the image holds floating-point values; save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise InputError("the image holds 32-bit values; save it with 8 or 16 bits a channel")
        return to_rgb(values.astype(np.uint16))
    if image.has_transparency_data:
        return _over_white(np.array(image.convert("RGBA")))
    if image.mode in ("1", "L"):
        return np.asarray(cv2.cvtColor(np.asarray(image.convert("L")), cv2.COLOR_GRAY2RGB), np.uint8)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _over_white(rgba: Pixels) -> Pixels:
    """(H, W, 4) over white: (H, W, 3)."""
    alpha = rgba[..., 3:].astype(np.uint16)
    if alpha.min() == 255:
        return rgba[..., :3]
    return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _turn(pixels: Pixels, orientation: int) -> Pixels:
    """(H, W, 3) as stored to upright, by EXIF orientation: a view."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _text(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"


def _line(error: Exception) -> str:
    """The error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__
