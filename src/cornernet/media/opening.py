"""Opens images with Pillow: by content, without its warnings and limits, with errors of one line."""

from __future__ import annotations

import importlib.util
import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError, features

from cornernet.errors import InputError
from cornernet.media.walk import HEAD, is_avif, is_heif, read_head

ImageSource = str | os.PathLike[str] | bytes  # a file's path, or a file's content

# No others: Pillow's EPS reader, for one, runs a program of the file.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "JPEG2000", "AVIF")
_BY_ENDING = {".tga": "TGA", ".pcx": "PCX", ".psd": "PSD"}  # their content alone tells too little, or is rare
_OPENING = threading.Lock()


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Switch off warnings and Pillow's limit of pixels (see `require_memory`). Locked: both are process-wide."""
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def name_of(source: ImageSource, name: str | None) -> str:
    """The image's name in errors."""
    return name or ("image" if isinstance(source, bytes) else os.fspath(source))


@contextmanager
def opened_image(source: ImageSource, where: str) -> Iterator[Image.Image]:
    """The image; its header is read, its pixels are not."""
    try:
        with quiet_pillow():
            image = _open(source, where)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        if (len(source) if isinstance(source, bytes) else os.path.getsize(source)) == 0:
            raise InputError("the file is empty", where, "copy or download it again") from error
        what = f"not an image that can be read ({', '.join(_FORMATS)}, HEIF)"
        raise InputError(what, where, "convert it, or leave it out") from error
    except FileNotFoundError as error:
        raise InputError("no such file", where, "check the path") from error
    except IsADirectoryError as error:
        raise InputError("a folder, not an image", where, "name a file in it") from error
    except PermissionError as error:
        raise InputError("no permission to read it", where, "change the file's permissions") from error
    except Exception as error:  # Pillow's plugins raise anything for a broken header
        raise damaged(where, error) from error
    with image:
        yield image


def _open(source: ImageSource, where: str) -> Image.Image:
    """Open by content; HEIC and HEIF by a decoder that is imported only for them."""
    content = io.BytesIO(source) if isinstance(source, bytes) else source
    ending = os.path.splitext(where)[1].lower()
    also = (_BY_ENDING[ending],) if ending in _BY_ENDING else ()
    try:
        return Image.open(content, formats=(*_FORMATS, *also))
    except UnidentifiedImageError as error:
        head = source[:HEAD] if isinstance(source, bytes) else read_head(source)
        if is_avif(head) and not features.check("avif"):
            raise InputError(
                "an AVIF image, which this Pillow does not read", where, "pip install -U pillow"
            ) from error
        if not is_heif(head):
            raise
    if not has_heif():
        fix = "pip install 'cornernet[heif]', or convert it"
        raise InputError("a HEIC image, which needs a decoder", where, fix)
    importlib.import_module("pi_heif").register_heif_opener()
    return Image.open(content, formats=("HEIF",))


def has_heif() -> bool:
    """Whether HEIC and HEIF images can be read."""
    return importlib.util.find_spec("pi_heif") is not None


def as_one_line(error: Exception) -> str:
    """The error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def damaged(where: str, error: Exception) -> InputError:
    return InputError(
        f"truncated or damaged ({as_one_line(error)})", where, "copy or download it again, or leave it out"
    )
