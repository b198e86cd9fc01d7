"""Finds images in files, folders and globs. Every search in folders goes through `walk`.

Links to files and folders are followed; a link to a folder that contains it is not, and no folder is searched twice.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cornernet.errors import InputError

# fmt: off
PORTABLE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")  # what other tools read too
JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif")
HEIF_SUFFIXES = (".heic", ".heif", ".hif")
IMAGE_SUFFIXES = (
    *PORTABLE_SUFFIXES, ".jpe", ".jfif", ".jif", ".mpo", ".dib", ".gif", ".apng", ".ppm", ".pgm", ".pbm", ".pnm",
    ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc", ".avif", ".avifs", ".tga", ".pcx", ".psd", *HEIF_SUFFIXES,
)
_COMPANIONS = (  # what lies beside images and is not missed
    ".txt", ".xml", ".json", ".jsonl", ".csv", ".tsv", ".yaml", ".yml", ".md", ".names", ".data", ".cache", ".xmp",
    ".aae",
)
_NO_IMAGES = (  # not opened to see whether they are images; raw files of cameras begin as a TIFF does
    *_COMPANIONS, ".py", ".pdf", ".svg", ".eps", ".ps", ".html", ".zip", ".tar", ".gz", ".npy", ".npz", ".pt", ".pth",
    ".onnx", ".safetensors", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf",
    ".rw2", ".raf", ".pef", ".srw",
)
# fmt: on
_OF_SYSTEMS = {"__macosx", ".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir"}  # not by people
_COPIES = (".ipynb_checkpoints", ".thumb", ".trash", ".git", ".cache")  # folders of programs
_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"\xff\x4f\xff\x51")
_JPEG2000 = b"\0\0\0\x0cjP  "
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
HEAD = 64  # bytes by which a kind of image is known


@dataclass
class PassedOver:
    """What a search did not take: its files by ending, and lines about places that cannot be reached."""

    endings: Counter[str] = field(default_factory=Counter[str])
    unreachable: list[str] = field(default_factory=list)

    def add(self, path: str | os.PathLike[str]) -> None:
        self.endings[os.path.splitext(path)[1].lower() or "without ending"] += 1

    def counted(self, *, all_files: bool = False) -> str:
        """For example "2 .pdf, 1 .svg"; without ``all_files`` only what may be missed."""
        counts = [(n, ending) for ending, n in self.endings.items() if all_files or ending not in _COMPANIONS]
        return ", ".join(f"{count} {ending}" for count, ending in sorted(counts, key=lambda each: (-each[0], each[1])))

    def lines(self, where: object) -> Iterator[str]:
        """One line about files, and one about each unreachable place."""
        if told := self.counted():
            count = sum(number for ending, number in self.endings.items() if ending not in _COMPANIONS)
            noun, verb = ("file", "was") if count == 1 else ("files", "were")
            yield f"{count} {noun} in {where} {verb} not looked at: {told}"
        yield from self.unreachable


def walk(folder: str | os.PathLike[str], unreachable: list[str] | None = None) -> Iterator[Path]:
    """As `walk_names`."""
    return map(Path, walk_names(folder, unreachable))


def walk_names(folder: str | os.PathLike[str], unreachable: list[str] | None = None) -> Iterator[str]:
    """Every file below a folder that is not hidden, also through links; what is reached twice has its real path.

    ``unreachable`` gets a line for each folder that cannot be read, and each link that leads nowhere or to a folder
    that is searched anyway.
    """
    lines = [] if unreachable is None else unreachable
    seen: set[tuple[int, int]] = set()
    links = [os.fspath(folder)]  # followed last, so that a folder that is also linked has its own path
    while links:
        places = [links.pop(0)]
        while places:
            place = places.pop()
            try:
                status = os.stat(place)
                if (status.st_dev, status.st_ino) in seen:
                    lines += [f"{place}: a link to a folder that is searched by its own name"] * os.path.islink(place)
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(place) as entries:
                    found = sorted(entries, key=lambda entry: entry.name, reverse=True)
            except OSError as error:
                lines.append(f"{place}: the folder cannot be read ({error.strerror})")
                continue
            lines += filter(None, map(_hidden_images, found))
            found = [entry for entry in found if not is_junk(entry.name)]
            for entry in reversed(found):
                if entry.is_symlink():
                    if os.path.isfile(entry.path):
                        yield entry.path
                    elif not os.path.exists(entry.path):
                        lines.append(_dead_link(entry.path))
                    elif os.path.isdir(entry.path) and not contains_itself(entry.path):
                        links.append(entry.path)
                elif entry.is_file():
                    yield entry.path
            places += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]


def files_ending(folder: str | os.PathLike[str], *endings: str, below: bool = False) -> Iterator[Path]:
    """The files in a folder, or everywhere ``below`` it, with one of these endings, in upper or lower case.

    None if there is no such folder; not sorted, but below each other folder by folder, as `walk`. No hidden files.
    """
    if below:
        yield from (Path(name) for name in walk_names(folder) if name.lower().endswith(endings))
        return
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if entry.name.lower().endswith(endings) and not is_junk(entry.name) and entry.is_file():
                yield Path(entry.path)


def inner_folder(folder: Path, name: str) -> Path | None:
    """The folder of that name in a folder, in upper or lower case; ``None`` if there is none, or no single one."""
    if (folder / name).is_dir():
        return folder / name
    found = [path for path in folder.iterdir() if path.name.lower() == name.lower() and path.is_dir()]
    return found[0] if len(found) == 1 else None


def _hidden_images(entry: os.DirEntry[str]) -> str:
    """A line about a hidden folder if there are images in it; not of copies that programs keep."""
    if not entry.name.startswith(".") or is_of_system(entry.name) or entry.name.startswith(_COPIES):
        return ""
    try:
        if not entry.is_dir():
            return ""
        count = sum(name.lower().endswith(IMAGE_SUFFIXES) for name in os.listdir(entry.path))
    except OSError:
        return ""
    return f"{entry.path}: a hidden folder with {count} images, not searched" if count else ""


def _dead_link(path: str | os.PathLike[str]) -> str:
    return f"{path}: {leads_nowhere(path)}"


def leads_nowhere(path: str | os.PathLike[str]) -> str:
    """What is said of a link whose target is not there."""
    return f"a link to {os.readlink(path)}, which is not there"


def contains_itself(link: str) -> bool:
    """Whether a link leads to a folder that the link is in."""
    return Path(os.path.realpath(os.path.dirname(link))).is_relative_to(os.path.realpath(link))


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden, or a system's own."""
    return name.startswith(".") or is_of_system(name)


def is_of_system(name: str) -> bool:
    """Whether a system writes files or folders of that name: "._photo.jpg" is a file of macOS, not a photo."""
    return name.startswith("._") or name.lower() in _OF_SYSTEMS


def find_images(
    sources: Sequence[str | os.PathLike[str]],
    suffixes: tuple[str, ...] = IMAGE_SUFFIXES,
    passed: PassedOver | None = None,
) -> list[Path]:
    """The image files of files, folders (with subfolders) and globs (also ``**``), in that order, each once.

    A folder or a glob gives the sorted files with ``suffixes``, upper or lower case, and those that begin as an image
    does and whose ending does not say otherwise. A file that is named itself may have any suffix. ``passed`` gets the
    other files. Raises ``InputError`` with the source that gives no image.
    """
    if not sources:
        raise InputError("no images given", fix="name files, folders or globs")
    found: dict[str, Path] = {}
    for source in sources:
        path = Path(source).expanduser()
        over = PassedOver()
        if path.is_dir():
            paths = _chosen(walk(path, over.unreachable), suffixes, over)
        elif path.exists():
            paths = [path]
        elif glob.has_magic(str(path)):
            paths = _chosen(_globbed(path, over), suffixes, over)
        elif os.path.islink(path):
            raise InputError(leads_nowhere(path), source, "correct or remove it")
        else:
            raise InputError("no such file or folder", source)
        if not paths:
            there = f" that can be read, only {counted}" if (counted := over.counted(all_files=True)) else ""
            raise InputError(f"no image there{there}", source, "; ".join(over.unreachable[:3]))
        if passed is not None:
            passed.endings.update(over.endings)
            passed.unreachable += over.unreachable
        for each in paths:
            found.setdefault(os.path.abspath(each), each)
    return list(found.values())


def read_head(path: str | os.PathLike[str]) -> bytes:
    """The first bytes of a file, empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def is_heif(head: bytes) -> bool:
    """Whether a file that begins so is a HEIC or HEIF image."""
    return head[4:8] == b"ftyp" and not is_avif(head) and any(brand in _brands(head) for brand in _HEIF_BRANDS)


def is_avif(head: bytes) -> bool:
    """Whether a file that begins so is an AVIF image."""
    return head[4:8] == b"ftyp" and any(brand in _brands(head) for brand in _AVIF_BRANDS)


def _brands(head: bytes) -> bytes:
    return head[8 : int.from_bytes(head[:4])]


def _chosen(paths: Iterable[Path], suffixes: tuple[str, ...], over: PassedOver) -> list[Path]:
    """The images among the paths, sorted."""
    images: list[Path] = []
    for path in paths:
        if path.name.lower().endswith(suffixes) or _begins_as_image(path):
            images.append(path)
        else:
            over.add(path)
    return sorted(images)


def _globbed(pattern: Path, over: PassedOver) -> Iterator[Path]:
    """The files of a glob; with ``**`` those of `walk`, which does not run in circles."""
    parts = pattern.parts
    if "**" in parts:
        first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        base = Path(*parts[:first])
        for path in walk(base, over.unreachable) if base.is_dir() else ():
            if _matches(path.relative_to(base).parts, parts[first:]):
                yield path
        return
    for path in map(Path, glob.iglob(str(pattern))):
        if path.is_dir():
            over.unreachable.append(
                f"{path}: a folder, not searched by this pattern; name it, or write ** for all below"
            )
        elif path.is_file() and not is_junk(path.name):
            yield path
        elif path.is_symlink() and not path.exists():
            over.unreachable.append(_dead_link(path))


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a path fits a pattern; ``**`` stands for any number of folders."""
    if not patterns:
        return not parts
    if patterns[0] == "**":
        rest = patterns[1:] or ("*",)
        return any(_matches(parts[i:], rest) for i in range(len(parts)))
    return bool(parts) and fnmatch.fnmatch(parts[0], patterns[0]) and _matches(parts[1:], patterns[1:])


def _begins_as_image(path: Path) -> bool:
    """Whether a file without a known ending holds an image."""
    if path.name.lower().endswith(_NO_IMAGES):
        return False
    head = read_head(path)
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_bitmap = head[:2] == b"BM" and head[6:10] == bytes(4)
    is_netpbm = head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b"\n \t" and len(head) > 10
    return head.startswith((*_HEADS, _JPEG2000)) or is_webp or is_bitmap or is_netpbm or is_avif(head) or is_heif(head)
