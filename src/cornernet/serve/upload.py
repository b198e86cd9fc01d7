"""The image of a request: its bytes, within limits of type, size and time, and its pixels, within their limit."""

from __future__ import annotations

import asyncio

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from cornernet.errors import InputError
from cornernet.media.images import Pixels, image_size, read_image
from cornernet.serve.limits import Limits, RequestError

FIELD = "image"
_OTHER_FIELD = "file"  # what many clients send
_FIELDS = 8  # in a form, besides the image


def check_head(request: Request, settings: Limits) -> None:
    """Raise ``RequestError`` by the headers alone: 415 if they name no image, 413 if they name too many bytes."""
    kind = _content_type(request)
    if not (kind.startswith("image/") or kind == "multipart/form-data"):
        what = "send an image as image/jpeg, image/png ..., or in a form"
        raise RequestError(415, what, kind or "no content type")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_bytes:
        raise _too_large(settings)


async def read_upload(request: Request, settings: Limits) -> bytes:
    """The bytes of the image in a request's body or form.

    Raises ``RequestError``: 400 for an empty body or a broken form, 408 if it arrives too slowly, 413 as soon as it is
    too long, even if its headers gave another length.
    """
    limited = Request(request.scope, _limited(request, settings))
    try:
        async with asyncio.timeout(settings.timeout):
            data = await (_read_form if _content_type(request).startswith("multipart/") else Request.body)(limited)
    except TimeoutError:
        what = f"the image did not come within {settings.timeout:g} s"
        raise RequestError(408, what, fix="send a smaller one") from None
    except ClientDisconnect:
        raise RequestError(400, "the connection ended before the image was whole", fix="send it again") from None
    except HTTPException as error:  # the form's parser says so
        fix = f"send a form with one image in the field '{FIELD}'"
        raise RequestError(400, error.detail.rstrip("."), fix=fix) from None
    if not data:
        fix = f"send its bytes as the body, or as a form's field '{FIELD}'"
        raise RequestError(400, "the image is empty", fix=fix)
    return data


def decode_upload(data: bytes, max_pixels: int) -> Pixels:
    """Pixels (H, W, 3) of an image's bytes.

    Raises ``RequestError``: 413 if the image's header gives more than ``max_pixels``, 422 if it cannot be decoded.
    """
    try:
        height, width = image_size(data, name=FIELD)
        if height * width > max_pixels:
            what = f"{height}x{width} pixels are more than {max_pixels}"
            raise RequestError(413, what, fix="send a smaller image")
        return read_image(data, name=FIELD)
    except InputError as error:
        raise RequestError(422, error.what, error.where, error.fix) from None


async def _read_form(request: Request) -> bytes:
    async with request.form(max_files=1, max_fields=_FIELDS) as form:
        file = form.get(FIELD) or form.get(_OTHER_FIELD)
        if not isinstance(file, UploadFile):
            raise HTTPException(400, f"no file in the field '{FIELD}'")
        return await file.read()


def _limited(request: Request, settings: Limits):
    """The request's ``receive``, which raises ``RequestError`` as soon as more bytes than the limit have arrived."""
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
    return RequestError(413, f"the body is larger than {settings.max_bytes} bytes", fix="send a smaller image")
