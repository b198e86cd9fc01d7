"""An image out of a request: its bytes within limits of type, size and time, its pixels within one of their number."""

from __future__ import annotations

import asyncio

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from cornernet.errors import InputError
from cornernet.media.images import Pixels, bytes_as_file, image_size, read_image
from cornernet.serve.limits import Limits, RequestError

FIELD = "image"
_FIELDS = 8  # in a form, besides the image


def check_head(request: Request, settings: Limits) -> None:
    """Refuse by the headers alone: 415 for what is no image, 413 for what says that it is too large."""
    kind = _content_type(request)
    if not (kind.startswith("image/") or kind == "multipart/form-data"):
        raise RequestError(
            415, f"{kind or 'no content type'}: send an image as image/jpeg, image/png ..., or in a form"
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_bytes:
        raise _too_large(settings)


async def read_upload(request: Request, settings: Limits) -> bytes:
    """The bytes of the image in a request's body or form.

    Raises ``Refusal``: 400 for an empty body or a broken form, 408 where it comes too slowly, 413 as soon as it is too
    long, whatever its headers said.
    """
    limited = Request(request.scope, _limited(request, settings))
    try:
        async with asyncio.timeout(settings.timeout):
            data = await (_read_form if _content_type(request).startswith("multipart/") else Request.body)(limited)
    except TimeoutError:
        raise RequestError(408, f"the image did not come within {settings.timeout:g} s; send a smaller one") from None
    except ClientDisconnect:
        raise RequestError(400, "the connection ended before the image was whole; send it again") from None
    except HTTPException as error:  # the form's parser says so
        raise RequestError(
            400, f"{error.detail.rstrip('.')}; send a form with one image in the field '{FIELD}'"
        ) from None
    if not data:
        raise RequestError(400, "the image is empty; send its bytes as the body, or as a form's field 'image'")
    return data


def decode(data: bytes, max_pixels: int) -> Pixels:
    """Pixels (H, W, 3) of an image's bytes; ``Refusal`` 413 for too many, told by the header, 422 for a broken one."""
    try:
        with bytes_as_file(data, FIELD) as path:
            height, width = image_size(path)
            if height * width > max_pixels:
                raise RequestError(413, f"{height}x{width} pixels are more than {max_pixels}; send a smaller image")
            return read_image(path)
    except InputError as error:
        raise RequestError(422, str(error)) from None


async def _read_form(request: Request) -> bytes:
    async with request.form(max_files=1, max_fields=_FIELDS) as form:
        file = form.get(FIELD)
        if not isinstance(file, UploadFile):
            raise HTTPException(400, f"no file in the field '{FIELD}'")
        return await file.read()


def _limited(request: Request, settings: Limits):
    """The request's ``receive``, which raises a ``Refusal`` once more than the limit has come."""
    total = 0

    async def receive() -> Message:
        nonlocal total
        message = await request.receive()
        total += len(message.get("body", b""))
        if total > settings.max_bytes:
            raise _too_large(settings)
        return message

    return receive


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(settings: Limits) -> RequestError:
    return RequestError(413, f"the body is larger than {settings.max_bytes} bytes; send a smaller image")
