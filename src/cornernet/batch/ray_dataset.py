"""Detections as columns of people's own data sets of Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cornernet.batch.choosing import choose_detector
from cornernet.batch.detection_table import detection_columns, detection_fields
from cornernet.batch.detector_choice import DetectorChoice, detect_by_size
from cornernet.batch.ray_cluster import import_ray
from cornernet.errors import InputError
from cornernet.media.images import read_image, to_rgb
from cornernet.media.sources import Frame
from cornernet.structures import Detections
from cornernet.tasks.keywords import checked, tile_words

if TYPE_CHECKING:
    import pyarrow as pa

    from cornernet.media.images import Pixels

_OPTIONS = ("device", "tta", "precision", "max_size", "tile", "batch_size", "threshold")
_ROWS = 32  # rows of a call: few, because images lie in memory as a block


def map_detections(
    ds: Any,
    weights: str | os.PathLike[str],
    *,
    image_column: str = "image",
    keep_images: bool = False,
    concurrency: int | tuple[int, int] | None = None,
    threads: int = 1,
    **options: Any,
) -> Any:
    """See ``cornernet.predict_dataset``."""
    ray = import_ray()
    where = "predict_dataset"
    if not isinstance(ds, ray.data.Dataset):
        raise InputError(f"ds must be a ray.data.Dataset, not {type(ds).__name__}", where)
    if unknown := set(options) - set(_OPTIONS):
        raise InputError(f"is no option; there are {', '.join(_OPTIONS)}", f"{where}: {min(unknown)}")
    given = checked(options | {"threads": threads}, where)
    if given.get("tile") is not None:
        given["tile"] = tile_words(given["tile"])
    del given["threads"]
    schema = ds.schema(fetch_if_missing=False)
    if schema is not None:
        _refuse_columns(schema.names, image_column)
    choice, _ = choose_detector(os.fspath(weights), **given)
    on_gpu = choice.device.startswith("cuda")
    opened = choice.on(choice.device or "cpu", threads)
    return ds.map_batches(
        DatasetWorker,
        fn_constructor_kwargs={"choice": ray.put(opened), "image_column": image_column, "keep_images": keep_images},
        batch_size=max(_ROWS, choice.batch_size),
        batch_format="pyarrow",
        num_cpus=threads,
        num_gpus=1 if on_gpu else 0,
        **({} if concurrency is None else {"concurrency": concurrency}),
    )


def _refuse_columns(names: list[str], image_column: str) -> None:
    """``InputError`` if a data set has no such column of images, or has one of ours."""
    if image_column not in names:
        what = f"the data set has no such column (there are {', '.join(names)})"
        raise InputError(what, f"image_column {image_column}", "give the column of images")
    taken = {field.name for field in detection_fields()} & set(names)
    if taken:
        fix = "rename it with rename_columns"
        raise InputError("the data set has a column of this name, which detections need", min(taken), fix)


class DatasetWorker:
    """For ``map_batches``: a table with images in, the same rows with the columns of detections out."""

    def __init__(self, choice: Any, image_column: str, keep_images: bool) -> None:
        import ray

        self.choice: DetectorChoice = ray.get(choice)
        self.detector, self.image_column, self.keep_images = self.choice.open(), image_column, keep_images

    def __call__(self, table: pa.Table) -> pa.Table:
        _refuse_columns(table.column_names, self.image_column)
        frames = (Frame("image", "", pixels) for pixels in self._images(table))
        choice = self.choice
        found: list[Detections | InputError] = []
        for _, result in detect_by_size(
            self.detector, frames, choice.batch_size, threshold=choice.threshold, classes=choice.labels
        ):
            found.append(result if isinstance(result, InputError) else result.detections)
        if not self.keep_images:
            table = table.drop_columns([self.image_column])
        for name, column in detection_columns(found).items():
            table = table.append_column(name, column)
        return table

    def _images(self, table: pa.Table) -> Iterator[Pixels | InputError]:
        column = table[self.image_column]
        arrays = hasattr(column.type, "shape") or "Tensor" in type(column.type).__name__
        for chunk in column.chunks:
            # Ray's tensors of several shapes are arrays in numpy alone
            yield from map(
                _pixels, chunk.to_numpy(zero_copy_only=False) if arrays else (each.as_py() for each in chunk)
            )


def _pixels(value: Any) -> Pixels | InputError:
    """An image's bytes, its path, its pixels or Hugging Face's structure of bytes and path, as pixels."""
    try:
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if value is None:
            raise InputError("no image in this row", "image", "leave it out")
        if isinstance(value, (str, bytes)):
            return read_image(value)
        return to_rgb(value)
    except InputError as error:
        return error
