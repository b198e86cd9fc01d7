"""Image files by name, also spelled otherwise: separators, upper and lower case, Unicode, percent signs, folders."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from cornernet.data.places import same_content
from cornernet.data.tables import images_below
from cornernet.errors import InputError

_MOST_COMPARED, _MOST_MISSING = 10_000, 20  # names that are searched for the nearest one, and how often


class ImageNames:
    """The images below a folder, read when first asked; ``taken`` has each name that was found otherwise spelled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.compared = 0
        self.taken: dict[str, Path] = {}

    @cached_property
    def _by_name(self) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
        """The images by their name, and by their name without ending."""
        names: dict[str, list[Path]] = defaultdict(list)
        stems: dict[str, list[Path]] = defaultdict(list)
        for path in images_below(self.folder):
            name = _parts(path.name)[-1]
            names[name].append(path)
            stems[os.path.splitext(name)[0]].append(path)
        return names, stems

    def fitting(self, name: str, *, by_stem: bool | None = None) -> list[Path]:
        """The images that ``name`` may mean: one, several that fit equally well and differ, or none.

        The ending may be another one if no image has this one, or (``by_stem``) whatever there is, or not at all.
        """
        if not (parts := _parts(name)):
            return []
        names, stems = self._by_name
        found = names.get(parts[-1], []) if not by_stem else []
        if not found and by_stem is not False:
            found = stems.get(os.path.splitext(parts[-1])[0], [])
        if len(found) < 2:
            return found
        common = {path: common_end(parts[:-1], _parts(os.path.abspath(path))[:-1]) for path in found}
        best = [path for path in found if common[path] == max(common.values())]
        return best[:1] if all(same_content(best[0], other) for other in best[1:]) else best

    def find_any(self, names: Sequence[str]) -> Path:
        """The image of these names, the likeliest first; first of their endings, then of any.

        Raises ``InputError`` if there is none, or if several fit and differ.
        """
        for by_stem in (False, True):
            for name in names:
                found = self.fitting(name, by_stem=by_stem)
                if len(found) > 1:
                    what = f"its image {name!r} may be {found[0]} or {found[1]}"
                    raise InputError(what, "", "remove the one that is not meant, or name its folder in the labels")
                if found:
                    return found[0]
        what = f"its image {names[0] if names else ''!r} is not there"
        raise InputError(what, "", f"put it into {self.folder}")

    def find(self, name: str) -> Path | None:
        """The only image that ``name`` may mean, noted in ``taken``."""
        found = self.fitting(name)
        if len(found) == 1:
            self.taken[name] = found[0]
            return found[0]
        return None

    def missing(self, name: str) -> InputError:
        """The error about an image that is not there, with those that may be meant."""
        where = self.folder / name
        if found := self.fitting(name):
            several = " or ".join(map(str, found[:3]))
            return InputError(f"no such file; it may be {several}", where, "write the one that is meant")
        self.compared += 1
        known = {} if self.compared > _MOST_MISSING else self._by_name[0]
        near = get_close_matches((_parts(name) or [""])[-1], list(known)[:_MOST_COMPARED], n=1, cutoff=0.8)
        fix = f"did you mean {known[near[0]][0]}?" if near else "check the path"
        return InputError("no such file", where, fix)

    def notes(self) -> list[str]:
        """A line about the images that were found otherwise spelled, if any."""
        if not self.taken:
            return []
        name, path = next(iter(self.taken.items()))
        return [f"{len(self.taken)} images have another name in the labels, such as {name!r}: {path} is read"]


class Spellings:
    """Finds files whose folders or names are written in another case or another form of letters; remembers listings."""

    def __init__(self) -> None:
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, path: Path) -> Path | None:
        """The only file that is spelled like ``path``, also that itself."""
        if os.path.isfile(path):
            return path
        if (folder := self._folder(path.parent)) is None:
            return None
        found = self._entries(folder).get(_spelled(path.name), [])
        file = os.path.join(folder, found[0]) if len(found) == 1 else ""
        return Path(file) if os.path.isfile(file) else None

    def _folder(self, path: Path) -> str | None:
        if os.path.isdir(path):
            return str(path)
        above = self._folder(path.parent) if path.parent != path else None
        found = self._entries(above).get(_spelled(path.name), []) if above else []
        return os.path.join(above, found[0]) if above and len(found) == 1 else None

    def _entries(self, folder: str) -> dict[str, list[str]]:
        if folder not in self._listings:
            entries: dict[str, list[str]] = defaultdict(list)
            with suppress(OSError):
                for name in os.listdir(folder):
                    entries[_spelled(name)].append(name)
            self._listings[folder] = entries
        return self._listings[folder]


def _spelled(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _parts(name: str) -> list[str]:
    """The folders and the name as they are compared."""
    text = unicodedata.normalize("NFC", unquote(name)).casefold().replace("\\", "/")
    return [part for word in text.split("/") if (part := word.strip()) not in ("", ".", "..")]


def common_end(one: Sequence[str], two: Sequence[str]) -> int:
    """How many folders at the end are the same."""
    count = 0
    while count < min(len(one), len(two)) and one[-1 - count] == two[-1 - count]:
        count += 1
    return count
