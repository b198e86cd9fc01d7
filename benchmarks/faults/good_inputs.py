"""One small good input of every kind, and the command that reads it."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from PIL import Image

from cornernet.cli import main
from cornernet.config import Architecture, HourglassConfig, Preprocessing
from cornernet.data.registry import LABEL_FORMATS
from cornernet.data.shapes import draw_scene
from cornernet.model.cornernet import CornerNet
from cornernet.recipes.load import load_recipe, recipe_yaml
from cornernet.weights.store import Weights, save_weights

OUT = "{out}"  # a new folder for each input
_IMAGES = ("png", "jpg", "gif", "webp", "tif", "bmp", "ppm", "jp2", "avif", "tga", "pcx", "ico")
CLASSES = ("disc", "ring", "star", "cross", "crescent", "triangle", "heart", "arrow", "box", "hourglass")
SMALL = Architecture(
    HourglassConfig(num_stacks=1, channels=[16, 16], blocks=[1, 1], feature_channels=16),
    corner_channels=16,
    branch_channels=16,
)
_VIDEOS = {"avi": "MJPG", "mp4": "mp4v", "webm": "VP80"}
_TRAINING = ("--size", "hourglass-nano", "--epochs", "1", "--augmentation.crop_size", "64", "--no-report")


@dataclass(frozen=True)
class Kind:
    """Files of which one is damaged at a time, and the words of the command; it ends with ``code`` if all is well."""

    name: str
    files: tuple[Path, ...]
    words: tuple[str, ...]
    code: int = 0


def make_kinds(folder: Path) -> list[Kind]:
    """All kinds; their files are written into ``folder``."""
    weights = _weights(folder / "weights")
    data = folder / "data"
    _run("data", "shapes", data, "--train", "3", "--val", "2")
    kinds = [*_images(folder / "images", weights), *_videos(folder / "videos", weights), *_labels(folder, data)]
    kinds += [*_archives(folder), *_recipes(folder / "recipes"), *_trainings(folder, data)]
    return kinds + _weight_kinds(folder, weights, data)


def _run(*words: object) -> None:
    code = main([str(word) for word in words])
    if code:
        raise SystemExit(f"{' '.join(map(str, words))} ended with {code}: a good input could not be made")


def _weights(folder: Path) -> Path:
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    stored = Weights(
        CornerNet(SMALL, len(CLASSES)).state_dict(), SMALL, CLASSES, Preprocessing(pad_mask=7), threshold=0.2
    )
    return save_weights(folder / "tiny.safetensors", stored)


def _images(folder: Path, weights: Path) -> list[Kind]:
    folder.mkdir()
    picture = Image.fromarray(draw_scene((1, 1)).image).resize((56, 40))
    kinds = []
    for ending in _IMAGES:
        path = folder / f"a.{ending}"
        picture.save(path)
        kinds.append(path)
    pages = [picture, picture.rotate(180), picture]
    for path in (folder / "animation.gif", folder / "animation.webp", folder / "pages.tif", folder / "animation.png"):
        pages[0].save(
            path, save_all=True, append_images=pages[1:], **({} if path.suffix == ".tif" else {"duration": 90})
        )
        kinds.append(path)
    turned = folder / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(turned, exif=exif)
    words = ("--weights", str(weights), "--save", "json", "--out", OUT)
    return [Kind(f"image {path.name}", (path,), ("predict", str(path), *words)) for path in (*kinds, turned)]


def _videos(folder: Path, weights: Path) -> list[Kind]:
    folder.mkdir()
    kinds = []
    for ending, codec in _VIDEOS.items():
        path = folder / f"a.{ending}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, (64, 48))
        for number in range(4):
            writer.write(np.full((48, 64, 3), 60 * number, np.uint8))
        writer.release()
        words = ("predict", str(path), "--weights", str(weights), "--save", "json,video", "--out", OUT)
        kinds.append(Kind(f"video {ending}", (path,), words))
    return kinds


def _labels(folder: Path, data: Path) -> list[Kind]:
    kinds = []
    for format in LABEL_FORMATS:
        own = folder / f"as-{format}"
        _run("data", "convert", data, own, "--to", format)
        files = [file for file in sorted(own.rglob("*")) if file.suffix in (".json", ".xml", ".txt", ".yaml")]
        for to, options in (("convert", ("--to", "coco")), ("check", ("--out", f"{OUT}-figures", "--fix"))):
            words = ("data", to, str(own), OUT, *options) if to == "convert" else ("data", to, str(own), *options, OUT)
            kinds.append(Kind(f"labels {format}, {to}", tuple(files), words))
    return kinds


def _archives(folder: Path) -> list[Kind]:
    source, kinds = folder / "as-yolo", []
    for format in ("zip", "gztar", "tar"):
        path = Path(shutil.make_archive(str(folder / f"data-{format}"), format, source))
        kinds.append(Kind(f"archive {format}", (path,), ("data", "convert", str(path), OUT, "--to", "coco")))
    return kinds


def _recipes(folder: Path) -> list[Kind]:
    folder.mkdir()
    kinds = []
    for name in ("deeppcb-modern", "photos", "cornernet_squeeze"):
        path = folder / f"{name}.yaml"
        path.write_text(recipe_yaml(load_recipe(name)), encoding="utf-8")
        kinds.append(Kind(f"recipe {name}", (path,), ("train", str(path), "--print-config")))
    return kinds


def _trainings(folder: Path, data: Path) -> list[Kind]:
    run = folder / "run"
    _run("train", "--data", data, "--out", run, *_TRAINING)
    told = [run / name for name in ("run.json", "recipe.yaml", "log.jsonl", "metrics.json")]
    report = ("report", str(run), "--out", f"{OUT}.html", "--device", "cpu")
    return [
        Kind("run, report", (*told, run / "best.safetensors"), report),
        Kind("run, resume", (*told, run / "state.ckpt"), ("train", "--resume", str(run), "--no-report")),
        Kind("log, plot", (run / "log.jsonl",), ("plot", str(run / "log.jsonl"), "--out", f"{OUT}.png")),
    ]


def _weight_kinds(folder: Path, weights: Path, data: Path) -> list[Kind]:
    place, image = folder / "weights", str(next((data / "val").iterdir()))
    ours, plain, old = place / "info.safetensors", place / "plain.pth", place / "old.pth"
    shutil.copy(weights, ours)
    state = {f"module.{name}": tensor for name, tensor in CornerNet(SMALL, 2).state_dict().items()}
    torch.save(state, plain)
    torch.save({"state_dict": state, "meta": {"CLASSES": ("a",)}}, old, _use_new_zipfile_serialization=False)
    kinds = [Kind("weights safetensors", (ours,), ("weights", "info", str(ours)))]
    kinds += [Kind(f"weights {path.name}", (path,), ("weights", "info", str(path)), code=2) for path in (plain, old)]
    words = ("--save", "json", "--out", OUT)
    kinds.append(Kind("weights, predict", (ours,), ("predict", image, "--weights", str(ours), *words)))
    for ending, format in ((".onnx", "onnx"), (".xml", "openvino")):
        path = place / f"tiny{ending}"
        _run("export", "--weights", weights, "--format", format, "--out", path)
        files = (path, path.with_suffix(".bin")) if ending == ".xml" else (path,)
        kinds.append(Kind(f"exported {format}", files, ("predict", image, "--weights", str(path), *words)))
    return kinds


def payloads(canary: Path) -> list[bytes]:
    """Pickles, also inside PyTorch's zip files, that would write ``canary`` if a reader obeyed them."""
    calls = []
    for module, name, argument in (
        ("os", "system", f"touch {canary}"),
        ("posix", "system", f"touch {canary}"),
        ("builtins", "exec", f"open({str(canary)!r}, 'w')"),
        ("builtins", "eval", f"open({str(canary)!r}, 'w')"),
        ("subprocess", "getoutput", f"touch {canary}"),
        ("torch.hub", "load", str(canary)),
        ("numpy.testing._private.utils", "runstring", f"open({str(canary)!r}, 'w')"),
    ):
        text = argument.encode()
        calls.append(
            b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"X" + len(text).to_bytes(4, "little") + text + b"\x85R."
        )
    whole = []
    for call in calls:
        path = canary.with_suffix(".zip")
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", call)
            file.writestr("archive/version", "3\n")
            file.writestr("archive/byteorder", "little")
        whole.append(path.read_bytes())
        path.unlink()
    recipe = yaml.safe_dump({"model": "x"}).encode()
    tags = (b"!!python/object/apply:os.system ['touch %s']", b"!!python/object/new:os.system ['touch %s']")
    return [*calls, *whole, *(recipe + b"x: " + tag % bytes(canary) + b"\n" for tag in tags)]
