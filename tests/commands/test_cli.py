"""The command line as a user meets it: help, results, and one clear line for everything that cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cornernet.cli import COMMANDS, main
from cornernet.config import Architecture, HourglassConfig, Preprocessing
from cornernet.model.cornernet import CornerNet
from cornernet.weights.store import Weights, load_weights, save_weights
from small import environment, write_data, write_recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("cli") / "data", train=2, val=3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """An untrained network of the data's classes that sees an object in most places."""
    torch.manual_seed(0)
    architecture = Architecture(
        HourglassConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
        corner_channels=8,
        branch_channels=8,
    )
    model = CornerNet(architecture, 2)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    stored = Weights(model.state_dict(), architecture, ("red", "blue"), Preprocessing(pad_mask=7), threshold=0.05)
    return save_weights(path, stored)


def fails(capsys, *words: object, code: int = 2) -> str:
    """Run a command that must fail with one line; that line."""
    capsys.readouterr()  # what went before
    assert main([str(word) for word in words]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("cornernet: ")
    return lines[0]


def test_help_is_quick_and_imports_nothing_heavy():
    heavy = "{'torch', 'numpy', 'cv2', 'PIL', 'lightning', 'argparse', 'yaml'} & set(sys.modules)"
    code = f"import sys; from cornernet.cli import main; main(['--help']); print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert all(name in done.stdout for name in COMMANDS)


def test_the_package_offers_what_it_names():
    code = "import cornernet; print(all(getattr(cornernet, name) for name in cornernet.__all__)); cornernet.nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True\n"
    assert done.stderr.splitlines()[-1] == "AttributeError: module 'cornernet' has no attribute 'nothing'"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    assert main([*name.split(), "--help"]) == 0
    assert "usage: cornernet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuch"], "no such command"),
        (["data"], "data shapes"),
        (["train"], "--data"),
        (["train", "nosuch"], "nosuch"),
        (["train", "shapes"], "--data"),
        (["train", "shapes", "--data", "/nowhere"], "/nowhere"),
        (["train", "shapes", "--data", ".", "--epochs", "0"], "epochs"),
        (
            ["train", "shapes", "--data", ".", "--epochs", "many"],
            "with --epochs: epochs must be a whole number, not 'many'",
        ),
        (["train", "shapes", "--data", ".", "--epochs"], "--epochs wants a value"),
        (["train", "shapes", "--epohcs", "3"], "did you mean --epochs?"),
        (["train", "--resume", "runs/a", "--epochs", "3"], "leave --epochs out"),
        (
            ["export", "--weights", "w", "--format", "engine"],
            "--format must be one of onnx, openvino, pt2, not 'engine'",
        ),
        (["predict", "x.jpg", "--weights", "w", "--max-size", "big"], "--max-size must be a whole number"),
        (["predcit"], "did you mean predict?"),
        (["predict"], "predict: SOURCES is missing; see cornernet predict --help"),
        (["data", "convert", "a"], "OUT and --to are missing"),
        (["predict", "x.jpg", "--out"], "--out wants a value"),
        (["predict", "x.jpg", "--heatmaps=3"], "--heatmaps takes no value, but was given '3'"),
        (["predict", "x.jpg", "--out", "a", "b_c.jpg"], "b_c.jpg is one word too many; name all sources together"),
        (["predict", "best.safetensors", "x.jpg"], "a weights file, no image; give it as --weights best.safetensors"),
        (["predict", "x.jpg", "--batch-sise", "3"], "--batch-sise is no option; did you mean --batch-size?"),
        (["train", "shapes", "--rate", "3"], "--rate"),
        (["train", "--resume", "/nowhere"], "/nowhere"),
        (["evaluate", "--data", "."], "weights"),
        (["predict", "/nowhere/x.jpg", "--weights", "w"], "/nowhere/x.jpg"),
        (["evaluate", "--weights", "/nowhere/w", "--data", "."], "/nowhere/w"),
        (["evaluate", "--weights", "w", "--data", ".", "--tta", "rotate"], "tta"),
    ],
)
def test_words_that_make_no_sense(words, said, capsys):
    assert said in fails(capsys, *words)


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("epohcs: 3", "epohcs is no field; did you mean epochs?"),
        ("optimization: {rate: 3}", "optimization.rate is no field"),
        ("epochs: many", "epochs must be a whole number, not 'many'"),
        ("[1", "parsing"),
        ("model: {backbone: {channels: [4, 4], blocks: [1]}}", "channels"),
        ("batch_size: 0", "batch_size"),
        ("augmentation: {crop_size: 128}", "augmentation.crop_size: must be at least 129 pixels"),
    ],
)
def test_recipes_with_mistakes(yaml, said, tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml)
    assert said in fails(capsys, "train", path, "--data", tmp_path)


def test_print_config_shows_flags_over_recipe_and_can_be_read_back(tmp_path, capsys):
    assert main(["train", "shapes", "--print_config", "--epochs", "3", "--optimization.lr", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert "epochs: 3" in printed
    path = tmp_path / "mine.yaml"
    path.write_text(printed)
    assert main(["train", str(path), "--print-config"]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("damage", ["truncated", "text", "other classes"])
def test_weights_that_will_not_do(damage, weights, data, tmp_path, capsys):
    path = tmp_path / "bad.safetensors"
    if damage == "truncated":
        path.write_bytes(weights.read_bytes()[:5000])
    elif damage == "text":
        path.write_text("these are no weights")
    else:
        stored = load_weights(weights)
        stored.class_names = ("cat", "dog")
        save_weights(path, stored)
    said = fails(capsys, "evaluate", "--weights", path, "--data", data, "--out", tmp_path / "out")
    assert ("cat" in said) if damage == "other classes" else ("bad.safetensors" in said)
    assert not (tmp_path / "out").exists()


def test_evaluate_writes_figures_and_predictions(weights, data, tmp_path, capsys):
    assert main(["evaluate", "--weights", str(weights), "--data", str(data), "--out", str(tmp_path / "e")]) == 0
    assert "AP50" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert metrics["figures"].keys() == {
        *("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
    }
    predictions = json.loads((tmp_path / "e" / "predictions.json").read_text())
    assert {p["image_id"] for p in predictions} <= {1, 2, 3}
    flipped = tmp_path / "flip"
    assert (
        main(["evaluate", "--weights", str(weights), "--data", str(data), "--tta", "flip", "--out", str(flipped)]) == 0
    )
    assert json.loads((flipped / "predictions.json").read_text()) != predictions


def pixels(kind: str) -> Image.Image:
    color = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    if kind == "I;16":
        return Image.fromarray(color[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(color).convert(kind)


@pytest.mark.parametrize("reads", [0, 1])
def test_a_reader_that_ends_early_costs_no_file(weights, data, tmp_path, reads):
    """As in ``cornernet evaluate ... | head -1``."""
    out = tmp_path / "out"
    words = [sys.executable, "-m", "cornernet", "evaluate", "--weights", str(weights), "--data", str(data)]
    pipe = subprocess.PIPE
    with subprocess.Popen([*words, "--out", str(out)], stdout=pipe, stderr=pipe, env=environment()) as done:
        for _ in range(reads):
            done.stdout.readline()
        done.stdout.close()
        said = done.stderr.read().decode()
        assert done.wait(300) == 0
    assert "Broken" not in said
    assert "Exception" not in said
    assert said.splitlines()[-1] == f"metrics.json and predictions.json: {out}"
    assert {file.name for file in out.iterdir()} == {"metrics.json", "predictions.json"}


def test_predict_takes_every_kind_of_image(weights, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for kind in ("RGB", "RGBA", "L", "P", "1", "I;16"):
        pixels(kind).save(folder / f"{kind.replace(';', '')}.png")
    assert main(["predict", str(folder), "--weights", str(weights), "--out", str(tmp_path / "out"), "--heatmaps"]) == 0
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len(found["images"]) == 6
    assert sum(len(image["detections"]) for image in found["images"]) > 0
    for image in found["images"]:
        assert (image["height"], image["width"]) == (40, 60)
        for detection in image["detections"]:
            x1, y1, x2, y2 = detection["box"]
            assert 0 <= x1 < x2 <= 60
            assert 0 <= y1 < y2 <= 40
            assert detection["class"] in ("red", "blue")
    pictures = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"RGB.jpg", "RGB_heatmaps.jpg", "RGB_pairs.jpg"} <= pictures


def test_predict_scales_boxes_back(weights, tmp_path, capsys):
    pixels("RGB").resize((300, 200)).save(tmp_path / "large.png")
    words = ["predict", str(tmp_path / "large.png"), "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert main([*words, "--max-size", "60", "--heatmaps"]) == 0
    assert cv2.imread(str(tmp_path / "out" / "large_heatmaps.jpg")).shape == (40, 60, 3)  # what the network saw
    image = json.loads((tmp_path / "out" / "detections.json").read_text())["images"][0]
    assert (image["height"], image["width"]) == (200, 300)
    assert max(d["box"][2] for d in image["detections"]) > 100
    assert "max_size" in fails(capsys, *words, "--max-size", "0").replace("-", "_")


def test_predict_names_bad_images_and_keeps_the_others(weights, tmp_path, capsys):
    pixels("RGB").save(tmp_path / "good.png")
    pixels("RGB").save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:500])
    (tmp_path / "text.jpg").write_text("hello")
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path), "--weights", str(weights), "--out", str(out)]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cornernet: ")]
    assert len(said) == 2
    assert "cut.jpg" in said[0]
    assert "text.jpg" in said[1]
    assert [image["file"] for image in json.loads((out / "detections.json").read_text())["images"]] == [
        str(tmp_path / "good.png")
    ]


def test_predict_in_batches_around_a_broken_image(weights, tmp_path, capsys):
    for name in ("a", "c"):
        pixels("RGB").save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_text("hello")
    found, said = [], []
    for size in (1, 2):
        out = tmp_path / f"out {size}"
        words = ["predict", str(tmp_path / "?.png"), "--weights", str(weights), "--out", str(out)]
        assert main([*words, "--batch_size", str(size)]) == 2
        said.append([line for line in capsys.readouterr().err.splitlines() if line.startswith("cornernet: ")])
        found.append(json.loads((out / "detections.json").read_text()))
        assert {path.name for path in out.iterdir()} == {"a.jpg", "c.jpg", "detections.json"}
    assert found[0] == found[1]
    assert [image["file"] for image in found[0]["images"]] == [str(tmp_path / "a.png"), str(tmp_path / "c.png")]
    assert said[0] == said[1]
    assert len(said[0]) == 1
    assert "b.png" in said[0][0]


def test_an_image_too_large_for_memory_is_refused_before_it_is_read(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cornernet.media.images.available_memory", lambda: 2**29)
    cv2.imwrite(str(tmp_path / "huge.png"), np.zeros((6000, 8000), np.uint8))
    words = ["predict", tmp_path / "huge.png", "--weights", weights, "--out", tmp_path / "out"]
    assert main([str(word) for word in words]) == 2
    said = capsys.readouterr().err
    assert "--max-size" in said
    assert "huge.png" in said
    assert main([*(str(word) for word in words), "--max-size", "100"]) == 0


def test_a_file_in_the_way_of_the_output_folder(weights, data, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    said = fails(capsys, "evaluate", "--weights", weights, "--data", data, "--out", tmp_path / "taken")
    assert "taken" in said
    recipe = write_recipe(tmp_path)
    assert "taken" in fails(capsys, "train", recipe, "--data", data, "--out", tmp_path / "taken")


def test_bad_boxes_are_reported_and_refused_only_if_strict(weights, tmp_path, capsys):
    data = write_data(tmp_path / "data", train=1, val=2)
    path = data / "annotations" / "instances_val.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][2] = -5
    path.write_text(json.dumps(content))
    words = ["evaluate", "--weights", str(weights), "--data", str(data), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "annotation 1" in capsys.readouterr().err
    assert "annotation 1" in fails(capsys, *words, "--strict")


def test_training_leaves_bad_boxes_out_and_says_how_many(tmp_path, capsys):
    data = write_data(tmp_path / "data", train=2, val=1)
    path = data / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [500, 500, 5, 5]
    good = content["annotations"][2]
    content["annotations"] += [good | {"id": 100 + i, "bbox": [i, 5, 10, 10]} for i in range(20)]
    content["annotations"][1]["bbox"] = [1, 1, 0, 5]
    path.write_text(json.dumps(content))
    words = ["train", str(write_recipe(tmp_path, epochs=1, workers=0)), "--data", str(data)]
    assert "2 bad boxes" in fails(capsys, *words, "--strict", "--out", tmp_path / "strict")
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert "annotation 1" in said
    assert "2 boxes left out" in said


def test_shapes_are_written_as_a_data_set_that_trains(tmp_path, capsys):
    assert main(["data", "shapes", str(tmp_path / "shapes"), "--train", "3", "--val", "2"]) == 0
    assert "not an empty folder" in fails(capsys, "data", "shapes", tmp_path / "shapes")
    recipe = write_recipe(tmp_path, epochs=1, workers=0)
    assert main(["train", str(recipe), "--data", str(tmp_path / "shapes"), "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_demo_finds_objects_and_draws(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cornernet.commands.demo.SCENES", 6)
    assert main(["demo", "--out", str(tmp_path / "demo"), "--pictures", "2"]) == 0
    printed = capsys.readouterr().out
    assert "crescent" in printed
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"scene_01.jpg", "scene_01_heatmaps.jpg", "scene_01_pairs.jpg", "scene_02.jpg"} <= names


def test_internal_errors_say_so_and_debug_shows_where(monkeypatch, capsys):
    def broken(*_):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("cornernet.cli._dispatch", broken)
    assert "internal error" in fails(capsys, "data", "shapes", "x", code=1)
    with pytest.raises(ZeroDivisionError):
        main(["data", "shapes", "x", "--debug"])


def test_a_command_that_is_ended_from_outside_puts_away_what_is_half_written(tmp_path, capsys, monkeypatch):
    """As by ``timeout`` and ``docker stop``."""
    left = []

    def wait(**_: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            left.append("put away")

    monkeypatch.setattr("cornernet.cli.find_command", lambda name: wait)
    monkeypatch.setattr("cornernet.commands.arguments.parse_arguments", lambda *_: {})
    assert fails(capsys, "demo", code=143) == "cornernet: interrupted"
    assert left == ["put away"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
