"""The images that belong to written labels: a folder beside them, so that they can be loaded from anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from cornernet.data.tables import PREDICTED
from cornernet.data.writing import place_image
from cornernet.drawing.draw import save_image
from cornernet.errors import InputError
from cornernet.files import atomic_write, make_folder, write_errors
from cornernet.inference.stream import Result
from cornernet.media.walk import PORTABLE_SUFFIXES


class ImageFolder:
    """``images`` in the output folder: links to image files, and the pixels of everything else.

    The file `PREDICTED` in it says that what lies there may be replaced.
    Raises ``InputError`` if there are images, or ``others``, that an earlier prediction did not put there.
    """

    def __init__(self, out: Path, *others: str) -> None:
        self.folder = out / "images"
        if not (self.folder / PREDICTED).is_file():
            for taken in (out / name for name in ("images", *others)):
                if taken.exists() and (not taken.is_dir() or any(taken.iterdir())):
                    raise InputError("is there, and would be overwritten", taken, "choose another --out")

    def place(self, result: Result, *, copy: bool) -> str | None:
        """Put a result's image there; returns its path from the output folder.

        A file is linked, or else copied; without ``copy`` it is left where it is, and ``None`` returned. A rotated
        photo is written upright, and what is no file of its own, such as a frame of a video, as JPEG.
        """
        frame = result.frame
        source = Path(frame.source)
        is_file = frame.index is None and source.suffix.lower() in PORTABLE_SUFFIXES and os.path.isfile(source)
        target = self.folder / f"{frame.stem}{source.suffix if is_file else '.jpg'}"
        if not (self.folder / PREDICTED).is_file():
            atomic_write(self.folder / PREDICTED, b"")
        with write_errors(target):
            make_folder(target.parent)
            if is_file and target.exists() and target.samefile(source):
                return self._name(target)
            target.unlink(missing_ok=True)  # else the image behind a link of an earlier run would be written over
            if is_file and not place_image(source, target, copy=copy):
                return None
        if not is_file:
            save_image(target, result.image)
        return self._name(target)

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder.parent).as_posix()
