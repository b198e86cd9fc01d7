"""The released networks: names, published figures, and downloads."""

from __future__ import annotations

import http.client
import os
import urllib.error
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cornernet.errors import InputError, nearest
from cornernet.files import cache_folder, make_folder
from cornernet.weights import BUNDLED
from cornernet.weights.fetching import Progress, download_file, fetch_address, is_weights_address, sha256
from cornernet.weights.foreign import load_foreign
from cornernet.weights.hub import PREFIX, load_hub_trunk
from cornernet.weights.hub_files import fetch_shared, is_hub_name
from cornernet.weights.imagenet import PACKAGES, load_trunk, trunk_name
from cornernet.weights.store import Weights, load_weights

MIRROR = "https://download.openmmlab.com/mmdetection/v2.0/cornernet"
MIRROR_VARIABLE = "CORNERNET_MIRROR"


@dataclass(frozen=True)
class Release:
    """A released checkpoint with its published figures, a row of OpenMMLab's table.

    ``memory`` is that of training in GB, ``fps`` images a second at test, ``ap`` COCO box AP with flip on val2017.
    """

    name: str
    file: str
    setting: str
    memory: float
    fps: float
    ap: float

    @property
    def alias(self) -> str:
        """The name up to its first dash."""
        return self.name.split("-")[0]

    @property
    def folder(self) -> str:
        """The file's folder below a mirror's address: its name without date and hash."""
        return self.file.rsplit("_", 2)[0]

    @property
    def sha256(self) -> str:
        """The first eight characters of the file's SHA-256."""
        return self.file.removesuffix(".pth").rsplit("-", 1)[1]

    @property
    def log(self) -> str:
        """Name of the training's log, in the same folder."""
        return self.file.rsplit("-", 1)[0] + ".log.json"


RELEASES = (
    Release(
        "cornernet_hourglass104_10xb5-crop511-210e-mstest_coco",
        "cornernet_hourglass104_mstest_10x5_210e_coco_20200824_185720-5fefbf1c.pth",
        "10 x 5, the paper's",
        13.9,
        4.2,
        41.2,
    ),
    Release(
        "cornernet_hourglass104_8xb6-210e-mstest_coco",
        "cornernet_hourglass104_mstest_8x6_210e_coco_20200825_150618-79b44c30.pth",
        "8 x 6, one node, near the paper's batch",
        15.9,
        4.2,
        41.2,
    ),
    Release(
        "cornernet_hourglass104_32xb3-210e-mstest_coco",
        "cornernet_hourglass104_mstest_32x3_210e_coco_20200819_203110-1efaea91.pth",
        "32 x 3, four nodes",
        9.5,
        3.9,
        40.4,
    ),
)


def find_release(name: str) -> Release | None:
    """The release with this name, alias or file name."""
    return next((release for release in RELEASES if name in (release.name, release.alias, release.file)), None)


def open_weights(
    source: str | os.PathLike[str], *, class_names: Sequence[str] | None = None, progress: Progress | None = None
) -> Weights:
    """Weights from a file of any dialect, ``photos`` or ``shapes`` (bundled), or a release by name, which is fetched on
    first use; from an address (https://...), or from the Hugging Face hub (``user/name``: what ``weights push`` put
    there). ``lite0``, ``lite1`` and ``lite2`` are trunks with ImageNet weights, ``hf:NAME`` is one of the hub: to
    begin a training with.

    ``class_names`` replace those of a foreign file. Raises ``InputError`` if there are no usable weights.
    """
    path, name = Path(source), str(source)
    if not path.is_file() and not find_release(name) and name not in BUNDLED:
        if variant := trunk_name(name):
            return load_trunk(variant)
        if name.startswith(PREFIX):
            return load_hub_trunk(name)
    path = find_weights_file(source, progress=progress)
    try:
        return _read(path, class_names)
    except InputError as error:
        if not is_weights_address(name):
            raise
        path.unlink(missing_ok=True)  # what is no weights file does not stay in the cache
        raise InputError(f"what is there is not used: {error.what}", name, "give the address of the file") from None


def find_weights_file(source: str | os.PathLike[str], *, progress: Progress | None = None) -> Path:
    """The file of weights that `open_weights` reads, fetched if it is not here; trunks have none.

    Raises ``InputError`` if there is no such file, and no weights of that name.
    """
    path, name = Path(source), str(source)
    if path.is_file():
        if isinstance(source, str) and (name in BUNDLED or trunk_name(name)):
            fix = f"write ./{name} for the file, or rename it"
            raise InputError("weights that come with the package have this name, and a file has it", name, fix)
        return path
    if release := find_release(name):  # a folder may have the name of weights: photos
        return fetch(release, progress=progress)
    if name in BUNDLED:
        return BUNDLED[name]
    if is_weights_address(name):
        return fetch_address(name, progress)
    if path.exists():
        best = path / "best.safetensors"
        fix = f"give {best}" if best.is_file() else "name the weights file itself"
        raise InputError("not a file", path, fix)
    if is_hub_name(name):
        return fetch_shared(name)
    names = [*BUNDLED, *PACKAGES, *(r.alias for r in RELEASES)]
    what = f"no such weights file, and none of the names {', '.join(names)}"
    raise InputError(what, source, nearest(name, names, ""))


def _read(path: Path, class_names: Sequence[str] | None) -> Weights:
    if path.suffix.lower() == ".pt2":
        raise InputError("is a program, which torch.export.load runs", path, "give the weights it was made from")
    if _is_pickle(path):
        return load_foreign(path, class_names)
    return load_weights(path)


def fetch(
    release: Release,
    *,
    log: bool = False,
    mirror: str | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """The path of the release's file (with ``log``: of its training log) in the cache; downloads it if it is absent.

    ``mirror`` (or $CORNERNET_MIRROR) replaces OpenMMLab's address, ``folder`` the cache. An interrupted download
    continues where it ended, also in a later call. A file gets its name when it is complete and its SHA-256 is correct.
    Raises ``InputError`` with the file, its address and the folder where to put it.
    """
    name = release.log if log else release.file
    target = (folder or cache_folder()) / name
    if target.is_file():
        return target
    make_folder(target.parent)
    part = target.with_name(name + ".part")
    base = mirror or os.environ.get(MIRROR_VARIABLE) or MIRROR
    url = f"{base.rstrip('/')}/{release.folder}/{name}"
    try:
        download_file(url, part, progress or (lambda done, total: None))
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        fix = f"fetch it by other means and put it into {target.parent}"
        raise InputError(f"cannot be fetched from {url} ({reason})", name, fix) from None
    found = sha256(part)
    if not log and not found.startswith(release.sha256):
        part.unlink()
        what = f"what {url} sent is another file (its SHA-256 begins {found[:8]}, not {release.sha256}); it was removed"
        raise InputError(what, name, f"try --mirror, or put the right file into {target.parent}")
    part.replace(target)
    return target


def _is_pickle(path: Path) -> bool:
    """Whether a file has the content or name of a ``torch.save`` file; safetensors begin with a length and a brace."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] != b"{" and (
        head[:1] == b"\x80" or head[:4] == b"PK\x03\x04" or path.suffix in (".pth", ".pkl", ".pt", ".ckpt")
    )
