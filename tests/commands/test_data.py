"""Data sets of every format, good and bad, as a user meets them on the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from faster_coco_eval import COCO, COCOeval_faster
from PIL import Image

from cornernet.cli import main
from cornernet.config import Architecture, HourglassConfig, Preprocessing
from cornernet.model.cornernet import CornerNet
from cornernet.weights.store import Weights, save_weights
from small import write_data, write_recipe


@pytest.fixture
def data(tmp_path) -> Path:
    return write_data(tmp_path / "data", train=3, val=2)


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.manual_seed(0)
    architecture = Architecture(
        HourglassConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
        corner_channels=8,
        branch_channels=8,
    )
    stored = Weights(
        CornerNet(architecture, 2).state_dict(),
        architecture,
        ("red", "blue"),
        Preprocessing(pad_mask=7),
        threshold=0.05,
    )
    return save_weights(tmp_path / "small.safetensors", stored)


def run(*words: object, code: int = 0) -> None:
    assert main([str(word) for word in words]) == code


def said(capsys) -> tuple[list[str], list[str]]:
    """The lines on standard output and on standard error, without progress bars."""
    out, err = capsys.readouterr()
    return out.splitlines(), [line for line in err.splitlines() if line.strip() and "image/s]" not in line]


@pytest.mark.parametrize("format", ["coco", "yolo", "voc"])
def test_any_format_trains_and_evaluates(data, weights, tmp_path, capsys, format):
    place = tmp_path / format
    run("data", "convert", data, place, "--to", format)
    assert said(capsys)[0] == [
        f"train: 3 images, 6 boxes, 2 classes (COCO, {data}/annotations/instances_train.json)",
        f"val: 2 images, 4 boxes, 2 classes (COCO, {data}/annotations/instances_val.json)",
        f"as {format}: {place}",
    ]
    recipe = write_recipe(tmp_path, epochs=1, workers=0)
    run("train", recipe, "--data", place, "--out", tmp_path / "run")
    out, _ = said(capsys)
    assert out[0].startswith("train: 3 images, 6 boxes, 2 classes (")
    assert out[1].startswith("val: 2 images, 4 boxes, 2 classes (")
    run("evaluate", "--weights", weights, "--data", place, "--out", tmp_path / "evaluation")
    assert said(capsys)[0][0].startswith("val: 2 images, 4 boxes, 2 classes (")
    assert "AP" in json.loads((tmp_path / "evaluation/metrics.json").read_text())["figures"]


def test_figures_do_not_depend_on_the_format(data, weights, tmp_path):
    figures = []
    for format in ("coco", "yolo", "voc"):
        run("data", "convert", data, tmp_path / format, "--to", format)
        run("evaluate", "--weights", weights, "--data", tmp_path / format, "--out", tmp_path / f"{format}-evaluation")
        figures.append(json.loads((tmp_path / f"{format}-evaluation/metrics.json").read_text())["figures"])
    assert figures[0] == pytest.approx(figures[1], nan_ok=True)
    assert figures[0] == pytest.approx(figures[2], nan_ok=True)


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_predictions_of_data_without_ids_come_with_their_ground_truth(data, weights, tmp_path, format):
    """Any COCO evaluator gets the figures from the two files."""
    run("data", "convert", data, tmp_path / format, "--to", format)
    run("evaluate", "--weights", weights, "--data", tmp_path / format, "--out", tmp_path / "out")
    truth = COCO(str(tmp_path / "out/ground_truth.json"))
    judge = COCOeval_faster(truth, truth.loadRes(str(tmp_path / "out/predictions.json")), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    figures = json.loads((tmp_path / "out/metrics.json").read_text())["figures"]
    assert judge.stats[0] == pytest.approx(figures["AP"])


def test_a_clean_copy_holds_rotated_photos_upright(data, tmp_path, capsys):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(data / "train/001.png").save(data / "train/001.png", exif=exif)
    run("data", "check", data, "--fix", tmp_path / "clean", "--out", tmp_path / "check")
    _, err = said(capsys)
    assert any("001.png, have an EXIF rotation, and their labels do not tell" in line for line in err)
    assert err[-1].endswith("which some tools ignore: written anew as their pixels upright")
    assert Image.open(tmp_path / "clean/train/001.png").getexif().get(0x0112) is None


def test_one_split_is_shared_out_and_a_resumed_run_knows(data, weights, tmp_path, capsys):
    for split in ("val", "train"):
        (data / f"annotations/instances_{split}.json").rename(data / f"{split}.json")
    shutil.rmtree(data / "val")
    (data / "val.json").unlink()
    recipe = write_recipe(tmp_path, epochs=1, workers=0)
    run("train", recipe, "--data", data, "--out", tmp_path / "run", code=2)
    assert "hold back a tenth of the images for val with --val-share 0.1" in said(capsys)[1][-1]
    run("train", recipe, "--data", data, "--out", tmp_path / "run", "--val-share", "0.3")
    out, _ = said(capsys)
    counts = [int(line.split()[1]) for line in out[:2]]
    assert sum(counts) == 3
    assert min(counts) >= 1
    run("evaluate", "--weights", weights, "--data", data, "--val-share", "0.3", "--out", tmp_path / "evaluation")
    assert said(capsys)[0][0] == out[1]
    source = json.loads((tmp_path / "run/run.json").read_text())["source"]
    assert (source["val_share"], source["format"]) == (0.3, None)
    run("train", "--resume", tmp_path / "run")


def test_two_formats_at_once_want_a_choice(data, weights, tmp_path, capsys):
    run("data", "convert", data, tmp_path / "yolo", "--to", "yolo")
    for path in (tmp_path / "yolo").iterdir():
        shutil.move(path, data / path.name)
    words = ("--data", data, "--out", tmp_path / "out")
    for command in (("evaluate", "--weights", weights, *words), ("train", write_recipe(tmp_path), *words)):
        run(*command, code=2)
        assert "choose with --format coco or --format yolo" in said(capsys)[1][-1]
    run("data", "check", data, "--out", tmp_path / "check", code=2)
    run("data", "convert", data, tmp_path / "voc", "--to", "voc", code=2)
    assert not (tmp_path / "voc").exists()
    run("evaluate", "--weights", weights, *words, "--format", "yolo")
    run("data", "check", data, "--out", tmp_path / "check", "--format", "yolo")


def test_benchmark_evaluates_on_the_format_chosen(data, weights, tmp_path, capsys):
    run("data", "convert", data, tmp_path / "yolo", "--to", "yolo")
    for path in (tmp_path / "yolo").iterdir():
        shutil.move(path, data / path.name)
    label = data / "labels/val/001.txt"
    label.write_text(label.read_text() + "0 0.5\n")
    words = ("benchmark", write_recipe(tmp_path), "--images", data / "val", "--data", data, "--weights", weights)
    words += ("--no-training", "--seconds", "0.1", "--out", tmp_path / "row.json")
    run(*words, code=2)
    assert "choose with --format coco or --format yolo" in said(capsys)[1][-1]
    run(*words, "--format", "yolo")
    out, err = said(capsys)
    assert out[0] == f"val: 2 images, 4 boxes, 2 classes (YOLO, {data}/data.yaml)"
    assert any("1 images and boxes left out or clipped; cornernet data check lists them" in line for line in err)
    assert not any("--strict" in line for line in err)
    assert "box AP, flip" in json.loads((tmp_path / "row.json").read_text())["measured"]


def test_bad_images_and_lines_are_left_out_of_training_and_refused_if_strict(data, tmp_path, capsys):
    place = tmp_path / "yolo"
    run("data", "convert", data, place, "--to", "yolo")
    (place / "images/train/001.png").write_text("no image")
    label = place / "labels/train/002.txt"
    label.write_text(label.read_text() + "0 0.5\n")
    said(capsys)
    words = ("train", write_recipe(tmp_path, epochs=1, workers=0), "--data", place, "--out", tmp_path / "run")
    run(*words, "--strict", code=2)
    (line,) = said(capsys)[1]
    assert "1 bad images and 1 bad boxes: " in line
    assert not (tmp_path / "run").exists()
    run(*words)
    out, err = said(capsys)
    assert out[0].startswith("train: 2 images, 4 boxes")
    assert any("001.png: not an image" in line for line in err)
    assert any("002.txt line 3: " in line for line in err)
    assert any("warning: train: 1 images and 1 boxes left out, 0 clipped; cornernet data check" in line for line in err)


def test_an_image_that_turns_out_to_be_damaged_in_training_ends_it_by_name(data, tmp_path, capsys):
    path = data / "train/001.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)
    recipe = write_recipe(tmp_path, epochs=1, workers=0, batch_size=3)
    run("train", recipe, "--data", data, "--out", tmp_path / "run", code=2)
    assert "001.png: truncated or damaged" in said(capsys)[1][-1]


def test_an_image_that_is_cut_off_is_left_out_of_training(data, tmp_path, capsys):
    path = data / "train/001.png"
    path.write_bytes(path.read_bytes()[:-100])
    recipe = write_recipe(tmp_path, epochs=1, workers=0, batch_size=2)
    run("train", recipe, "--data", data, "--out", tmp_path / "run", "--no-report")
    assert any("001.png: truncated or damaged" in line for line in said(capsys)[1])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["images"] == 2


def test_check_of_a_clean_data_set(data, tmp_path, capsys):
    run("data", "check", data, "--out", tmp_path / "check")
    out, _ = said(capsys)
    assert out[0] == f"{data}: COCO (annotations/instances_train.json)"
    assert out[1].startswith("train: 3 images, 6 boxes, 2 classes (COCO, ")
    assert "boxes of each class" in out
    assert out[-1] == "0 problems"
    for name in ("histograms.png", "mosaic.jpg"):
        picture = cv2.imread(str(tmp_path / "check" / name))
        assert picture is not None
        assert picture.std() > 5


def test_check_counts_problems_and_fixes_them(data, tmp_path, capsys):
    path = data / "annotations/instances_train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [1, 1, 0, 5]
    content["categories"].append({"id": 3, "name": "Red"})
    path.write_text(json.dumps(content))
    (data / "train/002.png").write_bytes(b"")
    clean = tmp_path / "clean"
    run("data", "check", data, "--out", tmp_path / "check", "--fix", clean, code=2)
    out, err = said(capsys)
    assert err == []
    assert any("annotation 1 of 001.png: bbox [1.0, 1.0, 0.0, 5.0] has no width" in line for line in out)
    assert any("train/002.png: the file is empty; copy or download it again" in line for line in out)
    assert out[-1].startswith("4 problems, ")
    for count in ("1 empty boxes", "1 unusable images", "1 class names that look alike", "1 splits with other classes"):
        assert count in out[-1]
    assert f"clean copy: {clean}, in which 1 problems are left to you:" in out
    run("data", "check", clean, "--out", tmp_path / "check again", code=2)
    assert said(capsys)[0][-1] == "1 problems, 1 class names that look alike"
    assert (clean / "train/001.png").read_bytes() == (data / "train/001.png").read_bytes()


def test_nothing_that_a_copy_could_hold(data, tmp_path, capsys):
    for image in data.rglob("*.png"):
        image.write_text("no image")
    run("data", "check", data, "--out", tmp_path / "check", "--fix", tmp_path / "clean", code=2)
    assert "nothing in it can be used, so there is no copy of it" in said(capsys)[1][-1]
    assert not (tmp_path / "clean").exists()


def test_conversion_says_what_it_leaves_out_or_refuses(data, tmp_path, capsys):
    path = data / "annotations/instances_val.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [1, 1, 0, 5]
    content["annotations"][1]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    run("data", "convert", data, tmp_path / "strict", "--to", "yolo", "--strict", code=2)
    assert not (tmp_path / "strict").exists()
    said(capsys)
    run("data", "convert", data, tmp_path / "yolo", "--to", "yolo", "--link")
    _, err = said(capsys)
    assert any("annotation 1 of 001.png" in line for line in err)
    assert "warning: 1 crowd boxes became ordinary ones: YOLO has no mark for them" in err[-1]
    assert (tmp_path / "yolo/images/val/001.png").stat().st_nlink == 2
    run("data", "convert", data, tmp_path / "yolo", "--to", "yolo", code=2)
    run("data", "convert", data, tmp_path / "other", "--to", "createml", code=2)
    assert "to" in said(capsys)[1][-1]
