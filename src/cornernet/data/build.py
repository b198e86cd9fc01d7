"""Checks a split's tables, and makes the data set of what can be used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.data.causes import SystematicError, find_cause, find_class_cause, find_shape_cause, find_size_cause
from cornernet.data.coco_tables import NOT_UTF8, few, integers, read_annotations, read_categories, short
from cornernet.data.dataset import CocoDataset, ImageRecord
from cornernet.data.names import ImageNames
from cornernet.data.tables import Problem, Table, Tables, note_of_pictures, unusable_image
from cornernet.errors import InputError
from cornernet.media.images import check_end, read_header, read_image

_SIZE_FIX = "write its size, or leave both out"
_OUTSIDE = 1.0  # pixels by which a box may leave its image without a report: labels are rounded


def build_dataset(
    tables: Tables, *, strict: bool = False, class_names: Sequence[str] | None = None, check_files: bool = False
) -> CocoDataset:
    """The checked data set of a split's tables: images in their order, categories in the order of their ids.

    A box is left out if it is not four finite numbers, has no area, lies outside its image, or has an unknown image or
    class; a box that leaves its image by more than a pixel is clipped. ``check_files`` reads every image's header and
    leaves out images that are missing, unreadable or of another size than in the labels. ``problems`` lists all this;
    with ``strict`` an ``InputError`` is raised instead. ``class_names`` (of trained weights) must be the split's names
    and give their order. Raises ``InputError`` for all other faults, and if no image is left; ``SystematicError`` if
    most boxes are not what their format says.
    """
    path = tables.path
    categories = _known_to_weights(tables, class_names)
    category_ids, names = read_categories(path, categories, class_names, tables.category_entry)
    records, image_problems, unsure = _read_images(tables, check_files and not tables.knows_headers)
    problems = tables.problems + image_problems
    images = [record for record in records if record is not None]
    if not images:
        seen = few([problem.with_fix() for problem in problems])
        raise InputError(f"none of the {len(records) or len(problems)} images of {tables.name} is usable: {seen}", path)
    annotations, invalid = read_annotations(path, tables.annotations)
    tables.annotations.clear()  # the columns have the same in far less memory

    rows, has_image = _positions(annotations.image_ids, [item["id"] for item in tables.images])
    labels, has_class = _positions(annotations.category_ids, category_ids)
    is_kept = has_image & np.array([record is not None for record in records])[rows]
    sizes = np.array([(r.width, r.height) * 2 if r else (1,) * 4 for r in records], np.float64)[rows]
    if cause := find_shape_cause([invalid.get(row) for row in np.flatnonzero(is_kept).tolist()]):
        tables.problems = problems
        raise SystematicError(cause.what, path, cause.fix)
    cause = find_cause(annotations.boxes[is_kept], sizes[is_kept, :2], tables.layout, tables.unit)
    exchanged = _order_corners(annotations.boxes) if tables.layout == "corners" and not cause else {}
    corners = np.concatenate([annotations.boxes[:, :2], annotations.boxes[:, :2] + annotations.boxes[:, 2:]], axis=1)
    clipped = np.clip(corners, 0, sizes)
    with np.errstate(invalid="ignore"):
        is_finite = np.all(np.isfinite(corners), axis=1)
        has_area = np.all(annotations.boxes[:, 2:] > 0, axis=1)
        # As float32, which training uses: a very narrow box may lose its width there.
        is_inside = np.all(clipped[:, 2:].astype(np.float32) > clipped[:, :2].astype(np.float32), axis=1)
        is_far_out = np.any(np.abs(corners - clipped) > _OUTSIDE, axis=1)
    is_usable = is_kept & has_class & is_finite & has_area & is_inside

    used, unknown = (np.unique(annotations.category_ids[is_kept & rows_]) for rows_ in (has_class, ~has_class))
    listed = [id_ for item in tables.categories if type(id_ := item.get("id")) is int]
    cause = find_class_cause(used.tolist(), {*unknown.tolist(), *tables.unknown_classes}, listed) or cause
    if cause and cause.is_sure:
        tables.problems = problems
        raise SystematicError(cause.what, path, cause.fix)
    notes = [*tables.notes, *([str(cause)] if cause else [])]

    # Boxes of images that were left out are left out too, without a problem of their own.
    is_exchanged = np.isin(np.arange(len(rows)), list(exchanged))
    for i in np.flatnonzero((is_kept | ~has_image) & (~is_usable | is_far_out | is_exchanged)):
        image = records[rows[i]] if has_image[i] else None
        box = f"bbox {short(invalid.get(int(i), annotations.boxes[i].tolist()))}"
        size = f"{image.height}x{image.width}" if image else ""
        fix = "correct or remove it"
        if not has_image[i]:
            kind, what = "boxes of unknown images", f"image_id {annotations.image_ids[i]}, which is not in 'images'"
        elif not has_class[i]:
            category = annotations.category_ids[i]
            kind, what = "boxes of unknown classes", f"category_id {category}, which is not in 'categories'"
        elif not is_finite[i]:
            kind, what, fix = "boxes that are none", *_no_numbers(invalid.get(int(i), annotations.boxes[i].tolist()))
        elif not has_area[i]:
            kind, what = "empty boxes", f"{box} has no width or no height"
        elif not is_inside[i]:
            kind, what = "boxes outside their image", f"{box} lies outside its {size} image"
        elif is_exchanged[i]:
            kind, what = "boxes with exchanged corners", f"its corners {short(exchanged[int(i)])} are exchanged"
            fix = "write the left and upper one first"
        else:
            kind, what, fix = "boxes that reach out", f"{box} reaches out of its {size} image", "cut it at the edge"
        where = tables.place_of(int(annotations.ids[i]), image.file_name if image else None)
        outcome = "left out" if not is_usable[i] else "clipped" if is_far_out[i] else "fixed"
        problems.append(Problem(kind, where, what, fix, outcome))

    # Each image's boxes become one block, in the file's order, so that records are views of four arrays.
    order = np.flatnonzero(is_usable)
    order = order[np.argsort(rows[order], kind="stable")]
    bounds = np.searchsorted(rows[order], np.arange(len(records) + 1)).tolist()
    boxes, labels = clipped[order].astype(np.float32), labels[order]
    kept = annotations.take(order)
    for image, start, end in zip(records, bounds[:-1], bounds[1:], strict=True):
        if image is not None:
            image.boxes, image.labels = boxes[start:end], labels[start:end]
            image.crowd, image.annotation_ids = kept.crowd[start:end], kept.ids[start:end]
    dataset = CocoDataset(tables.name, tables.format, path, names, category_ids, images, problems, kept, tuple(notes))
    dataset.cause, dataset.folder = cause, tables.folder
    dataset.is_numbered = tables.is_numbered or tables.places is not None
    dataset = dataset.with_unsure(unsure)
    if strict and problems:
        counts = (dataset.skipped_images, "bad images"), (len(problems) - dataset.skipped_images, "bad boxes")
        counted = " and ".join(f"{count} {what}" for count, what in counts if count)
        raise InputError(f"{counted}: {few(list(map(str, problems)))}", path, "correct them, or load without strict")
    return dataset


def _known_to_weights(tables: Tables, class_names: Sequence[str] | None) -> Table:
    """The categories; also the weights' classes that no box has, if it lists no classes or no others."""
    if class_names is None:
        return tables.categories
    names = [str(category.get("name")) for category in tables.categories]
    lacking = [name for name in class_names if name not in names]
    if tables.lists_classes and lacking:
        if not set(names) <= set(class_names):
            return tables.categories
        tables.notes.append(f"it lists {len(names)} of the {len(class_names)} classes; without {few(lacking, ', ')}")
    ids = [category.get("id") for category in tables.categories]
    ids += [annotation.get("category_id") for annotation in tables.annotations]  # an unknown class stays unknown
    first_free = 1 + max((id_ for id_ in ids if type(id_) is int), default=0)
    return tables.categories + [{"id": id_, "name": name} for id_, name in enumerate(lacking, start=first_free)]


def _read_images(tables: Tables, check_files: bool) -> tuple[list[ImageRecord | None], list[Problem], dict[int, bool]]:
    """Records without boxes (``None`` for an image that cannot be used), such images' problems, and `with_unsure`'s."""
    path, folder, raw = tables.path, tables.folder, tables.images
    ids = integers(path, "images", "id", raw, unique=True).tolist()
    records: list[ImageRecord | None] = []
    problems: list[Problem] = []
    unsure = dict.fromkeys(tables.rotated, False)
    images_there, repeated = ImageNames(folder), list[str]()
    listed: dict[str, int] = {}
    differing: dict[int, tuple[Any, tuple[int, int]]] = {}
    several: list[Path] = []
    for i, (id_, item) in enumerate(zip(ids, raw, strict=True)):
        name = item.get("file_name")
        if not isinstance(name, str) or not name:
            raise InputError(f"images[{i}].file_name must be a text, not {short(name)} (image id {id_})", path)
        leaves = name.startswith("/") or (".." in name and ".." in PurePosixPath(name).parts)
        is_read = check_files or None in (item.get("height"), item.get("width"))
        is_missing = (leaves or is_read) and not os.path.isfile(folder / name)
        if is_missing and not NOT_UTF8.search(name) and (found := images_there.find(name)):
            name = item["file_name"] = Path(os.path.relpath(found, folder)).as_posix()
            is_missing = False
        elif leaves and is_missing and not images_there.fitting(name):
            what = f"images[{i}].file_name {name!r} leaves the image folder"
            raise InputError(what, path, f"make it relative to {folder}")
        size: Any = tuple(_whole(item.get(side)) for side in ("height", "width"))
        has_size = None not in size
        if has_size and not all(type(side) is int and side > 0 for side in size):
            sides = " and ".join(map(short, size))
            raise InputError(
                f"height and width of image {id_} ({name}) must be whole pixels, not {sides}", path, _SIZE_FIX
            )
        try:
            if NOT_UTF8.search(name):
                raise InputError("its name is not UTF-8", folder / name, "rename it")
            if is_missing:
                raise images_there.missing(name)
            if is_read:
                header = read_header(folder / name)
                check_end(folder / name)
                several += [folder / name] if header.pictures > 1 else []
                if not has_size:
                    size = header.size
                elif header.size != size:
                    # The labels may be those of the unrotated image: reading checks that, and raises if not.
                    differing[i] = size, header.size
                    read_image(folder / name, size=size)
                    del differing[i]
                if header.orientation > 1 and (not has_size or size == header.stored_size):
                    unsure[id_] = header.size != size
        except InputError as error:
            problems.append(unusable_image(folder / name, error))
            records.append(None)
            continue
        if (first := listed.setdefault(os.path.normpath(name), id_)) != id_:
            repeated.append(f"{name} with the ids {first} and {id_}")
        (height, width), empty = size, np.zeros(0, np.int64)
        boxes, crowd = np.zeros((0, 4), np.float32), np.zeros(0, np.bool_)
        records.append(ImageRecord(id_, name, folder / name, height, width, boxes, empty, crowd, empty))
    if cause := find_size_cause(list(differing.values()), len(raw)):
        raise SystematicError(cause.what, path, cause.fix)
    tables.notes += note_of_pictures(several)
    tables.notes += images_there.notes()
    if repeated:
        what = f"{len(repeated)} images are listed twice, such as {repeated[0]}"
        tables.notes.append(f"{what}: what is labelled in one of them is background in the other; list each once")
    return records, problems, unsure


def _whole(side: Any) -> Any:
    """A whole number that is written as 640.0 as an integer; any other value as it is."""
    return int(side) if type(side) is float and side.is_integer() else side


def _no_numbers(value: Any) -> tuple[str, str]:
    """What is wrong with a box that is not four finite numbers, and how to mend it."""
    sides = value if isinstance(value, list) else [value]
    if all(side is None for side in sides):
        return "it has no box", "draw one, or remove it"
    is_comma = any(isinstance(side, str) and "," in side for side in sides)
    return f"bbox {short(value)} is not four finite numbers", (
        "write decimals with a point" if is_comma else "correct or remove it"
    )


def _order_corners(boxes: NDArray[np.float64]) -> dict[int, list[float]]:
    """Put the corners of boxes x y width height in order, in place; those that were not, by row, as x1 y1 x2 y2."""
    rows = np.flatnonzero((boxes[:, 2:] < 0).any(axis=1))
    corners = boxes[rows] + np.pad(boxes[rows, :2], ((0, 0), (2, 0)))
    first, last = np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])
    boxes[rows] = np.concatenate([first, last - first], axis=1)
    return dict(zip(rows.tolist(), corners.tolist(), strict=True))


def _positions(wanted: NDArray[np.int64], ids: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The position of each wanted id in ``ids``, and whether it is there."""
    known = np.array(ids, np.int64)
    order = np.argsort(known)
    positions = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)]
    return positions, known[positions] == wanted
