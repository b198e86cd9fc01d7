"""Finds a data set's label format, and reads its splits."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cornernet.data.build import build_dataset
from cornernet.data.dataset import CocoDataset
from cornernet.data.formats import Format
from cornernet.data.places import SPLIT_NAMES
from cornernet.data.registry import LABEL_FORMATS, LabelFolder
from cornernet.data.remarks import split_remarks
from cornernet.data.sniff import LABEL_STUDIO_TABLE, PREDICTIONS, RESULTS, foreign_format
from cornernet.data.tables import Tables, Wanted, everything
from cornernet.data.yolo_layouts import find_yolo_layout
from cornernet.errors import InputError
from cornernet.media.archive import is_archive, unpack
from cornernet.media.walk import is_junk

_HINT_DEPTH, _HINT_FOLDERS = 4, 200  # how deep, and among how many folders, a data set is looked for to name it
_OTHER_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
USUAL = ("train", "val", "test")
_FOREIGN = {  # what to do with formats that are not read
    PREDICTIONS: "write it with --save coco",
    RESULTS: "give the file that has 'images' and 'categories'",
    LABEL_STUDIO_TABLE: "export it as JSON",
}
_TELLING = (*SPLIT_NAMES, "images", "labels", "annotations")


def find_data(path: str | os.PathLike[str], format: Format | None = None, *, option: str = "--format") -> LabelFolder:
    """The data set in a folder or an archive, or the one that a single label file describes.

    Raises ``InputError`` if there is none, or if there are several formats and no ``format`` is given; ``option`` is
    the flag for it.
    """
    place = Path(path)
    try:
        if not place.exists():
            raise InputError("no such folder or file", place, "give the data set's folder, label file or archive")
        if is_archive(place):
            place = _only_folder(unpack(place))
        found = _found(place, format)
        fix = "" if found else _hint(place, format)
    except OSError as error:
        raise _unreadable(place, error) from error
    if not found:
        if not fix and (foreign := foreign_format(place)):
            file, name = foreign
            fix = _FOREIGN.get(name, "export it as COCO or YOLO")
            raise InputError(f"{name} is a format that is not read", file, fix)
        wanted = [known.looked_for for name, known in LABEL_FORMATS.items() if format in (None, name)]
        raise InputError(f"no data set there; looked for {', '.join(wanted)}", place, fix)
    if len(found) > 1:
        titles = " and ".join(each.title for each in found)
        choices = " or ".join(f"{option} {each.format}" for each in found)
        raise InputError(f"looks like {titles} at once", place, f"choose with {choices}")
    return found[0]


def _only_folder(folder: Path) -> Path:
    """The innermost folder that holds more than another folder. The folders of splits stay: their names tell."""
    while True:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        alone = len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink()
        if not alone or entries[0].name.lower() in _TELLING:
            return folder
        folder = entries[0]


def _found(place: Path, format: Format | None) -> list[LabelFolder]:
    candidates = [known.find(place) for name, known in LABEL_FORMATS.items() if format in (None, name)]
    if not any(candidates) and format in (None, "yolo"):  # the least that can be a data set, so looked for last
        candidates = [find_yolo_layout(place)]
    return [found for found in candidates if found]


def _hint(place: Path, format: Format | None) -> str:
    """What the user may have meant, or ""."""
    if not place.is_dir():
        with suppress(InputError, OSError):
            if found := _found(place.parent, format):
                return f"{place.parent} holds {found[0].title}: give that folder"
        return ""
    holding: list[str] = []
    folders = [place]
    for _ in range(_HINT_DEPTH):
        if holding or len(folders) > _HINT_FOLDERS:
            break
        below = [path for folder in folders for path in folder.iterdir()]
        folders = sorted(path for path in below if path.is_dir() and not is_junk(path.name))
        for folder in folders[:_HINT_FOLDERS]:
            with suppress(InputError, OSError):
                if found := _found(folder, format):
                    holding.append(f"{folder} holds {found[0].title}")
    if holding:
        more = f" and {len(holding) - 2} more" if holding[2:] else ""
        return f"{', '.join(holding[:2])}{more}: give {'one of these folders' if holding[1:] else 'that folder'}"
    if (place / "labels").is_dir() and (place / "images").is_dir():
        return "labels and images are there, but no .txt file in labels begins with a box (YOLO)"
    archive = next((file for file in sorted(place.iterdir()) if is_archive(file)), None)
    return f"{archive} is an archive: give that file" if archive else ""


def split_names(labels: LabelFolder) -> list[str]:
    """The splits of a data set, train first, without VOC's ``trainval``, which repeats train and val."""
    names = [name for name in labels.splits if name != "trainval" or "train" not in labels.splits]
    return sorted(names, key=lambda name: (USUAL.index(plain_name(name)) if plain_name(name) in USUAL else 9, name))


def plain_name(split: str) -> str:
    """The usual name of a split: ``val`` for ``Valid``, ``train`` for ``train2017``; other names stay."""
    name = re.sub(r"20\d\d$", "", split.lower())
    name = _OTHER_NAMES.get(name, name)
    return name if name in USUAL else split


def has_val(labels: LabelFolder) -> bool:
    """Whether there is a split to validate on."""
    return any(plain_name(name) == "val" for name in labels.splits)


def load_split(
    labels: LabelFolder,
    split: str,
    *,
    val_share: float | None = None,
    strict: bool = False,
    class_names: Sequence[str] | None = None,
) -> CocoDataset:
    """A split of a data set, checked by `build_dataset` with ``check_files``.

    ``val_share`` divides ``train``, or the only split, into ``val`` and ``train``. Only an image's name decides its
    part, not its folder or format. Raises ``InputError`` for a split that is not there.
    """
    if val_share is None:
        tables = read_split(labels, _named(labels, split))
        others = [name for name in labels.splits if name != tables.name and plain_name(name) == plain_name(split)]
        if others:
            tables.notes.append(f"{' and '.join(others)} is there too, and is not a part of it")
    else:
        whole = _divided(labels, split, val_share)
        tables = read_split(labels, whole, lambda name: in_val(name, val_share) == (split == "val"))
        tables.name = split
        if len(labels.splits) == 1 and plain_name(whole) == "test":
            tables.notes.append(f"the only split, {whole}, is divided into train and val")
        if not tables.images and not tables.problems:
            raise InputError(f"no image falls to {split} with --val-share {val_share:g}", labels.root, "choose another")
    dataset = build_dataset(tables, strict=strict, class_names=class_names, check_files=True)
    dataset.notes += tuple(split_remarks(dataset, tables))
    return dataset


def auto_val_share(labels: LabelFolder) -> float:
    """The share to hold back for ``val``: a tenth, or of few images the least of some that gives both parts one."""
    names: list[str] = []

    def note(name: str) -> bool:
        names.append(name)
        return False

    shares = (0.1, 0.2, 0.3, 0.5, 0.7)
    read_split(labels, _divided(labels, "val", shares[0]), note)
    return next((s for s in shares if {in_val(name, s) for name in names} == {True, False}), shares[0])


def read_split(labels: LabelFolder, split: str, wanted: Wanted = everything) -> Tables:
    """The tables of a split's ``wanted`` images. Raises ``InputError`` if the split cannot be read at all."""
    try:
        return labels.read(split, wanted)
    except OSError as error:
        raise _unreadable(error.filename or labels.root, error) from error


def in_val(file_name: str, val_share: float) -> bool:
    """Whether an image belongs to ``val``: a hash of its name without folders decides."""
    digest = hashlib.sha256(os.fsencode(os.path.basename(file_name))).digest()
    return int.from_bytes(digest[:8], "big") < val_share * 2**64


def _named(labels: LabelFolder, split: str) -> str:
    """The name that the data set has for ``split``."""
    same = [name for name in labels.splits if plain_name(name) == plain_name(split)]
    if split in labels.splits or len(same) == 1:
        return split if split in labels.splits else same[0]
    if same:
        raise InputError(f"{split} may be {' or '.join(same)} of {labels.title}", labels.root, "name one of them")
    fix = "name one of them"
    if split in ("train", "val") and (len(labels.splits) == 1 or "train" in map(plain_name, labels.splits)):
        fix += ", or hold back a tenth of the images for val with --val-share 0.1"
    what = f"no split {split!r} in {labels.title}; splits there: {', '.join(labels.splits)}"
    raise InputError(what, labels.root, fix)


def _divided(labels: LabelFolder, split: str, val_share: float) -> str:
    """The name of the split that ``val_share`` divides."""
    if not 0 < val_share < 1:
        raise InputError("give a share between 0 and 1, such as 0.1", f"--val-share {val_share:g}")
    if split not in ("train", "val"):
        fix = "leave it out, or choose one of them"
        raise InputError(f"makes the splits train and val, not {split!r}", "--val-share", fix)
    if has_val(labels):
        raise InputError(f"{labels.root} has a val split already", "--val-share", "leave it out")
    return labels.splits[0] if len(labels.splits) == 1 else _named(labels, "train")


def _unreadable(where: object, error: OSError) -> InputError:
    return InputError(f"cannot be read ({error.strerror})", where, "change its permissions or name")
