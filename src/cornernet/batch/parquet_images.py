"""Encoded images in a column of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from cornernet.batch.storage import Unreachable, is_remote, storage_of
from cornernet.errors import InputError

_USUAL = ("image", "bytes", "jpg", "jpeg", "png", "webp", "image_bytes", "content", "data")
_TOGETHER = 32  # rows read at a time


class RowGroups(NamedTuple):
    """What is known of a Parquet file before it is read: the rows of each of its row groups."""

    rows: tuple[int, ...]


def open_parquet(place: str) -> Any:
    """``pyarrow.parquet.ParquetFile``. Raises ``InputError`` for other files, and as ``Storage.open``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file: Any = storage_of(place).open(place)
    try:
        return pq.ParquetFile(pa.PythonFile(file, mode="r") if is_remote(place) else file)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(place, error) from None


def find_row_groups(place: str, column: str | None) -> RowGroups:
    """The row groups of a file that has images. Raises ``InputError`` if it has none, and as `open_parquet`."""
    with open_parquet(place) as file:
        image_column(file.schema_arrow, place, column)
        groups = range(file.metadata.num_row_groups)
        return RowGroups(tuple(file.metadata.row_group(i).num_rows for i in groups))


def image_column(schema: Any, place: object, chosen: str | None = None) -> str:
    """The column of encoded images: the ``chosen`` one, one with a usual name, or the only one that may be it.

    Encoded images are binary values, or structures with such ``bytes``, as Hugging Face writes them. Raises
    ``InputError`` if there is none, or more than one.
    """
    fitting = [field.name for field in schema if _may_be_images(field.type)]
    if chosen is not None:
        if chosen in fitting:
            return chosen
        what = "holds no encoded images" if chosen in schema.names else "is no column there"
        fix = f"name one of these: {', '.join(fitting or schema.names)}"
        raise InputError(f"--image-column {chosen} {what}", place, fix)
    likely = [name for name in _USUAL if name in fitting] or fitting
    if not likely:
        what = f"no column of encoded images (its columns: {', '.join(schema.names[:8]) or 'none'})"
        raise InputError(what, place, "give a Parquet file with the bytes of image files in a column")
    if len(likely) > 1 and likely[0] not in _USUAL:
        raise InputError("several columns may be its images", place, f"choose with --image-column: {', '.join(likely)}")
    return likely[0]


def _may_be_images(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" and _may_be_images(kind.field(i).type) for i in range(kind.num_fields))
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def read_parquet_images(
    place: str, shown: str, first: int, last: int, column: str | None
) -> Iterator[tuple[str, bytes | InputError]]:
    """Name (``shown#ROW``, rows count from 0 in the file) and bytes of every row of the row groups first to last.

    A row without an image, and what is damaged, become an error. Raises ``Unreachable``.
    """
    import pyarrow as pa

    file = open_parquet(place)
    with file:
        name = image_column(file.schema_arrow, place, column)
        row = sum(file.metadata.row_group(i).num_rows for i in range(first))
        end = row + sum(file.metadata.row_group(i).num_rows for i in range(first, last + 1))
        groups = list(range(first, last + 1))
        try:
            for batch in file.iter_batches(_TOGETHER, row_groups=groups, columns=[name]):
                for value in _bytes_of(batch.column(0)):
                    where = f"{shown}#{row}"
                    row += 1
                    yield where, value or InputError("no image in this row", where, "leave it out")
        except Unreachable:
            raise
        except (pa.ArrowException, OSError) as error:
            damage = _damaged(place, error)
            for lost in range(row, end):
                yield f"{shown}#{lost}", damage.at(f"{shown}#{lost}")


def _bytes_of(column: Any) -> Sequence[bytes | None]:
    import pyarrow.types as types

    if types.is_struct(column.type):
        return [value and value["bytes"] for value in column.to_pylist()]
    return column.to_pylist()


def _damaged(place: object, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"no whole Parquet file ({reason})", place, "copy or write it again, or leave it out")
