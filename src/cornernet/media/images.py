"""Files, bytes, arrays and Pillow images become uint8 RGB pixels, upright, or an error of one line.

Pillow opens every image and decodes most of them, because it says what is wrong with a broken one. OpenCV decodes
colour JPEGs, because it is a fifth faster (COCO's: 2.2 against 2.7 ms) and gives the same pixels, and images with 16
bits a channel, because Pillow truncates them.

- The background of transparent pixels is white, as in viewers: people labelled the image so.
- EXIF rotation is applied, unless only the unrotated size equals the label file's.
- Colour profiles are ignored, as is usual in detection.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from cornernet.errors import InputError
from cornernet.hardware import available_memory
from cornernet.media.animation import shown_for
from cornernet.media.opening import ImageSource, as_one_line, damaged, name_of, opened_image, quiet_pillow
from cornernet.media.pictures import pictures_in

Pixels = NDArray[np.uint8]
_TAIL = 4096  # bytes at the end of a file: the mark of its end is there, and perhaps some rest
_ORIENTATION, _TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE = 0x0112, 256, 257, (322, 323)
_GIANT_TILE = 2**22  # pixels of a TIFF's tile
_DECODED_BYTES = 8  # a pixel is 4 bytes inside Pillow, then 3 in our array
_SMALL = 64 * 2**20  # bytes; below this the available memory is not looked up
_TO_8_BITS = ((np.arange(65536) + 128) // 257).astype(np.uint8)  # round(value / 257)


def read_image(source: ImageSource, *, name: str | None = None, size: tuple[int, int] | None = None) -> Pixels:
    """Pixels of an image file, by its path or from its bytes: uint8 (H, W, 3) RGB, contiguous and writable.

    ``name`` is the image's name in errors: by default its path, or "image" for bytes. ``size`` is the (height, width)
    in pixels that the label file gives. EXIF rotation is applied, because labelling tools show images upright, unless
    only the file's unrotated size equals ``size``. 16-bit values are divided by 257 and rounded. Of a file with several
    pictures the first one is read. Raises ``InputError`` for a file that is missing, unreadable, not an image,
    truncated, of another size, or too large for the available memory (checked before decoding).
    """
    return read_first(source, name=name, size=size)[0]


def read_first(
    source: ImageSource, *, name: str | None = None, size: tuple[int, int] | None = None
) -> tuple[Pixels, int]:
    """`read_image`, and how many pictures the file holds."""
    where = name_of(source, name)
    with opened_image(source, where) as image:
        count = len(_pictures(image, where))
        return _read(image, where, size), count


def read_pictures(source: ImageSource, *, name: str | None = None) -> Iterator[FilePicture]:
    """Every picture of a file, each as `read_image`, or its error; an error of the first one is raised."""
    where = name_of(source, name)
    with opened_image(source, where) as image:
        numbers = _pictures(image, where)
        for place, number in enumerate(numbers, start=1):
            part = f"{where} (picture {place} of {len(numbers)})" if place > 1 else where
            seconds = None
            try:
                with quiet_pillow():
                    image.seek(number)
                    seconds = shown_for(image)
                pixels: Pixels | InputError = _read(image, part, None)
            except InputError as error:
                pixels = error
            except Exception as error:  # Pillow's plugins raise anything for a damaged page
                pixels = damaged(part, error)
            if place == 1 and isinstance(pixels, InputError):
                raise pixels
            yield FilePicture(pixels, len(numbers), seconds)


def first_taken(count: int) -> str:
    """What is said where only the first of several pictures is read."""
    return f"it holds {count} pictures, of which the first is taken"


def _pictures(image: Image.Image, where: str) -> list[int]:
    try:
        with quiet_pillow():
            numbers = pictures_in(image)
    except Exception as error:  # Pillow's plugins raise anything
        raise damaged(where, error) from error
    if not numbers:
        raise InputError(
            "only its thumbnail can be read, as of a camera's raw file", where, "export it as JPEG or TIFF"
        )
    return numbers


def _read(image: Image.Image, where: str, size: tuple[int, int] | None) -> Pixels:
    """The picture that was sought."""
    orientation = _orientation(image)
    stored = _stored_size(image)
    upright = stored[::-1] if orientation >= 5 else stored
    if size is not None and tuple(size) not in (upright, stored):
        what = f"the image is {_text(upright)} (height x width), its label file says {_text(size)}"
        raise InputError(what, where, "correct the label file, or give the image that was labelled")
    _refuse_giant_tiles(image, where)
    require_memory(*stored, _DECODED_BYTES, where, "save a smaller copy of it")
    pixels = _decode(image, where)
    if isinstance(image, TiffImageFile):  # both decoders already turn a TIFF upright
        stored_to_upright, upright_to_stored = 1, {6: 8, 8: 6}.get(orientation, orientation)
    else:
        stored_to_upright, upright_to_stored = orientation, 1
    is_upright = size is None or upright == tuple(size)
    return np.ascontiguousarray(_turn(pixels, stored_to_upright if is_upright else upright_to_stored))


class FilePicture(NamedTuple):
    """One of the ``total`` pictures of a file: (H, W, 3) RGB or its error; its ``seconds`` in an animation."""

    pixels: Pixels | InputError
    total: int
    seconds: float | None = None


class ImageHeader(NamedTuple):
    """``size`` is (height, width) in pixels after EXIF rotation; ``orientation`` is EXIF's, 1 to 8, 1 for upright.

    ``pictures`` is how many the file holds; the others are of the first.
    """

    size: tuple[int, int]
    orientation: int
    pictures: int = 1

    @property
    def stored_size(self) -> tuple[int, int]:
        """(height, width) before EXIF rotation."""
        height, width = self.size
        return (width, height) if self.orientation >= 5 else self.size


def read_header(source: ImageSource, *, name: str | None = None) -> ImageHeader:
    """The size and the orientation of an image, without its pixels. Arguments and errors as in `read_image`."""
    where = name_of(source, name)
    with opened_image(source, where) as image:
        count = len(_pictures(image, where))
        orientation, (height, width) = _orientation(image), _stored_size(image)
        return ImageHeader((width, height) if orientation >= 5 else (height, width), orientation, count)


def check_end(path: str | os.PathLike[str]) -> None:
    """Raise ``InputError`` if a JPEG or PNG file is cut off: only those without the mark of their end are decoded."""
    with open(path, "rb") as file:
        head = file.read(8)
        file.seek(-min(_TAIL, os.fstat(file.fileno()).st_size), os.SEEK_END)
        tail = file.read()
    mark = b"\xff\xd9" if head.startswith(b"\xff\xd8") else b"IEND" if head.startswith(b"\x89PNG") else b""
    if mark in tail:
        return
    read_image(path)
    if mark not in Path(path).read_bytes():  # decoders take zeros behind a cut for grey; phones put films behind photos
        raise InputError("damaged or cut off: it has no end", path, "copy it again")


def image_size(source: ImageSource, *, name: str | None = None) -> tuple[int, int]:
    """(height, width) in pixels after EXIF rotation, from the header alone. Arguments and errors as in `read_image`."""
    return read_header(source, name=name).size


def write_upright(source: Path, target: Path) -> None:
    """Write an image anew, upright and without EXIF: every reader sees it the same way.

    As PNG if ``target`` ends so, else in its own format: JPEG and AVIF get quality 95 without chroma subsampling; WebP
    is lossless, as PNG and TIFF are. Raises ``InputError`` as `read_image` does, and ``OSError`` if the target cannot
    be written.
    """
    with opened_image(source, name_of(source, None)) as image:
        kind = "PNG" if target.suffix.lower() == ".png" else "JPEG" if image.format == "MPO" else str(image.format)
    lossy = {"quality": 95, "subsampling": "4:4:4"}
    options: dict[str, dict[str, Any]] = {"JPEG": lossy, "AVIF": lossy, "WEBP": {"lossless": True}}
    Image.fromarray(read_image(source)).save(target, kind, **options.get(kind, {}))


def turn_boxes(boxes: NDArray[Any], orientation: int, height: int, width: int) -> NDArray[Any]:
    """Boxes (N, 4) x1 y1 x2 y2 of an image as stored, of ``height`` x ``width`` pixels, as boxes of it upright."""
    x, y = boxes[:, ::2], boxes[:, 1::2]
    if orientation >= 5:
        x, y, height, width = y, x, width, height
    if orientation in (3, 4, 7, 8):
        y = height - y[:, ::-1]
    if orientation in (2, 3, 6, 7):
        x = width - x[:, ::-1]
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)


def to_rgb(image: Any) -> Pixels:
    """uint8 (H, W, 3) RGB, contiguous, of an array or a Pillow image (EXIF rotation is applied).

    Arrays: (H, W) or (H, W, 1) grey, (H, W, 3) RGB, (H, W, 4) RGBA over white; uint8, uint16 (divided by 257) or bool.
    An array that is already right is returned without a copy. Raises ``InputError`` for anything else.
    """
    if isinstance(image, Image.Image):
        orientation = _orientation(image)
        try:
            image.load()
            pixels = _from_pillow(image)  # a TIFF: already upright
            return np.ascontiguousarray(pixels if isinstance(image, TiffImageFile) else _turn(pixels, orientation))
        except InputError:
            raise
        except Exception as error:  # an image that is not yet loaded is decoded here; decoders raise anything
            raise InputError(f"the Pillow image cannot be decoded ({as_one_line(error)})") from error
    if not isinstance(image, np.ndarray):
        raise InputError(f"an image must be a file, a numpy array or a Pillow image, not {type(image).__name__}")
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3, 4):
        fix = "move the channels last" if image.ndim == 3 and image.shape[0] in (1, 3, 4) else ""
        what = f"an image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {image.shape}"
        raise InputError(what, fix=fix)
    if image.size == 0:
        raise InputError(f"an image array must hold pixels, not have the shape {image.shape}")
    if image.dtype == np.bool_:
        image = image.astype(np.uint8) * np.uint8(255)
    elif image.dtype == np.uint16:
        image = _TO_8_BITS[image]
    elif image.dtype != np.uint8:
        what = f"an image array must be uint8 (0..255), uint16 or bool, not {image.dtype}"
        raise InputError(what, fix="convert it first")
    if channels == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(_over_white(image) if channels == 4 else image)


def require_memory(
    height: int, width: int, bytes_per_pixel: float, where: object, fix: str = "scale it down with --max-size"
) -> None:
    """Raise ``InputError`` if ``height * width`` pixels need more memory than is available.

    ``where`` names the image and ``fix`` says what to do. If the available memory is unknown, nothing is raised.
    """
    needed = height * width * bytes_per_pixel
    if needed < _SMALL:
        return
    available = available_memory()
    if available is not None and needed > available:
        what = f"{_text((height, width))} pixels (height x width) need {needed / 2**30:.1f} GiB of memory"
        raise InputError(f"{what}, {available / 2**30:.1f} GiB are available", where, fix)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 if there is no valid one."""
    try:
        with quiet_pillow():
            # The base class's method: PNG's own one decodes the whole image, because EXIF may follow the pixels.
            value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # broken EXIF raises anything, but the pixels may be fine
        return 1
    return int(value) if value in range(1, 9) else 1


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) before EXIF rotation; newer versions of Pillow give a TIFF's size after it."""
    if isinstance(image, TiffImageFile):
        return int(image.tag_v2[_TIFF_HEIGHT]), int(image.tag_v2[_TIFF_WIDTH])
    return image.height, image.width


def _refuse_giant_tiles(image: Image.Image, where: str) -> None:
    """Raise ``InputError`` for huge tiles: decoders allocate whole ones, so a TIFF of kilobytes may need gigabytes."""
    if isinstance(image, TiffImageFile):
        width, height = (int(image.tag_v2.get(tag, 0)) for tag in _TIFF_TILE)
        if width * height > max(_GIANT_TILE, 4 * image.width * image.height):
            raise InputError(f"its tiles ({height}x{width}) are far larger than the image", where, "save it anew")


def _decode(image: Image.Image, where: str) -> Pixels:
    """(H, W, 3) of an opened image, as stored (a TIFF: upright)."""
    is_deep_color = image.mode in ("LA", "RGB", "RGBA", "RGBX") and ";16" in str(getattr(image, "tile", ""))
    try:
        if image.format == "JPEG" and image.mode == "RGB" and (pixels := _decode_jpeg(_content(image))) is not None:
            return pixels
        content = _content(image) if is_deep_color else b""
        image.load()
        return _decode_deep_color(content, image.tell()) if is_deep_color else _from_pillow(image)
    except InputError as error:
        raise error.at(where) from error
    except Exception as error:  # Pillow's decoders raise anything for a broken file
        raise damaged(where, error) from error


def _content(image: Any) -> bytes:
    """The bytes of the file behind an opened image that is not yet loaded."""
    place = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read()
    image.fp.seek(place)
    return content


def _decode_jpeg(content: bytes) -> Pixels | None:
    """(H, W, 3) of a colour JPEG, as stored; ``None`` if OpenCV refuses it, for instance a truncated one."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:  # too many pixels
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _decode_deep_color(content: bytes, page: int) -> Pixels:
    """(H, W, 3) of a page of a colour file with 16 bits a channel, after Pillow has found it complete."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(0)  # silent: OpenCV reports unknown TIFF tags on stderr
    try:
        flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
        data = np.frombuffer(content, np.uint8)
        pages = cv2.imdecodemulti(data, flags, range=(page, page + 1))[1] if page else [cv2.imdecode(data, flags)]
        values = pages[0] if pages else None
    finally:
        logging.setLogLevel(level)
    if values is None:
        raise ValueError("OpenCV cannot decode it")
    return to_rgb(values[..., [2, 1, 0, 3][: values.shape[2]]] if values.ndim == 3 else values)


def _from_pillow(image: Image.Image) -> Pixels:
    """(H, W, 3) of a loaded Pillow image, as stored."""
    if image.mode == "F":
        raise InputError("the image holds floating-point values", fix="save it with 8 or 16 bits a channel")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise InputError("the image holds 32-bit values", fix="save it with 8 or 16 bits a channel")
        return to_rgb(values.astype(np.uint16))
    if image.has_transparency_data:
        return _over_white(np.array(image.convert("RGBA")))
    if image.mode in ("1", "L"):
        return np.asarray(cv2.cvtColor(np.asarray(image.convert("L")), cv2.COLOR_GRAY2RGB), np.uint8)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _over_white(rgba: Pixels) -> Pixels:
    """(H, W, 4) on a white background: (H, W, 3)."""
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
