"""``cornernet weights``: the released networks, and files of other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    from cornernet.weights.zoo import Release


def list_releases() -> None:
    """List the released networks, their published figures, and whether they are in the cache."""
    from cornernet.files import cache_folder
    from cornernet.weights.imagenet import installed_trunks
    from cornernet.weights.zoo import RELEASES

    folder = cache_folder()
    width = max(len(release.alias) for release in RELEASES)
    print(f"{'name':{width}}  {'GPUs x images':40}  box AP (published)  here")
    for release in RELEASES:
        here = "yes" if (folder / release.file).is_file() else "no"
        print(f"{release.alias:{width}}  {release.setting:40}  {release.ap:<18}  {here}")
    for name, content in (("photos", "1,943 photographs, 80 classes, bundled"), ("shapes", "drawn scenes, bundled")):
        print(f"{name:{width}}  {content:40}  {'':18}  yes")
    for name, here in installed_trunks().items():
        print(f"{name:{width}}  {'ImageNet trunk, to begin trainings with':40}  {'':18}  {'yes' if here else 'no'}")
    print(f"cache: {folder}")


def info(weights: str) -> None:
    """Show the content of a weights file: network, classes, preprocessing, decoding, source.

    Args:
        weights: Weights file of any dialect, the name of a release, or hf:NAME of the Hugging Face hub.
    """
    from cornernet.weights.zoo import open_weights

    stored = open_weights(weights, progress=ProgressBar("fetching", "B"))
    a, p, d = stored.architecture, stored.preprocessing, stored.decoding
    count = sum(value.numel() for value in stored.state.values() if value.is_floating_point())
    names = ", ".join(stored.class_names[:8]) + (" ..." if len(stored.class_names) > 8 else "")
    rows = {
        "network": _kind(a.backbone),
        "head": f"corners {a.corner_channels}, branches {a.branch_channels}, paired by {_kind(a.pairing)}"
        + (f", pools over {a.pool_window} cells" if a.pool_window else ""),
        "numbers": f"{count / 1e6:.2f} M",
        "classes": f"{len(stored.class_names)}: {names}",
        "pixels": f"{p.color_order}, mean {_short(p.mean)}, std {_short(p.std)}",
        "padding": f"{p.padding}, " + (f"multiples of {p.pad_multiple}" if p.pad_multiple else f"size | {p.pad_mask}"),
        "decoding": f"{d.num_corners} corners, {d.num_candidates} pairs, distance {d.max_distance:g}"
        + (", harmonic scores" if d.pair_score == "harmonic" else "")
        + (", clipped to the image" if d.clip else "")
        + (", overlap + 1 pixel" if d.plus_one else ""),
        "threshold": f"{stored.threshold:g}",
    } | {name: str(value) for name, value in stored.info.items()}
    for name, value in rows.items():
        print(f"{name:12}{value}")


def fetch(names: list[str], *, mirror: str | None = None, cache: str | None = None, log: bool = False) -> None:
    """Download released networks into the cache; an interrupted download goes on.

    Args:
        names: Releases, by full or short name.
        mirror: Address that stands for https://download.openmmlab.com/mmdetection/v2.0/cornernet. Default:
            $CORNERNET_MIRROR, or that.
        cache: Folder to keep them in. Default: $CORNERNET_CACHE, or cornernet in the user's cache folder.
        log: The log of the training too.
    """
    from cornernet.weights.zoo import fetch as fetch_release

    for release in map(_release, names):
        folder = Path(cache) if cache else None
        print(fetch_release(release, mirror=mirror, folder=folder, progress=ProgressBar(release.alias, "B")))
        if log:
            print(fetch_release(release, log=True, mirror=mirror, folder=folder))


def push(run: str, name: str, *, licence: str, private: bool = False, card: str | None = None) -> None:
    """Put the best weights of RUN, a training's folder, on the Hugging Face hub as NAME, with a page on them.

    Others use them by --weights NAME. The page has the classes, the number of images, COCO's figures, the threshold and
    the recipe; no path of this machine. The token is the hub's own: hf auth login, or HF_TOKEN.

    Args:
        name: Repository of the hub, user/name; it is made if it is new.
        licence: Short name of the weights' licence, such as apache-2.0, mit, cc-by-4.0 or other.
        private: Only you and those whom you invite see it, if it is new.
        card: Only write the page to this file, to read it first; nothing is sent.
    """
    from cornernet.files import atomic_write
    from cornernet.tasks.model_card import write_card
    from cornernet.tasks.run_report import best_weights
    from cornernet.weights.hub_files import SHARED_FILE, push_files

    text = write_card(Path(run), name, licence)
    if card:
        print(f"the page, nothing was sent: {atomic_write(Path(card), text.encode())}")
        return
    files: dict[str, Path | bytes] = {SHARED_FILE: best_weights(Path(run)), "README.md": text.encode()}
    page = push_files(name, files, private=private, message="Add weights of cornernet and their card")
    print(f"{page}; cornernet predict photo.jpg --weights {name}")


def convert(
    source: str,
    out: str,
    *,
    class_names: str | None = None,
    threshold: float | None = None,
    max_distance: float | None = None,
    pair_score: Literal["mean", "harmonic"] | None = None,
    num_corners: int | None = None,
    pooling_reach: int | None = None,
    half: bool = False,
) -> None:
    """Convert a checkpoint of OpenMMLab or of the authors into our format: safetensors, with all it needs.

    Or write a file of ours with another threshold, pairing distance, score of pairs or window of corner pooling.

    Args:
        source: Checkpoint (.pth, .pkl), or the name of a release.
        out: File to write, .safetensors.
        class_names: Names of the classes, joined by commas, where the checkpoint has none.
        threshold: Lowest score that predict shows by default.
        max_distance: Corners are paired if their embeddings (or logarithms of sizes) differ by at most this. Lower it
            if boxes join neighbours of one class, raise it if objects have no box (cornernet explain).
        pair_score: A pair's score is the mean of its corners' scores, as in the paper, or their harmonic mean, which
            was better in every test (docs/modern.md).
        num_corners: Corners of each kind that are paired in an image. Default: as in the file, or 100. More corners
            help if images have more objects.
        pooling_reach: The largest number of cells that a corner pool covers; 0 for all. For networks trained on
            crops and tested on larger images: half the crop's side, 32 for a crop of 256 pixels (docs/modern.md).
        half: Store the numbers in 16 bits.
    """
    from dataclasses import replace
    from math import inf

    from cornernet.errors import InputError
    from cornernet.weights.store import save_weights
    from cornernet.weights.zoo import open_weights

    if not out.endswith(".safetensors"):
        raise InputError("give the new file a name that ends in .safetensors", out)
    given = [name.strip() for name in class_names.split(",")] if class_names else None
    stored = open_weights(source, class_names=given, progress=ProgressBar("fetching", "B"))
    for option, value, least, most, what in (
        ("threshold", threshold, 0, 1, "give a score from 0 to 1"),
        ("max-distance", max_distance, 0, inf, "give a distance of 0 or more"),
        ("num-corners", num_corners, 1, inf, "give a number of at least 1"),
        ("pooling-reach", pooling_reach, 0, inf, "give a number of cells, or 0 for all"),
    ):
        if value is not None and not least <= value <= most:
            raise InputError(what, f"--{option} {value:g}")
    stored.threshold = stored.threshold if threshold is None else threshold
    decoding = {"max_distance": max_distance, "num_corners": num_corners, "pair_score": pair_score}
    stored.decoding = replace(stored.decoding, **{k: value for k, value in decoding.items() if value is not None})
    if pooling_reach is not None:
        stored.architecture = replace(stored.architecture, pool_window=pooling_reach or None)
    save_weights(out, stored, half=half)
    if stored.class_names[0] == "class 1":
        print(f"{source} names no classes: numbered them; --class-names a,b,c names them", file=sys.stderr)
    print(f"{len(stored.state)} tensors, {len(stored.class_names)} classes: {out}")


def verify(weights: str) -> None:
    """Check a weights file: every tensor is present and finite, and a release has its published SHA-256.

    Args:
        weights: Weights file of any dialect, or the name of a release in the cache.
    """
    from cornernet.errors import InputError
    from cornernet.files import cache_folder
    from cornernet.weights.fetching import sha256
    from cornernet.weights.zoo import find_release, open_weights

    release = find_release(Path(weights).name)
    path = Path(weights)
    if release and not path.is_file():
        path = cache_folder() / release.file
        if not path.is_file():
            raise InputError(f"not in {path.parent}", weights, f"cornernet weights fetch {release.alias} gets it")
    found = sha256(path) if path.is_file() else ""
    if release and not found.startswith(release.sha256):
        raise InputError(f"its SHA-256 begins {found[:8]}, not {release.sha256}", path, "remove it and fetch it anew")
    stored = open_weights(path)
    stored.check()
    bad = [key for key, value in stored.state.items() if not bool(value.isfinite().all())]
    if bad:
        raise InputError(f"{len(bad)} tensors are not finite ({bad[0]} is the first)", path, "train or fetch it anew")
    published = ", as published" if release else ""
    print(f"{path}: {len(stored.state)} tensors, all present and finite; SHA-256 {found[:8]}{published}")


def _release(name: str) -> Release:
    from cornernet.errors import InputError
    from cornernet.weights.zoo import RELEASES, find_release

    release = find_release(name)
    if release is None:
        raise InputError("no such release", name, f"there are {', '.join(r.alias for r in RELEASES)}")
    return release


def _short(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _kind(settings: Any) -> str:
    """A backbone's or a pairing rule's name and settings."""
    from dataclasses import fields

    values = {field.name.replace("_", " "): getattr(settings, field.name) for field in fields(settings)}
    texts = {name: " ".join(map(str, value)) if isinstance(value, tuple) else value for name, value in values.items()}
    texts |= {name: value["model_type"] for name, value in values.items() if isinstance(value, dict)}
    return ", ".join([settings.name, *(f"{name} {text}" for name, text in texts.items() if text != "")])
